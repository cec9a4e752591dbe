/*
 * Relocations of RISC-V (RISC-V ABIs Specification, ELF, "Relocations"). A 32-bit distance is made of
 * two instructions; the relocation of the second names the first one, whose own value counts. ADD and SUB
 * come in pairs on the same word. Objects are made without relaxation.
 */
#include "image.h"

#include <lib/string.h>

enum {
	R_RISCV_NONE = 0,
	R_RISCV_32 = 1,
	R_RISCV_64 = 2,
	R_RISCV_BRANCH = 16,
	R_RISCV_JAL = 17,
	R_RISCV_CALL = 18,
	R_RISCV_CALL_PLT = 19,
	R_RISCV_PCREL_HI20 = 23,
	R_RISCV_PCREL_LO12_I = 24,
	R_RISCV_PCREL_LO12_S = 25,
	R_RISCV_HI20 = 26,
	R_RISCV_LO12_I = 27,
	R_RISCV_LO12_S = 28,
	R_RISCV_ADD8 = 33,
	R_RISCV_ADD16 = 34,
	R_RISCV_ADD32 = 35,
	R_RISCV_ADD64 = 36,
	R_RISCV_SUB8 = 37,
	R_RISCV_SUB16 = 38,
	R_RISCV_SUB32 = 39,
	R_RISCV_SUB64 = 40,
	R_RISCV_ALIGN = 43,
	R_RISCV_RVC_BRANCH = 44,
	R_RISCV_RVC_JUMP = 45,
	R_RISCV_RELAX = 51,
	R_RISCV_SUB6 = 52,
	R_RISCV_SET6 = 53,
	R_RISCV_SET8 = 54,
	R_RISCV_SET16 = 55,
	R_RISCV_SET32 = 56,
	R_RISCV_32_PCREL = 57,
};

bool module_reloc_is_high(uint32_t type)
{
	return type == R_RISCV_PCREL_HI20;
}

static bool is_signed(int64_t value, unsigned bits)
{
	return value >= -((int64_t)1 << (bits - 1)) && value < (int64_t)1 << (bits - 1);
}

static uint32_t bits(uint64_t value, unsigned from, unsigned count, unsigned to)
{
	return (uint32_t)(value >> from & (((uint64_t)1 << count) - 1)) << to;
}

static uint64_t get(const struct reloc *r, size_t at, size_t width)
{
	uint64_t value = 0;
	memcpy(&value, r->write + r->offset + at, width);
	return value;
}

static enum reloc_result put(const struct reloc *r, size_t at, uint64_t value, size_t width)
{
	memcpy(r->write + r->offset + at, &value, width);
	return RELOC_OK;
}

/* Replaces the bits of the instruction `at` bytes on that are in `mask`. */
static enum reloc_result put_bits(const struct reloc *r, size_t at, size_t width, uint32_t mask,
				  uint32_t value)
{
	return put(r, at, ((uint32_t)get(r, at, width) & ~mask) | value, width);
}

/* AUIPC and LUI take the upper 20 bits, rounded so that a signed low half brings it back. */
static enum reloc_result put_high(const struct reloc *r, int64_t value)
{
	if (!is_signed(value + 0x800, 32))
		return RELOC_RANGE;
	return put_bits(r, 0, 4, 0xfffff000, (uint32_t)((uint64_t)value + 0x800) & 0xfffff000);
}

static enum reloc_result put_low_i(const struct reloc *r, size_t at, uint64_t value)
{
	return put_bits(r, at, 4, 0xfff00000, bits(value, 0, 12, 20));
}

static enum reloc_result put_low_s(const struct reloc *r, uint64_t value)
{
	return put_bits(r, 0, 4, 0xfe000f80, bits(value, 5, 7, 25) | bits(value, 0, 5, 7));
}

static enum reloc_result put_low(const struct reloc *r)
{
	/* The value names the other instruction of the pair, in the same section. */
	uint64_t high, at = r->value - r->run;
	if (at >= r->size || !r->high(r, at, &high))
		return RELOC_BROKEN;
	uint64_t low = high - r->value;
	return r->type == R_RISCV_PCREL_LO12_I ? put_low_i(r, 0, low) : put_low_s(r, low);
}

static enum reloc_result put_jump(const struct reloc *r, int64_t relative)
{
	uint64_t v = (uint64_t)relative;
	static const uint8_t reach[] = {[R_RISCV_BRANCH] = 13,
					[R_RISCV_JAL] = 21,
					[R_RISCV_RVC_BRANCH] = 9,
					[R_RISCV_RVC_JUMP] = 12};
	if (relative & 1)
		return RELOC_BROKEN;
	if (!is_signed(relative, reach[r->type]))
		return RELOC_RANGE;
	switch (r->type) {
	case R_RISCV_BRANCH:
		return put_bits(r, 0, 4, 0xfe000f80,
				bits(v, 12, 1, 31) | bits(v, 5, 6, 25) | bits(v, 1, 4, 8) |
					bits(v, 11, 1, 7));
	case R_RISCV_JAL:
		return put_bits(r, 0, 4, 0xfffff000,
				bits(v, 20, 1, 31) | bits(v, 1, 10, 21) | bits(v, 11, 1, 20) |
					bits(v, 12, 8, 12));
	case R_RISCV_RVC_BRANCH:
		return put_bits(r, 0, 2, 0x1c7c,
				bits(v, 8, 1, 12) | bits(v, 3, 2, 10) | bits(v, 6, 2, 5) |
					bits(v, 1, 2, 3) | bits(v, 5, 1, 2));
	default:
		return put_bits(r, 0, 2, 0x1ffc,
				bits(v, 11, 1, 12) | bits(v, 4, 1, 11) | bits(v, 8, 2, 9) |
					bits(v, 10, 1, 8) | bits(v, 6, 1, 7) | bits(v, 7, 1, 6) |
					bits(v, 1, 3, 3) | bits(v, 5, 1, 2));
	}
}

