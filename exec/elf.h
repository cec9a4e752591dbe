/* ELF64 files (System V ABI, chapters 4 and 5), as the program loader sees them. */
#pragma once

#include <mm/aspace.h>

#define PT_LOAD 1
#define PT_INTERP 3
#define PT_PHDR 6
#define PT_GNU_STACK 0x6474e551

#define PF_X 1
#define PF_W 2
#define PF_R 4

#define ELF_INTERP_MAX 256

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment { /* Elf64_Phdr */
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_segment) == 56);

struct elf_image {
	struct vm_object *object;      /* the caller's reference */
	bool fixed;      /* ET_EXEC: goes where it says */
	uint64_t entry;                /* unrelocated */
	uint64_t low, high;            /* page-aligned extent of all segments, unrelocated */
	uint64_t headers;              /* where the program headers will be; 0: nowhere */
	uint64_t align;                /* of the base address */
	unsigned count;
	struct elf_segment *segments;  /* all program headers; elf_free() */
	char interpreter[ELF_INTERP_MAX]; /* "": none */
};

/* Reads and checks everything that elf_map() relies on. NOEXEC: not for this machine or damaged;
 * IO, NOMEM. On success elf_free() later. */
enum kerr elf_read(struct vm_object *object, struct elf_image *out);
void elf_free(struct elf_image *image);
/* Maps the segments with `base` added to their addresses; sets *end behind the last byte. */
enum kerr elf_map(const struct elf_image *image, struct aspace *as, vaddr_t base, vaddr_t *end);
