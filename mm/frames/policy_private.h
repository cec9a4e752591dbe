/* Policies, for the rest of mm. */
#pragma once

#include <mm/policy.h>

struct zone_request;
struct frame;

/* Round the work of a fault: what is allocated meanwhile comes from where the region's policy `p` says,
 * if it has one; `index` numbers the page for interleaving. p must stay until policy_leave. */
static inline void policy_enter(const struct memory_policy *p, uint64_t index)
{
	if (likely(!numa_many))
		return;
	struct task_memory *m = &current_task()->memory;
	m->place = p->active ? p : nullptr;
	m->index = index + 1;
	m->policed = m->place || m->policy.active;
}

static inline void policy_leave(void)
{
	if (likely(!numa_many))
		return;
	struct task_memory *m = &current_task()->memory;
	m->place = nullptr;
	m->index = 0;
	m->policed = m->policy.active;
}

/* Makes *r what the policy in force says. */
void policy_apply(struct zone_request *r);
/* Where p would put page `index`, if there is room. */
unsigned policy_node_of(const struct memory_policy *p, uint64_t index);
/* A frame for a program from `nodes`, the nearest to `node` first; no policy is asked. */
struct frame *frame_alloc_on(unsigned node, uint16_t nodes);
