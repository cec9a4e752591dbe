/* The one part of sched_levels.h that is not short. */
#include "sched_levels.h"

struct thread *levels_pull(struct levels *q, cpu_t to)
{
	for (int w = LEVEL_WORDS - 1; w >= 0; w--) {
		for (uint64_t bits = q->bitmap[w]; bits;) {
			int bit = 63 - __builtin_clzll(bits);
			struct thread *t;
			list_for_each(t, &q->lists[w * 64 + bit], run_link) {
				if (!(atomic_load_explicit(&t->affinity, memory_order_relaxed) &
				      cpu_bit(to)) ||
				    atomic_load_explicit(&t->on_cpu, memory_order_acquire))
					continue;
				levels_take(q, t);
				return t;
			}
			bits &= ~((uint64_t)1 << bit);
		}
	}
	return nullptr;
}
