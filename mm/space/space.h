/* Address spaces and objects, as mm/init.c sees them. */
#pragma once

#include <mm/memory.h>

void space_init(void);
void space_stats(struct memory_stats *out);
