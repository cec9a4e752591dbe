/*
 * A checked module file becomes a running image: sections copied to their parts, relocations applied.
 *
 * The parts are written at one address and run at another (in the kernel both are the same while
 * the pages are still writable; tests relocate for addresses that they do not have). What each
 * relocation type means is in reloc_<arch>.c; here is what they share: the symbol's value, and that nothing
 * is written outside the section. What another one exports is looked for once: then the symbol is an absolute one.
 */
#include "image.h"

#include <lib/string.h>
#include <mm/heap.h>

vaddr_t module_section_run(const struct module_image *img, const struct module_memory *m,
			   unsigned index)
{
	const struct module_place *p = &img->places[index];
	return m->run[p->part] + p->offset;
}

void *module_section_write(const struct module_image *img, const struct module_memory *m,
			   unsigned index)
{
	const struct module_place *p = &img->places[index];
	return m->write[p->part] + p->offset;
}

bool module_symbol_run(const struct module_image *img, const struct module_memory *m, size_t index,
		       vaddr_t *value)
{
	const struct elf_symbol *s = &img->symbols[index];
	if (s->section == SHN_UNDEF || s->section == SHN_ABS ||
	    img->places[s->section].part == PART_NONE)
		return false;
	*value = module_section_run(img, m, s->section) + s->value;
	return true;
}

/* The high half of a RISC-V pair. */
struct high {
	uint64_t offset; /* in its section; they are sorted by it */
	size_t at; /* in the table */
};

struct pass {
	const struct module_image *img;
	const struct module_memory *m;
	struct module_resolver *resolver;
	const struct elf_rela *first; /* of the table that is being applied */
	size_t count;
	struct high *highs; /* of this table; heap; null: not asked for yet */
	size_t high_count;
	enum kerr err; /* of looking for one */
};

static enum kerr symbol_value(const struct pass *p, size_t index, vaddr_t *value)
{
	struct elf_symbol *s = &p->img->symbols[index];
	if (index == 0 || s->section == SHN_ABS) {
		*value = index ? s->value : 0;
		return KERR_OK;
	}
	if (module_symbol_run(p->img, p->m, index, value))
		return KERR_OK;
	if (s->section != SHN_UNDEF) {
		p->resolver->complaint = "a relocation by a symbol that is not loaded";
		return KERR_NOEXEC;
	}
	const char *name = p->img->strings + s->name;
	enum kerr err = p->resolver->find(p->resolver, name, value);
	if (err == KERR_NOENT && s->info >> 4 == STB_WEAK) {
		*value = 0;
		err = KERR_OK;
	}
	if (err == KERR_NOENT)
		p->resolver->missing = name;
	if (err != KERR_OK)
		return err;
	s->section = SHN_ABS;
	s->value = *value;
	return KERR_OK;
}

/* Notes the table's high halves. They mostly stand just before their low ones; but need not. */
static enum kerr highs_take(struct pass *p)
{
	size_t count = 0;

	for (size_t i = 0; i < p->count; i++)
		count += module_reloc_is_high((uint32_t)p->first[i].info);
	p->highs = heap_alloc((count + 1) * sizeof(*p->highs));
	if (!p->highs)
		return KERR_NOMEM;
	for (size_t i = 0; i < p->count; i++)
		if (module_reloc_is_high((uint32_t)p->first[i].info))
			p->highs[p->high_count++] = (struct high){p->first[i].offset, i};
	module_sort(p->highs, p->high_count, sizeof(*p->highs));
	return KERR_OK;
}

static bool high_half(const struct reloc *r, uint64_t offset, uint64_t *value)
{
	struct pass *p = r->context;
	vaddr_t symbol = 0;

	if (!p->highs)
		p->err = highs_take(p);
	size_t low = 0, end = p->high_count;
	while (low < end) {
		size_t middle = low + (end - low) / 2;
		if (p->highs[middle].offset < offset)
			low = middle + 1;
		else
			end = middle;
	}
	if (low == p->high_count || p->highs[low].offset != offset)
		return false;
	const struct elf_rela *e = &p->first[p->highs[low].at];
	p->err = symbol_value(p, e->info >> 32, &symbol);
	*value = symbol + (uint64_t)e->addend;
	return p->err == KERR_OK;
}

static const char *const complaints[] = {
	[RELOC_UNKNOWN] = "a relocation of an unknown type",
	[RELOC_RANGE] = "a relocation out of range",
	[RELOC_BROKEN] = "a relocation that makes no sense",
};

static enum kerr apply_table(struct pass *p, unsigned target, const struct module_arch *arch)
{
	struct reloc r = {
		.write = module_section_write(p->img, p->m, target),
		.run = module_section_run(p->img, p->m, target),
		.size = p->img->sections[target].size,
		.high = high_half,
		.context = p,
	};
	for (size_t i = 0; i < p->count; i++) {
		const struct elf_rela *e = &p->first[i];
		vaddr_t value;
		enum kerr err = symbol_value(p, e->info >> 32, &value);
		if (err != KERR_OK)
			return err;
		r.offset = e->offset;
		r.type = (uint32_t)e->info;
		r.value = value + (uint64_t)e->addend;
		enum reloc_result result = arch->apply(&r);
		if (p->err != KERR_OK)
			return p->err;
		if (result != RELOC_OK) {
			p->resolver->complaint = complaints[result];
			return KERR_NOEXEC;
		}
	}
	return KERR_OK;
}

const struct module_arch *module_arch_find(uint16_t machine)
{
	static const struct module_arch *const all[] = {&module_arch_x86_64, &module_arch_aarch64,
							&module_arch_riscv64};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->machine == machine)
			return all[i];
	return nullptr;
}

enum kerr module_image_write(const struct module_image *img, const struct module_memory *m,
			     struct module_resolver *r)
{
	const struct module_arch *arch = module_arch_find(img->machine);
	for (unsigned i = 0; i < img->section_count; i++) {
		const struct elf_section *s = &img->sections[i];
		if (img->places[i].part != PART_NONE && s->type == SHT_PROGBITS)
			memcpy(module_section_write(img, m, i), img->file + s->offset, s->size);
	}
	for (unsigned i = 0; i < img->section_count; i++) {
		const struct elf_section *s = &img->sections[i];
		if (s->type != SHT_RELA || s->size == 0 || img->places[s->info].part == PART_NONE)
			continue;
		if (img->sections[s->info].type != SHT_PROGBITS) {
			r->complaint = "a relocation of zeroes";
			return KERR_NOEXEC;
		}
		struct pass p = {.img = img,
				 .m = m,
				 .resolver = r,
				 .first = (const struct elf_rela *)(img->file + s->offset),
				 .count = s->size / sizeof(struct elf_rela),
				 .err = KERR_OK};
		enum kerr err = apply_table(&p, s->info, arch);
		heap_free(p.highs);
		if (err != KERR_OK)
			return err;
	}
	return KERR_OK;
}
