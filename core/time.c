/* Wall-clock time: an offset to the monotonic clock, set from the real-time clock at boot. */
#include "core_private.h"
#include <core/init.h>
#include <core/log.h>
#include <core/time.h>

static _Atomic uint64_t wall_offset; /* wall = monotonic + offset */

nsec_t time_wall(void)
{
	return time_now() + atomic_load_explicit(&wall_offset, memory_order_relaxed);
}

void time_set_wall(nsec_t wall)
{
	atomic_store_explicit(&wall_offset, wall - time_now(), memory_order_relaxed);
}

void time_set_wall_at_boot(uint64_t seconds)
{
	time_set_wall(seconds * NSEC_PER_SEC);
	if (seconds == 0)
		log_warn("time: no real-time clock, the date starts at 1970-01-01");
}
