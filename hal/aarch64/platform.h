/* The device tree as the files of this port share it; opened once by platform.c. */
#pragma once

#include "fdt.h"

const struct fdt *platform_fdt(void);
