/* Moving private pages between nodes; inside mm. */
#pragma once

#include "region.h"

#include <mm/policy.h>

#define RUN 64u /* pages that one flush is for */
#define NODE_NONE 0xff

/* Pages from number `key` on. */
struct page_run {
	uint64_t key;
	unsigned count;
	uint16_t allowed; /* nodes that will do, a bit each; 0: only the one asked for */
	bool all; /* also pages that others have */
	uint8_t node[RUN]; /* where to; NODE_NONE: stays, status is left alone */
	int status[RUN]; /* out: the node, or an error as aspace_move_pages has it */
};
/* The run lies in r, which is write-locked. */
void region_move_run(struct region *r, struct page_run *run);

struct migration {
	const uint8_t *map; /* by node; null: by policy */
	const struct memory_policy *policy;
	uint16_t allowed; /* as in page_run */
	bool all;
	uint64_t failed; /* out: pages that should have moved */
};
/* Private pages of r in [start, end). aspace.lock; r is write-locked. */
void region_migrate(struct region *r, vaddr_t start, vaddr_t end, struct migration *m);
