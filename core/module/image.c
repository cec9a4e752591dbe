/*
 * A module's file is checked here, before a byte of it is believed.
 *
 * A module is a relocatable object: sections, a symbol table, and for each section a table of
 * relocations. The file comes from a program, so every number in it may be wrong. After
 * module_image_read() these hold, and the rest of the loader relies on them:
 *
 *  - headers, sections, names and strings lie inside the file, strings end inside their table;
 *  - no two sections share bytes of the file, nor a section and the headers;
 *  - what is loaded is program bits or zeroes, never writable and executable, aligned to a page at most;
 *  - a part of the module (text, constants, data, and the same for init) is at most MODULE_FILE_MAX;
 *  - each symbol is undefined, absolute, or inside the section it names;
 *  - each relocation table belongs to a section and names symbols that exist. Where a
 *    relocation writes is checked when it is applied (place.c), because only its type says how much.
 *
 * A program must not be able to busy the kernel for long: work is linear in the file's size, or n log n where things are
 * sorted. What is done for each pair of things has limits (sections, parameters, exports, symbols of others), and so do
 * names, since many things can have the same long one.
 *
 * Rejected: program headers (ld -r makes none), compressed sections, common symbols (-fno-common),
 * REL tables and section groups: nothing here makes them.
 */
#include "image.h"

#include <lib/string.h>
#include <mm/heap.h>
#include <module/loader.h>

static enum kerr refuse(struct module_image *img, const char *why)
{
	img->complaint = why;
	return KERR_NOEXEC;
}

static bool inside(const struct module_image *img, uint64_t offset, uint64_t size)
{
	return offset <= img->size && size <= img->size - offset;
}

static bool has_bytes(const struct elf_section *s)
{
	return s->type != SHT_NOBITS && s->type != 0 && s->size != 0;
}

const char *module_section_name(const struct module_image *img, unsigned index)
{
	const struct elf_object *h = (const struct elf_object *)img->file;
	const struct elf_section *names = &img->sections[h->shstrndx];
	return (const char *)img->file + names->offset + img->sections[index].name;
}

