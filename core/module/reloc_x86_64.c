/*
 * Relocations of x86_64 (System V ABI, AMD64 supplement, table 4.9). Kernel and modules share the top
 * 2 GiB, so all displacements are 32 bits; a call through the PLT is a plain call.
 */
#include "image.h"

#include <lib/string.h>

enum {
	R_X86_64_NONE = 0,
	R_X86_64_64 = 1,
	R_X86_64_PC32 = 2,
	R_X86_64_PLT32 = 4,
	R_X86_64_32 = 10,
	R_X86_64_32S = 11,
	R_X86_64_PC64 = 24,
};

static enum reloc_result apply(const struct reloc *r)
{
	uint64_t relative = r->value - (r->run + r->offset);
	switch (r->type) {
	case R_X86_64_NONE:
		return RELOC_OK;
	case R_X86_64_64:
		return reloc_put(r, r->value, 8);
	case R_X86_64_PC64:
		return reloc_put(r, relative, 8);
	case R_X86_64_32:
		return r->value == (uint32_t)r->value ? reloc_put(r, r->value, 4) : RELOC_RANGE;
	case R_X86_64_32S:
		return (int64_t)r->value == (int32_t)r->value ? reloc_put(r, r->value, 4)
							      : RELOC_RANGE;
	case R_X86_64_PC32:
	case R_X86_64_PLT32:
		return (int64_t)relative == (int32_t)relative ? reloc_put(r, relative, 4)
							      : RELOC_RANGE;
	default:
		return RELOC_UNKNOWN;
	}
}

const struct module_arch module_arch_x86_64 = {.machine = EM_X86_64, .apply = apply};
