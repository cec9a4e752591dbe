/*
 * The module loader with real objects of the three architectures: good ones are relocated, cut and
 * mutilated ones are refused or stay inside their parts; and loading as a whole, with each allocation failing once.
 */
#include "fuzz.h"
#include "inject.h"
#include "machine.h"
#include "private.h"

#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <stdio.h>
#include <stdlib.h>

#define BASE 0xffffffff80200000ull
#define SYMBOLS 0xffffffff80001000ull
#define ROOM (64u << 10)

static const struct {
	const char *name;
	uint16_t machine;
} arches[] = {{"x86_64", EM_X86_64},
	      {"aarch64", EM_AARCH64},
	      {"riscv64", EM_RISCV},
	      {"alone", EM_X86_64}};
#define ARCHES 3u
#define ALONE 3u /* what the whole loader loads */

struct fixture {
	uint8_t *bytes;
	size_t size;
};

static struct fixture fixtures[ARRAY_SIZE(arches)];

void test_prepare(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/fixture-%s.ko", FIXTURES, arches[i].name);
		FILE *f = fopen(path, "rb");
		fixtures[i].bytes = malloc(ROOM);
		fixtures[i].size = f ? fread(fixtures[i].bytes, 1, ROOM, f) : 0;
		if (f)
			fclose(f);
	}
	test_kernel(nullptr);
}

static enum kerr find(struct module_resolver *r, const char *name, vaddr_t *value)
{
	*value = SYMBOLS + (strlen(name) & 15) * 16;
	return name[0] == '?' ? KERR_NOENT : KERR_OK;
}

static enum kerr (*finder)(struct module_resolver *r, const char *name, vaddr_t *value) = find;

/* Reads and relocates a copy for addresses from `base` on; parts have exactly their size. */
static enum kerr place(const void *bytes, size_t size, uint16_t machine, vaddr_t base,
		       const char **complaint)
{
	struct module_image img;
	struct module_memory m;
	struct module_resolver r = {.find = finder};
	void *file = fuzz_copy(bytes, size);
	enum kerr err = module_image_read(&img, file, size, machine);

	if (err != KERR_OK) {
		EXPECT(err != KERR_NOEXEC || img.complaint);
		free(file);
		return err;
	}
	for (unsigned p = 0; p < PART_COUNT; p++) {
		EXPECT(img.part_size[p] <= MODULE_FILE_MAX);
		m.write[p] = calloc(1, img.part_size[p] + 1);
		m.run[p] = base + p * MODULE_FILE_MAX;
	}
	err = module_image_write(&img, &m, &r);
	EXPECT(err != KERR_NOEXEC || r.complaint);
	EXPECT(err != KERR_NOENT || r.missing);
	if (complaint)
		*complaint = r.complaint;
	for (unsigned p = 0; p < PART_COUNT; p++)
		free(m.write[p]);
	module_image_end(&img);
	free(file);
	return err;
}

TEST(good_objects)
{
	for (size_t i = 0; i < ARCHES; i++) {
		EXPECT(fixtures[i].size > 1000);
		EXPECT_OK(place(fixtures[i].bytes, fixtures[i].size, arches[i].machine, BASE,
				nullptr));
		EXPECT_EQ(place(fixtures[i].bytes, fixtures[i].size,
				arches[(i + 1) % ARCHES].machine, BASE, nullptr),
			  KERR_NOEXEC);
	}
}

TEST(cut_at_every_length)
{
	for (size_t i = 0; i < ARCHES; i++)
		for (size_t size = 0; size < fixtures[i].size; size++)
			EXPECT_EQ(place(fixtures[i].bytes, size, arches[i].machine, BASE, nullptr),
				  KERR_NOEXEC);
}

TEST(out_of_reach)
{
	for (size_t i = 0; i < ARCHES; i++) {
		const char *complaint = nullptr;
		EXPECT_EQ(place(fixtures[i].bytes, fixtures[i].size, arches[i].machine,
				0x1000000000, &complaint),
			  KERR_NOEXEC);
		EXPECT(complaint && strstr(complaint, "range"));
	}
}

PROPERTY(mutilated, 60)
{
	static uint8_t bytes[ROOM];
	unsigned accepted = 0;

	for (unsigned round = 0; round < 60; round++) {
		size_t i = test_random_below(random, ARCHES);
		memcpy(bytes, fixtures[i].bytes, fixtures[i].size);
		size_t size = fuzz_mutate(random, bytes, fixtures[i].size, ROOM);
		accepted += place(bytes, size, arches[i].machine, BASE, nullptr) == KERR_OK;
	}
	EXPECT(accepted < 60);
}

