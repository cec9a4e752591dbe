/* A module's file, checked (image.c), placed and relocated (place.c). Pure functions on bytes. */
#pragma once

#include "elf.h"

#include <hal/types.h>
#include <lib/kerr.h>
#include <lib/string.h>
#include <module/module.h>

#define MODULE_SECTIONS_MAX 512u
#define MODULE_SYMBOL_MAX 128u /* bytes of a name, without its end */
#define MODULE_UNDEFINED_MAX 4096u /* symbols of others */
#define MODULE_PARAMS_MAX 256u
#define MODULE_EXPORTS_MAX 4096u

/* What the kernel wants of a section decides where it goes. The order is the order in memory. */
enum module_part {
	PART_TEXT,   /* read and execute */
	PART_RODATA, /* read */
	PART_DATA,   /* read and write */
	PART_INIT_TEXT, /* the same three, freed after init */
	PART_INIT_RODATA,
	PART_INIT_DATA,
	PART_COUNT,
	PART_NONE = PART_COUNT, /* not loaded */
};
#define PART_FIRST_INIT PART_INIT_TEXT

struct module_place {
	enum module_part part;
	uint64_t offset; /* from the start of its part */
};

struct module_image {
	uint8_t *file; /* the caller's; 8-byte aligned */
	size_t size;
	uint16_t machine;
	const struct elf_section *sections;
	unsigned section_count;
	struct elf_symbol *symbols;
	size_t symbol_count;
	const char *strings; /* of the symbols */
	size_t strings_size;
	const char *info; /* .modinfo, ended by a zero byte; null: there is none */
	size_t info_size;
	const char *name; /* in .modinfo */
	unsigned record; /* number of the section .tern_module */
	unsigned params, exports; /* of .tern_params, .exports; 0: there is none */
	struct module_place *places; /* one a section; heap */
	uint64_t part_size[PART_COUNT]; /* whole pages */
	const char *complaint; /* what is wrong with it, in words; null: nothing */
};

/* Checks everything that can be checked without an address: afterwards the accesses of the functions
 * below are all inside the file. NOEXEC with img->complaint set; NOMEM. module_image_end() after
 * success. `machine`: the only one that is welcome. */
enum kerr module_image_read(struct module_image *img, void *file, size_t size, uint16_t machine);
void module_image_end(struct module_image *img);
/* The value of `key` in .modinfo; null: not there. */
const char *module_image_info(const struct module_image *img, const char *key);
const char *module_section_name(const struct module_image *img, unsigned index);

/* Where the parts are: `run` where they will be used, `write` where they can be written now. */
struct module_memory {
	vaddr_t run[PART_COUNT];
	uint8_t *write[PART_COUNT];
};

struct module_resolver {
	/* The address of a symbol that the file does not define. NOENT: there is none; any other error: `complaint`
	 * says why not. */
	enum kerr (*find)(struct module_resolver *r, const char *name, vaddr_t *value);
	const char *missing; /* the name it did not find */
	const char *complaint;
};

/* Copies the sections and applies their relocations; what was found of others is noted in the file's
 * symbols. NOENT: r->missing is unknown; NOMEM; another error: r->complaint. What was written then is garbage, inside
 * the parts. */
enum kerr module_image_write(const struct module_image *img, const struct module_memory *m,
			     struct module_resolver *r);
/* Address and writable place of a section that is loaded. */
vaddr_t module_section_run(const struct module_image *img, const struct module_memory *m,
			   unsigned index);
void *module_section_write(const struct module_image *img, const struct module_memory *m,
			   unsigned index);
/* Where symbol `index` is; false: it is not in a loaded section. */
bool module_symbol_run(const struct module_image *img, const struct module_memory *m, size_t index,
		       vaddr_t *value);

/* ---- sort.c ---- */

/* Each of the `count` things begins with the uint64_t by which they are sorted; `size`: at most 32. */
void module_sort(void *first, size_t count, size_t size);

/* ---- reloc_*.c ---- */

enum reloc_result {
	RELOC_OK,
	RELOC_UNKNOWN, /* a type that this architecture's compiler does not make here */
	RELOC_RANGE, /* the target is out of reach */
	RELOC_BROKEN, /* it makes no sense: misaligned, or without its other half */
};

/* One relocation: the target section's bytes and address, all relocations of that section. */
struct reloc {
	uint8_t *write; /* of the section */
	vaddr_t run;
	uint64_t size;
	uint64_t offset; /* in the section; < size */
	uint32_t type;
	uint64_t value; /* symbol + addend */
	/* RISC-V: the value of the relocation at `offset` of the section, for the low half of a pair;
	 * false: there is none with a high half. */
	bool (*high)(const struct reloc *r, uint64_t offset, uint64_t *value);
	void *context;
};

struct module_arch {
	uint16_t machine;
	enum reloc_result (*apply)(const struct reloc *r);
};

extern const struct module_arch module_arch_x86_64, module_arch_aarch64, module_arch_riscv64;
const struct module_arch *module_arch_find(uint16_t machine);

/* A RISC-V type whose value a low half elsewhere refers to. */
bool module_reloc_is_high(uint32_t type);

/* Whether `width` bytes at r->offset are inside the section. */
static inline bool reloc_fits(const struct reloc *r, size_t width)
{
	return r->offset <= r->size && r->size - r->offset >= width;
}

/* Writes the low `width` bytes (8 at most) of `value` at r->offset. */
static inline enum reloc_result reloc_put(const struct reloc *r, uint64_t value, size_t width)
{
	if (!reloc_fits(r, width))
		return RELOC_BROKEN;
	memcpy(r->write + r->offset, &value, width);
	return RELOC_OK;
}
