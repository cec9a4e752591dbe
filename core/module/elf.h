/* Relocatable ELF64 objects (System V ABI, chapter 4), as the module loader sees them. */
#pragma once

#include <stdint.h>

#define ELF_RELOCATABLE 1

#define SHT_PROGBITS 1
#define SHT_SYMTAB 2
#define SHT_STRTAB 3
#define SHT_RELA 4
#define SHT_NOBITS 8
#define SHT_REL 9

#define SHF_WRITE 1u
#define SHF_ALLOC 2u
#define SHF_EXECINSTR 4u

#define SHN_UNDEF 0
#define SHN_ABS 0xfff1

#define STT_FUNC 2
#define STB_LOCAL 0
#define STB_WEAK 2

#define EM_X86_64 62
#define EM_AARCH64 183
#define EM_RISCV 243

struct elf_object {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_section {
	uint32_t name, type;
	uint64_t flags, addr, offset, size;
	uint32_t link, info;
	uint64_t addralign, entsize;
};

struct elf_symbol {
	uint32_t name;
	uint8_t info, other;
	uint16_t section;
	uint64_t value, size;
};

struct elf_rela {
	uint64_t offset, info;
	int64_t addend;
};

static_assert(sizeof(struct elf_object) == 64 && sizeof(struct elf_section) == 64);
static_assert(sizeof(struct elf_symbol) == 24 && sizeof(struct elf_rela) == 24);