/* Section headers, symbols and relocations, where the numbers that matter are. */
PROPERTY(mutilated_tables, 60)
{
	static uint8_t bytes[ROOM];

	for (unsigned round = 0; round < 60; round++) {
		size_t i = test_random_below(random, ARCHES);
		struct elf_object *h = (struct elf_object *)bytes;
		memcpy(bytes, fixtures[i].bytes, fixtures[i].size);
		struct elf_section *s = (struct elf_section *)(bytes + h->shoff) +
					test_random_below(random, h->shnum);
		uint8_t *at = (uint8_t *)s;
		size_t room = sizeof(*s);
		if (test_random_below(random, 2) && s->type != SHT_NOBITS && s->size) {
			at = bytes + s->offset;
			room = s->size;
		}
		(void)fuzz_mutate(random, at, room, room);
		(void)place(bytes, fixtures[i].size, arches[i].machine, BASE, nullptr);
	}
}

static enum kerr find_leaving(struct module_resolver *r, const char *name, vaddr_t *value)
{
	r->complaint = "leaving";
	return KERR_BUSY;
}

/* A symbol that is there but cannot be had is not called unknown. */
TEST(symbols_that_cannot_be_had)
{
	const char *complaint = nullptr;

	finder = find_leaving;
	EXPECT_EQ(place(fixtures[0].bytes, fixtures[0].size, arches[0].machine, BASE, &complaint),
		  KERR_BUSY);
	finder = find;
	EXPECT(complaint && strcmp(complaint, "leaving") == 0);
}

/* ---- Files that would busy the kernel for minutes -------------------------------------------- */

#define MANY 250000u

static struct elf_section *section_of(struct fixture f, uint32_t type, const char *name)
{
	struct elf_object *h = (struct elf_object *)f.bytes;
	struct elf_section *s = (struct elf_section *)(f.bytes + h->shoff);
	const char *names = (const char *)f.bytes + s[h->shstrndx].offset;

	for (unsigned i = 0; i < h->shnum; i++)
		if (s[i].type == type && (!name || strcmp(names + s[i].name, name) == 0))
			return &s[i];
	return nullptr;
}

/* A copy with `room` more bytes, which become the section's. Its old content comes first. */
static struct fixture with_more(size_t arch, uint32_t type, const char *name, size_t room)
{
	struct fixture f = {nullptr, ALIGN_UP(fixtures[arch].size, 8)};

	f.bytes = calloc(1, f.size + ROOM + room);
	memcpy(f.bytes, fixtures[arch].bytes, fixtures[arch].size);
	struct elf_section *s = section_of(f, type, name);
	EXPECT(s && s->size < ROOM);
	memcpy(f.bytes + f.size, f.bytes + s->offset, s->size);
	s->offset = f.size;
	s->size += room;
	f.size += s->size;
	return f;
}

/* Adds functions of the section .text; their values fall. */
static struct fixture with_functions(size_t arch, uint32_t name)
{
	struct fixture f = with_more(arch, SHT_SYMTAB, nullptr, MANY * sizeof(struct elf_symbol));
	struct elf_section *table = section_of(f, SHT_SYMTAB, nullptr);
	struct elf_section *text = section_of(f, SHT_PROGBITS, ".text");
	struct elf_object *h = (struct elf_object *)f.bytes;
	struct elf_symbol *s = (struct elf_symbol *)(f.bytes + f.size) - MANY;

	for (uint64_t i = 0; i < MANY; i++)
		s[i] = (struct elf_symbol){
			.name = name,
			.info = STT_FUNC,
			.section = (uint16_t)(text - (struct elf_section *)(f.bytes + h->shoff)),
			.value = text->size - 1 - i * text->size / MANY};
	EXPECT_EQ(table->offset + table->size, f.size);
	return f;
}

TEST(many_functions_in_falling_order)
{
	struct fixture f = with_functions(ALONE, 1);
	struct loaded l = {.memory.run = {BASE, BASE, BASE, BASE, BASE, BASE}};
	struct module_image img;

	EXPECT_OK(module_image_read(&img, f.bytes, f.size, EM_X86_64));
	EXPECT_OK(symbols_take(&l, &img));
	EXPECT(l.symbol_count >= MANY);
	for (size_t i = 1; i < l.symbol_count; i++)
		EXPECT(l.symbols[i - 1].address <= l.symbols[i].address);
	symbols_drop(&l);
	module_image_end(&img);
	free(f.bytes);
}

TEST(many_symbols_with_one_long_name)
{
	struct fixture f = with_functions(ALONE, 1);
	size_t size = 8u << 20;
	struct module_image img;

	f.bytes = realloc(f.bytes, f.size + size);
	struct elf_object *h = (struct elf_object *)f.bytes;
	struct elf_section *names = (struct elf_section *)(f.bytes + h->shoff) +
				    section_of(f, SHT_SYMTAB, nullptr)->link;
	memset(f.bytes + f.size, 'x', size - 1);
	f.bytes[f.size + size - 1] = 0;
	names->offset = f.size;
	names->size = size;
	EXPECT_EQ(module_image_read(&img, f.bytes, f.size + size, EM_X86_64), KERR_NOEXEC);
	EXPECT(img.complaint && strstr(img.complaint, "128 bytes"));
	free(f.bytes);
}

