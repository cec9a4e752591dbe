/* Mutation of inputs for the fuzz drivers: deterministic, by the test's random numbers. */
#pragma once

#include "harness.h"

/* Changes `data` (`size` bytes, room for `room`) at one to eight places; the new size. */
size_t fuzz_mutate(struct test_random *random, uint8_t *data, size_t size, size_t room);
/* A copy of exactly `size` bytes on the heap, 16-byte aligned, so that a sanitizer sees a read
 * past its end. free() it. */
void *fuzz_copy(const void *data, size_t size);