static enum reloc_result put_call(const struct reloc *r, int64_t relative)
{
	enum reloc_result result = put_high(r, relative);
	return result == RELOC_OK ? put_low_i(r, 4, (uint64_t)relative) : result;
}

/* Bytes that a relocation of this type changes; 0: it is unknown, 255: none. */
static unsigned width_of(uint32_t type)
{
	switch (type) {
	case R_RISCV_NONE:
	case R_RISCV_RELAX:
		return 255;
	case R_RISCV_ADD8:
	case R_RISCV_SUB8:
	case R_RISCV_SET8:
	case R_RISCV_SUB6:
	case R_RISCV_SET6:
		return 1;
	case R_RISCV_ADD16:
	case R_RISCV_SUB16:
	case R_RISCV_SET16:
	case R_RISCV_RVC_BRANCH:
	case R_RISCV_RVC_JUMP:
		return 2;
	case R_RISCV_64:
	case R_RISCV_ADD64:
	case R_RISCV_SUB64:
	case R_RISCV_CALL:
	case R_RISCV_CALL_PLT:
		return 8;
	case R_RISCV_32:
	case R_RISCV_BRANCH:
	case R_RISCV_JAL:
	case R_RISCV_PCREL_HI20:
	case R_RISCV_PCREL_LO12_I:
	case R_RISCV_PCREL_LO12_S:
	case R_RISCV_HI20:
	case R_RISCV_LO12_I:
	case R_RISCV_LO12_S:
	case R_RISCV_ADD32:
	case R_RISCV_SUB32:
	case R_RISCV_SET32:
	case R_RISCV_32_PCREL:
		return 4;
	default:
		return 0;
	}
}

/* Sums and words: no instructions. */
static enum reloc_result put_data(const struct reloc *r, int64_t relative, unsigned width)
{
	uint64_t old = get(r, 0, width);
	switch (r->type) {
	case R_RISCV_ADD8:
	case R_RISCV_ADD16:
	case R_RISCV_ADD32:
	case R_RISCV_ADD64:
		return put(r, 0, old + r->value, width);
	case R_RISCV_SUB8:
	case R_RISCV_SUB16:
	case R_RISCV_SUB32:
	case R_RISCV_SUB64:
		return put(r, 0, old - r->value, width);
	case R_RISCV_SUB6:
		return put(r, 0, (old & 0xc0) | ((old - r->value) & 0x3f), 1);
	case R_RISCV_SET6:
		return put(r, 0, (old & 0xc0) | (r->value & 0x3f), 1);
	case R_RISCV_32_PCREL:
		return is_signed(relative, 32) ? put(r, 0, (uint64_t)relative, 4) : RELOC_RANGE;
	case R_RISCV_32:
		return r->value == (uint32_t)r->value || is_signed((int64_t)r->value, 32)
			       ? put(r, 0, r->value, 4)
			       : RELOC_RANGE;
	default: /* 64, SET8, SET16, SET32 */
		return put(r, 0, r->value, width);
	}
}

static enum reloc_result apply(const struct reloc *r)
{
	int64_t relative = (int64_t)(r->value - (r->run + r->offset));
	unsigned width = width_of(r->type);
	if (width == 0)
		return RELOC_UNKNOWN;
	if (width == 255)
		return RELOC_OK;
	if (!reloc_fits(r, width))
		return RELOC_BROKEN;
	switch (r->type) {
	case R_RISCV_BRANCH:
	case R_RISCV_JAL:
	case R_RISCV_RVC_BRANCH:
	case R_RISCV_RVC_JUMP:
		return put_jump(r, relative);
	case R_RISCV_CALL:
	case R_RISCV_CALL_PLT:
		return put_call(r, relative);
	case R_RISCV_PCREL_HI20:
		return put_high(r, relative);
	case R_RISCV_PCREL_LO12_I:
	case R_RISCV_PCREL_LO12_S:
		return put_low(r);
	case R_RISCV_HI20:
		return put_high(r, (int64_t)r->value);
	case R_RISCV_LO12_I:
		return put_low_i(r, 0, r->value);
	case R_RISCV_LO12_S:
		return put_low_s(r, r->value);
	default:
		return put_data(r, relative, width);
	}
}

const struct module_arch module_arch_riscv64 = {.machine = EM_RISCV, .apply = apply};