/* The first pair's high half, and its low half again and again. */
TEST(many_low_halves_of_one)
{
	enum { HIGH = 23, LOW = 24, RISCV64 = 2 };
	struct fixture f =
		with_more(RISCV64, SHT_RELA, ".rela.text", MANY * sizeof(struct elf_rela));
	struct elf_rela *last = (struct elf_rela *)(f.bytes + f.size) - MANY;
	struct elf_rela *first =
		(struct elf_rela *)(f.bytes + section_of(f, SHT_RELA, ".rela.text")->offset);
	struct elf_rela *low = first;

	while (low < last && (uint32_t)low->info != LOW)
		low++;
	EXPECT(low < last);
	for (size_t i = 0; i < MANY; i++)
		last[i] = *low;
	EXPECT_OK(place(f.bytes, f.size, EM_RISCV, BASE, nullptr));
	free(f.bytes);
}

/* ---- The whole loader ------------------------------------------------------------------------ */

static enum kerr load(const char *parameters)
{
	void *file = fuzz_copy(fixtures[ALONE].bytes, fixtures[ALONE].size);
	enum kerr err = module_load_for(EM_X86_64, file, fixtures[ALONE].size, parameters);

	free(file);
	return err;
}

TEST(loaded_and_unloaded)
{
	struct module_view m;
	char name[32], value[32];

	EXPECT_OK(load("level=9 title=\"a b\" enabled"));
	EXPECT_EQ(load(""), KERR_EXIST);
	EXPECT(module_view_find("fixture", &m) && m.state == MODULE_LIVE && m.references == 0);
	EXPECT(kmap_is_module(m.base));
	EXPECT(module_param_text(m.id, 0, name, sizeof(name), value, sizeof(value)));
	EXPECT(strcmp(name, "level") == 0 && strcmp(value, "9") == 0);
	EXPECT(module_param_text(m.id, 1, name, sizeof(name), value, sizeof(value)));
	EXPECT(strcmp(value, "a b") == 0);
	EXPECT(!module_param_text(m.id, 3, name, sizeof(name), value, sizeof(value)));
	struct loaded *l = chain_find("fixture");
	EXPECT(module_get(&l->record->module));
	EXPECT_EQ(module_unload("fixture"), KERR_AGAIN);
	module_put(&l->record->module);
	EXPECT_OK(module_unload("fixture"));
	EXPECT_EQ(module_unload("fixture"), KERR_NOENT);
	EXPECT(!module_view_find("fixture", &m));
	EXPECT_EQ(load("level=99999999999"), KERR_INVAL);
	EXPECT(!module_view_find("fixture", &m));
}

TEST(rights_of_its_parts)
{
	map_flags_t flags;
	paddr_t pa;

	EXPECT_OK(load(""));
	struct loaded *l = chain_find("fixture");
	EXPECT_OK(kmap_translate(l->memory.run[PART_TEXT], &pa, &flags));
	EXPECT(!(flags & (MAP_WRITABLE | MAP_NO_EXECUTE)));
	EXPECT_OK(kmap_translate(l->memory.run[PART_RODATA], &pa, &flags));
	EXPECT(!(flags & MAP_WRITABLE) && (flags & MAP_NO_EXECUTE));
	EXPECT_OK(kmap_translate(l->memory.run[PART_DATA], &pa, &flags));
	EXPECT((flags & MAP_WRITABLE) && (flags & MAP_NO_EXECUTE));
	vaddr_t init = l->memory.run[PART_INIT_TEXT], text = l->memory.run[PART_TEXT];
	EXPECT_EQ(kmap_translate(init, &pa, &flags), KERR_NOENT);
	EXPECT_OK(module_unload("fixture"));
	EXPECT_EQ(kmap_translate(text, &pa, &flags), KERR_NOENT);
}

TEST(every_allocation_fails_once)
{
	EXPECT_OK(load(""));
	EXPECT_OK(module_unload("fixture"));
	uint64_t free_before = frame_totals().free;
	int64_t n = 1;
	enum kerr err;

	do {
		atomic_store(&memory_fail_in, n++);
		err = load("level=1");
		bool hit = atomic_exchange(&memory_fail_in, 0) == 0;
		EXPECT(err == KERR_OK || err == KERR_NOMEM);
		EXPECT(hit || err == KERR_OK);
		if (err == KERR_OK)
			EXPECT_OK(module_unload("fixture"));
	} while (err != KERR_OK && n < 1000);
	EXPECT(n > 5 && n < 1000);
	EXPECT(frame_totals().free + 64 > free_before);
}