static enum kerr read_header(struct module_image *img)
{
	static const uint8_t magic[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	const struct elf_object *h = (const struct elf_object *)img->file;
	if (img->size < sizeof(*h) || memcmp(h->ident, magic, sizeof(magic)) != 0)
		return refuse(img, "not a 64-bit little-endian ELF file");
	if (h->type != ELF_RELOCATABLE)
		return refuse(img, "not a relocatable object");
	if (h->machine != img->machine || !module_arch_find(h->machine))
		return refuse(img, "for another architecture");
	if (h->ehsize != sizeof(*h) || h->shentsize != sizeof(struct elf_section))
		return refuse(img, "headers of an unknown size");
	if (h->shnum < 2 || h->shnum > MODULE_SECTIONS_MAX)
		return refuse(img, "too few or too many sections");
	if (!IS_ALIGNED(h->shoff, 8) || h->shoff < sizeof(*h) ||
	    !inside(img, h->shoff, (uint64_t)h->shnum * sizeof(struct elf_section)))
		return refuse(img, "section headers outside the file");
	if (h->shstrndx == 0 || h->shstrndx >= h->shnum)
		return refuse(img, "no section names");
	img->sections = (const struct elf_section *)(img->file + h->shoff);
	img->section_count = h->shnum;
	return KERR_OK;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static enum kerr check_extents(struct module_image *img)
{
	const struct elf_object *h = (const struct elf_object *)img->file;
	uint64_t headers = (uint64_t)h->shnum * sizeof(struct elf_section);

	for (unsigned i = 0; i < img->section_count; i++) {
		const struct elf_section *s = &img->sections[i];
		if (!has_bytes(s))
			continue;
		if (!inside(img, s->offset, s->size))
			return refuse(img, "a section outside the file");
		if (overlap(s->offset, s->size, 0, sizeof(*h)) ||
		    overlap(s->offset, s->size, h->shoff, headers))
			return refuse(img, "a section over the headers");
		for (unsigned k = 0; k < i; k++)
			if (has_bytes(&img->sections[k]) &&
			    overlap(s->offset, s->size, img->sections[k].offset,
				    img->sections[k].size))
				return refuse(img, "two sections share bytes");
	}
	return KERR_OK;
}

/* A string table ends with a zero byte, so that every string in it ends. */
static bool is_strings(const struct module_image *img, const struct elf_section *s)
{
	return s->type == SHT_STRTAB && s->size > 0 && img->file[s->offset + s->size - 1] == 0;
}

static enum kerr check_names(struct module_image *img)
{
	const struct elf_object *h = (const struct elf_object *)img->file;
	const struct elf_section *names = &img->sections[h->shstrndx];

	if (!is_strings(img, names))
		return refuse(img, "no section names");
	for (unsigned i = 0; i < img->section_count; i++)
		if (img->sections[i].name >= names->size)
			return refuse(img, "a section name outside its table");
	return KERR_OK;
}

/* Constants with addresses in them are writable in the file, for relocation, but not afterwards. */
static bool is_constant(const char *name)
{
	return strncmp(name, ".data.rel.ro", 12) == 0 || strcmp(name, ".tern_params") == 0 ||
	       strcmp(name, ".exports") == 0;
}

static enum module_part part_of(const char *name, uint64_t flags)
{
	bool init = strncmp(name, ".init.", 6) == 0;
	enum module_part part = flags & SHF_EXECINSTR                       ? PART_TEXT
				: (flags & SHF_WRITE) && !is_constant(name) ? PART_DATA
									    : PART_RODATA;
	return init ? part + PART_FIRST_INIT : part;
}

/* Gives each loaded section a place behind those of its part. */
static enum kerr lay_out(struct module_image *img)
{
	for (unsigned i = 0; i < img->section_count; i++) {
		const struct elf_section *s = &img->sections[i];
		img->places[i].part = PART_NONE;
		if (!(s->flags & SHF_ALLOC) || s->size == 0)
			continue;
		if (s->type != SHT_PROGBITS && s->type != SHT_NOBITS)
			return refuse(img, "a loaded section of an unknown type");
		if ((s->flags & SHF_WRITE) && (s->flags & SHF_EXECINSTR))
			return refuse(img, "a section that is writable and executable");
		uint64_t align = s->addralign ? s->addralign : 1;
		if ((align & (align - 1)) || align > PAGE_SIZE)
			return refuse(img, "a section with an impossible alignment");
		if (s->size > MODULE_FILE_MAX)
			return refuse(img, "a section that is too large");
		enum module_part part = part_of(module_section_name(img, i), s->flags);
		uint64_t at = ALIGN_UP(img->part_size[part], align);
		img->places[i] = (struct module_place){part, at};
		img->part_size[part] = at + s->size;
		if (img->part_size[part] > MODULE_FILE_MAX)
			return refuse(img, "sections that are too large");
	}
	for (unsigned p = 0; p < PART_COUNT; p++)
		img->part_size[p] = ALIGN_UP(img->part_size[p], PAGE_SIZE);
	return KERR_OK;
}

static enum kerr check_symbols(struct module_image *img)
{
	size_t undefined = 0;

	for (size_t i = 0; i < img->symbol_count; i++) {
		const struct elf_symbol *s = &img->symbols[i];
		if (s->name >= img->strings_size)
			return refuse(img, "a symbol name outside its table");
		if (strnlen(img->strings + s->name, MODULE_SYMBOL_MAX + 1) > MODULE_SYMBOL_MAX)
			return refuse(img, "a symbol name of more than 128 bytes");
		if (s->section == SHN_UNDEF && ++undefined > MODULE_UNDEFINED_MAX)
			return refuse(img, "more than 4096 symbols of others");
		if (s->section == SHN_UNDEF || s->section == SHN_ABS)
			continue;
		if (s->section >= img->section_count)
			return refuse(img, "a symbol in a section that is not there");
		if (s->value > img->sections[s->section].size ||
		    s->size > img->sections[s->section].size - s->value)
			return refuse(img, "a symbol outside its section");
	}
	return KERR_OK;
}

static enum kerr read_symbols(struct module_image *img)
{
	const struct elf_section *table = nullptr;
	for (unsigned i = 0; i < img->section_count; i++) {
		if (img->sections[i].type != SHT_SYMTAB)
			continue;
		if (table)
			return refuse(img, "two symbol tables");
		table = &img->sections[i];
	}
	if (!table || table->entsize != sizeof(struct elf_symbol) ||
	    !IS_ALIGNED(table->offset, 8) || table->size % sizeof(struct elf_symbol) ||
	    table->link >= img->section_count || !is_strings(img, &img->sections[table->link]))
		return refuse(img, "no symbol table, or a broken one");
	img->symbols = (struct elf_symbol *)(img->file + table->offset);
	img->symbol_count = table->size / sizeof(struct elf_symbol);
	img->strings = (const char *)img->file + img->sections[table->link].offset;
	img->strings_size = img->sections[table->link].size;
	return check_symbols(img);
}

static enum kerr check_relocations(struct module_image *img)
{
	for (unsigned i = 0; i < img->section_count; i++) {
		const struct elf_section *s = &img->sections[i];
		if (s->type == SHT_REL)
			return refuse(img, "relocations of an unknown form");
		if (s->type != SHT_RELA)
			continue;
		if (s->entsize != sizeof(struct elf_rela) || s->size % sizeof(struct elf_rela) ||
		    !IS_ALIGNED(s->offset, 8) || s->info >= img->section_count)
			return refuse(img, "a broken table of relocations");
		const struct elf_rela *r = (const struct elf_rela *)(img->file + s->offset);
		for (size_t n = s->size / sizeof(*r); n; n--, r++)
			if (r->info >> 32 >= img->symbol_count ||
			    r->offset >= img->sections[s->info].size)
				return refuse(img,
					      "a relocation outside its section or of no symbol");
	}
	return KERR_OK;
}

const char *module_image_info(const struct module_image *img, const char *key)
{
	size_t length = strlen(key);
	for (size_t at = 0; at < img->info_size; at += strlen(img->info + at) + 1) {
		const char *line = img->info + at;
		if (strncmp(line, key, length) == 0 && line[length] == '=')
			return line + length + 1;
	}
	return nullptr;
}

static bool name_is_good(const char *name)
{
	size_t length = strnlen(name, MODULE_NAME_SIZE);
	for (size_t i = 0; i < length; i++) {
		char c = name[i];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '_' || c == '-';
		if (!good)
			return false;
	}
	return length > 0 && length < MODULE_NAME_SIZE;
}

static enum kerr find_own_sections(struct module_image *img)
{
	for (unsigned i = 1; i < img->section_count; i++) {
		const struct elf_section *s = &img->sections[i];
		const char *name = module_section_name(img, i);
		if (s->type != SHT_PROGBITS || s->size == 0 || !(s->flags & SHF_ALLOC))
			continue;
		if (strcmp(name, ".modinfo") == 0) {
			img->info = (const char *)img->file + s->offset;
			img->info_size = s->size;
		} else if (strcmp(name, ".tern_module") == 0) {
			img->record = i;
		} else if (strcmp(name, ".tern_params") == 0) {
			img->params = i;
		} else if (strcmp(name, ".exports") == 0) {
			img->exports = i;
		}
	}
	if (!img->info || img->info[img->info_size - 1] != 0)
		return refuse(img, "no .modinfo");
	if (!img->record || !(img->sections[img->record].flags & SHF_WRITE) ||
	    img->sections[img->record].size != sizeof(struct module_record) ||
	    img->sections[img->record].addralign < alignof(struct module_record))
		return refuse(img, "no MODULE(), or more than one");
	img->name = module_image_info(img, "name");
	return img->name && name_is_good(img->name) ? KERR_OK : refuse(img, "no good name");
}

static enum kerr check_arrays(struct module_image *img)
{
	if (img->params && (img->sections[img->params].size % sizeof(struct module_param) ||
			    img->sections[img->params].addralign < alignof(struct module_param)))
		return refuse(img, "broken parameters");
	if (img->params &&
	    img->sections[img->params].size > MODULE_PARAMS_MAX * sizeof(struct module_param))
		return refuse(img, "more than 256 parameters");
	if (img->exports && (img->sections[img->exports].size % sizeof(void *) ||
			     img->sections[img->exports].addralign < alignof(void *)))
		return refuse(img, "broken exports");
	if (img->exports && img->sections[img->exports].size > MODULE_EXPORTS_MAX * sizeof(void *))
		return refuse(img, "more than 4096 exports");
	return KERR_OK;
}

enum kerr module_image_read(struct module_image *img, void *file, size_t size, uint16_t machine)
{
	*img = (struct module_image){.file = file, .size = size, .machine = machine};
	enum kerr err = read_header(img);
	if (err == KERR_OK)
		err = check_extents(img);
	if (err == KERR_OK)
		err = check_names(img);
	if (err != KERR_OK)
		return err;
	img->places = heap_alloc(img->section_count * sizeof(*img->places));
	if (!img->places)
		return KERR_NOMEM;
	err = lay_out(img);
	if (err == KERR_OK)
		err = read_symbols(img);
	if (err == KERR_OK)
		err = check_relocations(img);
	if (err == KERR_OK)
		err = find_own_sections(img);
	if (err == KERR_OK)
		err = check_arrays(img);
	if (err != KERR_OK)
		module_image_end(img);
	return err;
}

void module_image_end(struct module_image *img)
{
	heap_free(img->places);
	img->places = nullptr;
}
