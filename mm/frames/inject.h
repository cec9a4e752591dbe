/* Fault injection for tests: the n-th allocation fails. Debug builds only; else it costs nothing. */
#pragma once

#include <lib/compiler.h>
#include <stdatomic.h>

#if defined(TERN_DEBUG)
extern _Atomic int64_t
	memory_fail_in; /* > 0: so many allocations from now on, that one fails; < 0: all */

static inline bool memory_should_fail(void)
{
	if (likely(atomic_load_explicit(&memory_fail_in, memory_order_relaxed) == 0))
		return false;
	if (atomic_load_explicit(&memory_fail_in, memory_order_relaxed) < 0)
		return true;
	return atomic_fetch_sub_explicit(&memory_fail_in, 1, memory_order_relaxed) == 1;
}
#else
static inline bool memory_should_fail(void)
{
	return false;
}
#endif
