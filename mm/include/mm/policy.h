/*
 * Memory policies (PMM-9): which nodes a program's pages come from. A task has one, for all it
 * touches; a region may have one of its own, which then counts there. On a machine with one node they
 * are kept and told again, and change nothing.
 */
#pragma once

#include <core/task.h>
#include <lib/kerr.h>
#include <mm/numa.h>

struct aspace;

enum policy_mode { /* Linux's MPOL_* */
		   POLICY_DEFAULT, /* the nearest node to the CPU, then by distance */
		   POLICY_PREFERRED, /* one node, then by distance from it */
		   POLICY_BIND, /* these nodes and no others */
		   POLICY_INTERLEAVE, /* these nodes in turn: by address in faults */
		   POLICY_LOCAL, /* as the default, also where the task has another */
		   POLICY_PREFERRED_MANY, /* these nodes, then by distance */
		   POLICY_WEIGHTED_INTERLEAVE, /* in turn, some longer than others */
		   POLICY_MODES,
};

#define POLICY_STATIC 0x8000u /* nodes are named as they are numbered .. */
#define POLICY_RELATIVE 0x4000u /* .. or counted among those that there are */
#define POLICY_BALANCING 0x2000u /* kept and told; pages are never moved unasked */

/* KERR_INVAL as set_mempolicy(2) has it. */
enum kerr policy_make(unsigned mode, unsigned flags, uint64_t nodes, struct memory_policy *out);
/* Of the current task, from now on. */
void policy_set_task(const struct memory_policy *p);
/* The node that the current task's interleaving comes to next. */
unsigned policy_next(void);
/* Frames a node gives in a row under POLICY_WEIGHTED_INTERLEAVE; 1 to begin with. */
unsigned policy_weight(unsigned node);
void policy_set_weight(unsigned node, uint8_t weight);
/* Nodes of which a bound request of the current task found none with a frame; 0: it was not bound.
 * Whom to end is a question of these nodes then. */
uint16_t policy_short_nodes(void);

/* ---- Regions (mm/space/policy.c) -------------------------------------------------------------- */

#define BIND_STRICT 1u
#define BIND_MOVE 2u
#define BIND_MOVE_ALL 4u /* also pages that other processes have: this one gets copies */

/* mbind(2). KERR_INVAL, KERR_FAULT: a hole; KERR_IO: BIND_STRICT and some page is elsewhere (and
 * could not be moved), KERR_NOMEM. The caller has checked rights. */
enum kerr aspace_bind(struct aspace *as, vaddr_t addr, size_t size, const struct memory_policy *p,
		      unsigned flags);
/* set_mempolicy_home_node(2). KERR_NOENT: no region has a policy there; KERR_OPNOTSUPP: one that has no
 * home. */
enum kerr aspace_set_home(struct aspace *as, vaddr_t addr, size_t size, unsigned node);
/* The policy of the region at `addr`, mode POLICY_DEFAULT if it has none. KERR_FAULT: no region. */
enum kerr aspace_policy(struct aspace *as, vaddr_t addr, struct memory_policy *out);
/* The node of the page at `addr`: KERR_FAULT: no region, or the page of zeroes; KERR_NOENT: no page.
 * With `touch` the page is faulted in, and the page of zeroes is one. */
enum kerr aspace_node(struct aspace *as, vaddr_t addr, bool touch, unsigned *node);
/* move_pages(2): the page at each address to its node; *status: where it is then, or KERR_FAULT,
 * KERR_NOENT, KERR_ACCESS (others have it, and not `all`), KERR_BUSY, KERR_NOMEM. Returns how many did
 * not get there though they are there. */
size_t aspace_move_pages(struct aspace *as, const vaddr_t *addrs, const uint8_t *nodes, int *status,
			 size_t count, bool all);
/* migrate_pages(2): every private page on node n goes to map[n]. Returns how many did not. */
uint64_t aspace_migrate(struct aspace *as, const uint8_t map[NODE_MAX], bool all);

struct region_nodes { /* pages */
	struct memory_policy policy;
	uint64_t anonymous, objects; /* private pages; pages of the object that are mapped here */
	uint64_t node[NODE_MAX];
};
/* For /proc/PID/numa_maps: the region that begins at `start`. */
bool aspace_region_nodes(struct aspace *as, vaddr_t start, struct region_nodes *out);
