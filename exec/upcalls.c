/* The table through which core calls upward: see core/upcalls.h. */
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <exec/fault.h>
#include <exec/gate.h>
#include <exec/oom.h>

const struct core_upcalls upcalls = {
	.page_fault = fault_page,
	.exception = fault_exception,
	.fpu_trap = fpu_trap,
	.syscall = syscall_dispatch,
	.user_work = deliver_work,
	.reschedule = sched_reschedule,
	.park = sched_park,
	.unpark = sched_unpark,
	.priority_of = sched_priority_now,
	.priority_lend = sched_priority_lend,
	.priority_restore = sched_priority_restore,
	.memory_short = oom_relieve,
	.lock_limit = process_lock_limit,
	.spawn = thread_spawn,
	.run_idle = sched_run_idle,
};
