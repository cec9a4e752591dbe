/* What the module counter offers to other modules. */
#pragma once

#include <stdint.h>

/* The next `count` numbers, which nobody else gets; the first of them. Any context. */
uint64_t counter_take(uint64_t count);
