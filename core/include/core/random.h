/* Random numbers: ChaCha20 keyed from firmware seed, CPU instruction and interrupt times; one
 * generator per CPU. Any context. */
#pragma once

#include <lib/compiler.h>

void random_bytes(void *buf, size_t size);
uint64_t random_u64(void);
/* Mixes something unpredictable in (interrupt times, writes to /dev/random). */
void random_mix(const void *data, size_t size);
