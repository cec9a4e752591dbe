/*
 * The first page tables. This runs at physical addresses, before the image is relocated: it may use
 * no pointer that is initialised data.
 *
 * Mapped, with the largest pages, readable, writable and executable until mm builds its own:
 *   image         at the address it is linked at, in 2 MiB pages
 *   identity      the GiB of the image, for the instruction after satp is written
 *   direct map    the GiBs of the image, of the device tree and of the stdout port's registers
 *
 * Which mode: satp keeps a mode only if the hart has it (Privileged Architecture, 4.1.11), so
 * trying is asking. Sv48 is tried first: its 128 TiB are enough for programs and RAM, and the fifth
 * level of Sv57 would cost each walk and each process a table more. "paging=sv39|sv48|sv57" on the
 * command line asks for another; if the hart lacks it, the next smaller is taken.
 */
#include "early_tables.h"

#include <hal/image.h>
#include <lib/compiler.h>
#include <lib/string.h>

#include "fdt.h"
#include "regs.h"

#define LINKED_AT 0xffffffff80000000ull
#define MIB2 0x200000ull
#define GIB 0x40000000ull
#define LEVEL_2M 1
#define LEVEL_1G 2
/* Root, identity 2, image 3, and for each of three GiBs 2: at five levels and far apart. */
#define POOL_PAGES 12

#define LEAF_BITS (PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)

struct early_tables early_tables;
static ALIGNED(4096) uint64_t pool[POOL_PAGES][512];

struct table_builder {
	unsigned levels, used;
	uint64_t *root;
};

static uint64_t *page_take(struct table_builder *b)
{
	return b->used < POOL_PAGES ? pool[b->used++] : nullptr;
}

/* One leaf; what is mapped already stays. */
static void map_leaf(struct table_builder *b, vaddr_t va, paddr_t pa, unsigned leaf_level)
{
	uint64_t *table = b->root;
	for (unsigned level = b->levels - 1; level > leaf_level; level--) {
		uint64_t *entry = &table[va >> (12 + 9 * level) & 511];
		if (*entry == 0) {
			uint64_t *page = page_take(b);
			if (!page)
				return;
			*entry = (uint64_t)page >> 12 << PTE_PPN_SHIFT | PTE_V;
		}
		table = (uint64_t *)(*entry >> PTE_PPN_SHIFT << 12);
	}
	table[va >> (12 + 9 * leaf_level) & 511] = pa >> 12 << PTE_PPN_SHIFT | LEAF_BITS;
}

static vaddr_t direct_map_base(unsigned mode, const struct early_tables *e)
{
	return mode == SATP_SV39   ? 0xffffffc000000000 + e->slide_39
	       : mode == SATP_SV48 ? 0xffff800000000000 + e->slide
				   : 0xff00000000000000 + e->slide;
}

static void map_direct(struct table_builder *b, vaddr_t base, paddr_t address)
{
	address = ALIGN_DOWN(address, GIB);
	map_leaf(b, base + address, address, LEVEL_1G);
}

/* Builds the tables for `mode` and tries it. */
static bool mode_try(unsigned mode, const struct early_tables *e)
{
	struct table_builder b = {.levels = mode - SATP_SV39 + 3};
	vaddr_t base = direct_map_base(mode, e);
	memset(pool, 0, sizeof(pool));
	b.root = page_take(&b);
	for (paddr_t at = e->early.image_start; at < e->early.image_end; at += MIB2)
		map_leaf(&b, LINKED_AT + (at - e->early.image_start), at, LEVEL_2M);
	for (paddr_t at = e->early.early_start; at < e->early.early_end; at += GIB) {
		map_leaf(&b, at, at, LEVEL_1G);
		map_direct(&b, base, at);
	}
	map_direct(&b, base, e->fdt);
	if (e->early.console_mmio_size)
		map_direct(&b, base, e->early.console_mmio);
	uint64_t satp = (uint64_t)mode << SATP_MODE_SHIFT | (uint64_t)b.root >> 12;
	asm volatile("sfence.vma" ::: "memory");
	csr_write(satp, satp);
	asm volatile("sfence.vma" ::: "memory");
	return csr_read(satp) == satp;
}

/* The registers of the port called stdout, if it is a 16550. */
static void console_find(const struct fdt *fdt, struct boot_early *early)
{
	struct fdt_node node;
	uint64_t size;
	if (fdt_stdout(fdt, &node) &&
	    (fdt_is_compatible(fdt, &node, "ns16550a") ||
	     fdt_is_compatible(fdt, &node, "ns16550") ||
	     fdt_is_compatible(fdt, &node, "snps,dw-apb-uart")) &&
	    fdt_reg(fdt, &node, 0, &early->console_mmio, &size))
		early->console_mmio_size = ALIGN_UP(size, (uint64_t)PAGE_SIZE);
}

static unsigned mode_wanted(const char *command_line)
{
	const char *option = strstr(command_line, "paging=sv");
	if (!option)
		return SATP_SV48;
	option += sizeof("paging=sv") - 1;
	return strncmp(option, "39", 2) == 0   ? SATP_SV39
	       : strncmp(option, "57", 2) == 0 ? SATP_SV57
					       : SATP_SV48;
}

uint64_t boot_tables_on(paddr_t fdt_address, paddr_t image)
{
	struct early_tables *e = &early_tables;
	struct fdt fdt;
	unsigned mode = SATP_SV48;
	e->early.image_start = image;
	e->early.image_end = image + (uint64_t)(__image_end - __image_start);
	e->early.image_base = LINKED_AT;
	e->early.early_start = ALIGN_DOWN(image, GIB);
	e->early.early_end = ALIGN_UP(e->early.image_end, GIB);
	e->fdt = fdt_address;
	e->fdt_limit = GIB - (fdt_address & (GIB - 1));
	/* A broken tree is reported by boot_main(), where there are messages. */
	if (fdt_open(&fdt, (const void *)fdt_address, e->fdt_limit) == KERR_OK) {
		console_find(&fdt, &e->early);
		struct boot_source source = {.command_line = fdt_bootargs(&fdt)};
		source.seed = fdt_seed(&fdt, &source.seed_size);
		mode = mode_wanted(source.command_line);
		e->slide = boot_slide(&source, 0, BOOT_SLIDE_BITS);
		e->slide_39 = boot_slide(&source, 0, BOOT_SLIDE_BITS_39);
	}
	while (!mode_try(mode, e) && mode > SATP_SV39)
		mode--;
	e->early.direct_map = direct_map_base(mode, e);
	return LINKED_AT - image;
}
