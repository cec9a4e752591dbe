/*
 * Relocations of AArch64 (ELF for the Arm 64-bit Architecture, section 5.7). Modules lie within
 * 128 MiB of the image (mm/table/layout.c), so branches reach and there are no veneers.
 */
#include "image.h"

#include <lib/string.h>

enum {
	R_AARCH64_NONE = 0,
	R_AARCH64_ABS64 = 257,
	R_AARCH64_ABS32 = 258,
	R_AARCH64_PREL64 = 260,
	R_AARCH64_PREL32 = 261,
	R_AARCH64_LD_PREL_LO19 = 273,
	R_AARCH64_ADR_PREL_LO21 = 274,
	R_AARCH64_ADR_PREL_PG_HI21 = 275,
	R_AARCH64_ADD_ABS_LO12_NC = 277,
	R_AARCH64_LDST8_ABS_LO12_NC = 278,
	R_AARCH64_TSTBR14 = 279,
	R_AARCH64_CONDBR19 = 280,
	R_AARCH64_JUMP26 = 282,
	R_AARCH64_CALL26 = 283,
	R_AARCH64_LDST16_ABS_LO12_NC = 284,
	R_AARCH64_LDST32_ABS_LO12_NC = 285,
	R_AARCH64_LDST64_ABS_LO12_NC = 286,
	R_AARCH64_LDST128_ABS_LO12_NC = 299,
	R_AARCH64_PLT32 = 314,
};

/* Puts the low `bits` of `value` at bit `at` of the instruction. */
static enum reloc_result put_field(const struct reloc *r, uint64_t value, unsigned at,
				   unsigned bits)
{
	uint32_t word, mask = (uint32_t)(((uint64_t)1 << bits) - 1) << at;
	if (!reloc_fits(r, 4) || !IS_ALIGNED(r->run + r->offset, 4))
		return RELOC_BROKEN;
	memcpy(&word, r->write + r->offset, 4);
	word = (word & ~mask) | ((uint32_t)(value << at) & mask);
	memcpy(r->write + r->offset, &word, 4);
	return RELOC_OK;
}

static bool is_signed(int64_t value, unsigned bits)
{
	return value >= -((int64_t)1 << (bits - 1)) && value < (int64_t)1 << (bits - 1);
}

/* A branch or a load of `bits` words. */
static enum reloc_result put_branch(const struct reloc *r, int64_t relative, unsigned at,
				    unsigned bits)
{
	if (relative & 3)
		return RELOC_BROKEN;
	return is_signed(relative, bits + 2) ? put_field(r, (uint64_t)relative >> 2, at, bits)
					     : RELOC_RANGE;
}

/* ADR and ADRP: two low bits at 29, nineteen at 5. */
static enum reloc_result put_adr(const struct reloc *r, int64_t value)
{
	if (!is_signed(value, 21))
		return RELOC_RANGE;
	enum reloc_result result = put_field(r, (uint64_t)value & 3, 29, 2);
	return result == RELOC_OK ? put_field(r, (uint64_t)value >> 2, 5, 19) : result;
}

/* The offset in the page, scaled by the size of the access. */
static enum reloc_result put_page_offset(const struct reloc *r, unsigned shift)
{
	uint64_t offset = r->value & 0xfff;
	return IS_ALIGNED(offset, (uint64_t)1 << shift) ? put_field(r, offset >> shift, 10, 12)
							: RELOC_BROKEN;
}

static enum reloc_result apply(const struct reloc *r)
{
	vaddr_t place = r->run + r->offset;
	int64_t relative = (int64_t)(r->value - place);
	switch (r->type) {
	case R_AARCH64_NONE:
		return RELOC_OK;
	case R_AARCH64_ABS64:
		return reloc_put(r, r->value, 8);
	case R_AARCH64_PREL64:
		return reloc_put(r, (uint64_t)relative, 8);
	case R_AARCH64_ABS32:
		return r->value == (uint32_t)r->value || (int64_t)r->value == (int32_t)r->value
			       ? reloc_put(r, r->value, 4)
			       : RELOC_RANGE;
	case R_AARCH64_PREL32:
	case R_AARCH64_PLT32:
		return is_signed(relative, 32) ? reloc_put(r, (uint64_t)relative, 4) : RELOC_RANGE;
	case R_AARCH64_ADR_PREL_LO21:
		return put_adr(r, relative);
	case R_AARCH64_ADR_PREL_PG_HI21:
		return put_adr(r, (int64_t)((r->value >> 12) - (place >> 12)));
	case R_AARCH64_ADD_ABS_LO12_NC:
	case R_AARCH64_LDST8_ABS_LO12_NC:
		return put_page_offset(r, 0);
	case R_AARCH64_LDST16_ABS_LO12_NC:
		return put_page_offset(r, 1);
	case R_AARCH64_LDST32_ABS_LO12_NC:
		return put_page_offset(r, 2);
	case R_AARCH64_LDST64_ABS_LO12_NC:
		return put_page_offset(r, 3);
	case R_AARCH64_LDST128_ABS_LO12_NC:
		return put_page_offset(r, 4);
	case R_AARCH64_TSTBR14:
		return put_branch(r, relative, 5, 14);
	case R_AARCH64_LD_PREL_LO19:
	case R_AARCH64_CONDBR19:
		return put_branch(r, relative, 5, 19);
	case R_AARCH64_JUMP26:
	case R_AARCH64_CALL26:
		return put_branch(r, relative, 0, 26);
	default:
		return RELOC_UNKNOWN;
	}
}

const struct module_arch module_arch_aarch64 = {.machine = EM_AARCH64, .apply = apply};
