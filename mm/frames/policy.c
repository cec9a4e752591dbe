/*
 * Memory policies: from a mode and a set of nodes to the zones that a request may use.
 *
 *	a fault in a region with a policy     the region's
 *	else a request for a program          the task's
 *	else, or on a machine with one node   the CPU's node, then the others by distance
 *
 * What is asked and what is meant differ: a program names nodes as it likes, `nodes` are those with
 * memory. POLICY_RELATIVE counts among them, everything else is cut to them.
 *
 * Data: a policy is a value, in a task (its own) and in a region (region.lock); nothing is shared. A
 * fault leaves in its task where the region's lies (policy_enter) and which page it is about; the frame
 * allocator looks at one byte, `policed`, and comes here if it is set. A request under a policy goes
 * past the CPU's cache unless that has a frame of the right node: so the figures of a zone are exact.
 *
 * A bound request that finds nothing leaves the nodes in `short_nodes`: memory may be plenty elsewhere,
 * but whoever is to be ended must have some there (exec/oom.c).
 *
 * Weights are bytes that anybody reads as they are.
 */
#include "policy_private.h"

#include "allocator.h"

#include <lib/compiler.h>

#define FLAGS_KNOWN (POLICY_STATIC | POLICY_RELATIVE | POLICY_BALANCING)

static _Atomic uint8_t weights[NODE_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

unsigned policy_weight(unsigned node)
{
	return atomic_load_explicit(&weights[node], memory_order_relaxed);
}

void policy_set_weight(unsigned node, uint8_t weight)
{
	atomic_store_explicit(&weights[node], MAX(weight, (uint8_t)1), memory_order_relaxed);
}

/* ---- Sets of nodes -------------------------------------------------------------------------- */

/* The n-th bit that is set, n below their number. */
static unsigned nth(uint64_t set, unsigned n)
{
	while (n--)
		set &= set - 1;
	return (unsigned)__builtin_ctzll(set);
}

static uint64_t relative(uint64_t asked, uint64_t present)
{
	unsigned count = (unsigned)__builtin_popcountll(present);
	uint64_t set = 0;

	for (; asked && count; asked &= asked - 1)
		set |= 1ull << nth(present, (unsigned)__builtin_ctzll(asked) % count);
	return set;
}

enum kerr policy_make(unsigned mode, unsigned flags, uint64_t asked, struct memory_policy *out)
{
	const unsigned own = POLICY_STATIC | POLICY_RELATIVE;
	uint64_t present = numa_memory_nodes();

	if (mode >= POLICY_MODES || flags & ~FLAGS_KNOWN || (flags & own) == own ||
	    (flags & POLICY_BALANCING && mode != POLICY_BIND && mode != POLICY_PREFERRED_MANY))
		return KERR_INVAL;
	if (mode == POLICY_DEFAULT) {
		*out = (struct memory_policy){};
		return asked ? KERR_INVAL : KERR_OK;
	}
	if (mode == POLICY_PREFERRED && !asked)
		mode = POLICY_LOCAL;
	if (mode == POLICY_LOCAL ? asked || flags & own : !asked)
		return KERR_INVAL;
	uint64_t nodes = flags & POLICY_RELATIVE ? relative(asked, present) : asked & present;
	if (mode != POLICY_LOCAL && !nodes)
		return KERR_INVAL;
	if (mode == POLICY_PREFERRED)
		nodes &= -nodes;
	*out = (struct memory_policy){.mode = (uint8_t)mode,
				      .active = numa_many,
				      .flags = (uint16_t)flags,
				      .nodes = (uint16_t)nodes,
				      .asked = asked};
	return KERR_OK;
}

/* ---- Tasks ---------------------------------------------------------------------------------- */

void policy_set_task(const struct memory_policy *p)
{
	struct task_memory *m = &current_task()->memory;

	m->policy = *p;
	m->policed = p->active;
	m->next = p->nodes ? (uint8_t)nth(p->nodes, 0) : 0;
	m->left = (uint8_t)policy_weight(m->next);
}

unsigned policy_next(void)
{
	return current_task()->memory.next;
}

uint16_t policy_short_nodes(void)
{
	return current_task()->memory.short_nodes;
}

static unsigned node_after(unsigned node, uint16_t nodes)
{
	uint32_t above = nodes & ~((2u << node) - 1);

	return (unsigned)__builtin_ctz(above ? above : nodes);
}

/* The task's turn; one frame is taken. */
static unsigned take_turn(struct task_memory *m, const struct memory_policy *p)
{
	unsigned node = m->next;

	if (p->mode == POLICY_WEIGHTED_INTERLEAVE && m->left > 1) {
		m->left--;
		return node;
	}
	m->next = (uint8_t)node_after(node, p->nodes);
	m->left = (uint8_t)policy_weight(m->next);
	return node;
}

/* ---- Requests ------------------------------------------------------------------------------- */

static unsigned turn_of(const struct memory_policy *p, uint64_t index)
{
	if (p->mode == POLICY_INTERLEAVE)
		return nth(p->nodes, (unsigned)(index % (unsigned)__builtin_popcount(p->nodes)));
	unsigned sum = 0;
	for (uint32_t set = p->nodes; set; set &= set - 1)
		sum += policy_weight((unsigned)__builtin_ctz(set));
	uint64_t at = index % MAX(sum, 1u);
	uint32_t set = p->nodes;
	for (; set & (set - 1); set &= set - 1) {
		unsigned weight = policy_weight((unsigned)__builtin_ctz(set));
		if (at < weight)
			break;
		at -= weight;
	}
	return (unsigned)__builtin_ctz(set);
}

unsigned policy_node_of(const struct memory_policy *p, uint64_t index)
{
	unsigned here = numa_node_of_cpu(cpu_id());

	switch (p->mode) {
	case POLICY_PREFERRED:
		return (unsigned)__builtin_ctz(p->nodes);
	case POLICY_BIND:
	case POLICY_PREFERRED_MANY:
		return zone_nearest(p->home ? p->home - 1u : here, p->nodes);
	case POLICY_INTERLEAVE:
	case POLICY_WEIGHTED_INTERLEAVE:
		return turn_of(p, index);
	default:
		return here;
	}
}

void policy_apply(struct zone_request *r)
{
	struct task_memory *m = &current_task()->memory;
	const struct memory_policy *p = m->place ? m->place : &m->policy;

	if (!p->active)
		return;
	switch (p->mode) {
	case POLICY_BIND:
	case POLICY_PREFERRED_MANY:
		r->node = p->home ? p->home - 1 : r->node;
		r->nodes = p->nodes;
		r->spill = p->mode != POLICY_BIND;
		r->wanted = (uint8_t)zone_nearest(r->node, p->nodes);
		return;
	case POLICY_INTERLEAVE:
	case POLICY_WEIGHTED_INTERLEAVE:
		r->node = r->wanted =
			(uint8_t)(m->index ? turn_of(p, m->index - 1) : take_turn(m, p));
		r->interleaved = true;
		return;
	default:
		r->node = r->wanted = (uint8_t)policy_node_of(p, 0);
		return;
	}
}
