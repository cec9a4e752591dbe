/* A boot_source that reads a flattened device tree: AArch64 and RISC-V. */
#pragma once

#include "boot.h"
#include "fdt.h"

struct fdt_source {
	struct boot_source source;
	struct fdt fdt;
};

/* False: it is not a device tree. The rest as below. */
bool fdt_source_try(struct fdt_source *out, const char *protocol, const void *blob, size_t limit);
/* `blob` lies in the direct map, `limit` bytes of it are mapped. Stops with core_panic if it is
 * not a device tree. The source refers to *out, which must stay where it is. */
void fdt_source_open(struct fdt_source *out, const char *protocol, const void *blob, size_t limit);
