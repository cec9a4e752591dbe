/* What the module counter offers to other modules. */
#pragma once

#include <stdint.h>

/* The next `count` numbers, which nobody else gets; the first of them. Threads only. */
uint64_t counter_take(uint64_t count);

/* A provider of the slot "counter". Its state, version 1, is the number that comes next. */
struct counter_ops {
	uint64_t (*take)(void *instance, uint64_t count);
	void (*set)(void *instance, uint64_t next);
};
