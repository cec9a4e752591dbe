/* Unpacking cpio archives into the root filesystem. */
#pragma once

#include <hal/boot_info.h>
#include <lib/kerr.h>

struct cpio_result {
	uint64_t entries;  /* that were made */
	uint64_t refused;  /* that were well-formed but could not be made or must not */
	uint64_t offset;   /* where it went wrong, bytes */
	const char *what;  /* the first thing that went wrong; null: nothing */
};

/* Unpacks all archives in [data, data + size) (newc or crc, one behind the other, zeroes between
 * them) below the current root. What was good before an error stays. */
void cpio_unpack(const void *data, uint64_t size, struct cpio_result *out);

/* All modules of the boot; what went wrong is one line in the log each. */
void initramfs_unpack(const struct boot_info *info);
