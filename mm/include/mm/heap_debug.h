/*
 * The heap's debug mode (HP-6), `heap_debug` on the command line: where each block was allocated and
 * freed, red zones, poison, and reports of what programs errors did to them; mm/heap/debug.c.
 * /sys/kernel/debug/heap shows it.
 */
#pragma once

#include <hal/types.h>

bool heap_debug_on(void);

struct heap_debug_figures {
	size_t blocks, bytes; /* in use */
	size_t quarantined;   /* freed blocks that are kept back */
	uint64_t reports;     /* corruptions reported since boot */
};
void heap_debug_figures(struct heap_debug_figures *out);

/* From now on heap_debug_leaks() counts only blocks that are allocated later. */
void heap_debug_mark(void);
/* Looks at all red zones, at the poison of what is in quarantine, and at the provider's own data;
 * reports what it finds. How many blocks were found damaged. */
size_t heap_debug_sweep(void);

#define HEAP_CHAIN 10

struct heap_site {
	size_t blocks, bytes;     /* in use since the mark */
	vaddr_t chain[HEAP_CHAIN]; /* who called whom; ended by 0 if shorter */
};
/* Takes stock of the blocks in use since the mark; heap_debug_site() then gives the sites, most bytes
 * first. One caller at a time. */
void heap_debug_leaks(void);
bool heap_debug_site(size_t index, struct heap_site *out);
