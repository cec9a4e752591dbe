/*
 * The image's own relocation. The kernel is a static PIE: the linker left one table, .rela.dyn, of
 * nothing but R_*_RELATIVE (the link fails on others: -z text), each "the word at `offset` shall
 * hold `addend` plus the slide" (System V ABI, chapter 5, and the psABI of each architecture).
 * Runs before any pointer in data can be used: everything here is PC-relative.
 * Cost: one load and store a pointer in data, some thousands.
 */
#include "boot.h"

#include <hal/image.h>

#define LINKED_AT 0xffffffff80000000ull /* KERNEL_VMA of boot/kernel.ld.S */

#define R_X86_64_RELATIVE 8
#define R_RISCV_RELATIVE 3
#define R_AARCH64_RELATIVE 1027

struct elf_rela {
	uint64_t offset;
	uint64_t info;
	int64_t addend;
};

extern const struct elf_rela __rela_start[], __rela_end[];

static bool is_relative(uint64_t info)
{
	return info == R_AARCH64_RELATIVE || info == R_X86_64_RELATIVE || info == R_RISCV_RELATIVE;
}

bool boot_relocate(vaddr_t base, uint64_t slide)
{
	uint64_t size = (uint64_t)(__image_end - __image_start);
	for (const struct elf_rela *r = __rela_start; r < __rela_end; r++) {
		uint64_t place = r->offset - LINKED_AT, target = (uint64_t)r->addend - LINKED_AT;
		if (!is_relative(r->info) || place > size - 8 || (place & 7) || target > size)
			return false;
		*(uint64_t *)(base + place) = (uint64_t)r->addend + slide;
	}
	return true;
}
