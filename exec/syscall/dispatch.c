/*
 * From a call number to its handler: one load from the thread's table of 512, no test but the range's. Numbers
 * that are not there point to sys_missing, which counts them; the tracer is a second table whose
 * every entry is sys_traced, and so is the guard of restricted processes (confine.c): none
 * costs anything while it is not used.
 *
 * The time a thread spends here is its system time; sched_switch() charges calls that sleep.
 */
#include "gate.h"
#include <core/cmdline.h>
#include <core/init.h>
#include <exec/domain.h>
#include <exec/gate.h>
#include <lib/string.h>
#include <security/audit.h>
#include <syscall/program.h>

#pragma clang diagnostic ignored "-Winitializer-overrides"

#define NONE SYSCALL_NONE
#define MISSING(x86, generic, name)

#define CALL(x86, generic, name, kinds) [x86] = sys_##name,
syscall_fn *const syscall_table_x86_64[SYSCALL_MAX] = {
	[0 ... SYSCALL_MAX - 1] = sys_missing,
#include "table.def"
	[SYSCALL_NONE] = sys_missing,
};
#undef CALL

#define CALL(x86, generic, name, kinds) [generic] = sys_##name,
syscall_fn *const syscall_table_generic[SYSCALL_MAX] = {
	[0 ... SYSCALL_MAX - 1] = sys_missing,
#include "table.def"
	[SYSCALL_NONE] = sys_missing,
};
#undef CALL
#undef MISSING

static syscall_fn *const tracing_table[SYSCALL_MAX] = {[0 ... SYSCALL_MAX - 1] = sys_traced};

syscall_fn *const *syscall_table RO_AFTER_INIT = syscall_table_generic;

struct description {
	short x86, generic;
	const char *name, *kinds;
};

static const struct description descriptions[] = {
#define CALL(x86, generic, name, kinds) {x86, generic, #name, kinds},
#define MISSING(x86, generic, name) {x86, generic, #name, "xxxxxx"},
#include "table.def"
#undef CALL
#undef MISSING
};

bool syscall_describe(unsigned long number, const char **name, const char **kinds)
{
	for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++) {
		const struct description *d = &descriptions[i];
		if ((unsigned long)(abi->x86_layouts ? d->x86 : d->generic) != number ||
		    number == SYSCALL_NONE)
			continue;
		*name = d->name;
		*kinds = d->kinds;
		return true;
	}
	return false;
}

long sys_missing(SYSCALL_ARGS)
{
	unsigned long number = hal.user.syscall(thread_frame(current_thread())).number;
	const char *name = nullptr, *kinds;

	syscall_describe(number, &name, &kinds);
	missing_call_count(number, name);
	return KERR_NOSYS;
}

/* A signal interrupted the call: settled by deliver_work(), which must run in any case. */
static NOINLINE void leave_unfinished(struct thread *t, long result)
{
	if (result == RESULT_NONE)
		return;
	t->restart = (int)result;
	atomic_fetch_or_explicit(&t->task.work, TASK_WORK_SIGNAL, memory_order_relaxed);
}

void syscall_dispatch(struct hal_frame *frame)
{
	struct thread *t = current_thread();
	const struct hal_syscall c = hal.user.syscall(frame);
	syscall_fn *fn = sys_missing;

	t->entered = time_now();
	if (likely(c.number < SYSCALL_MAX))
		fn = ((syscall_fn *const *)atomic_load_explicit(&t->calls,
								memory_order_relaxed))[c.number];
	long result = fn(c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5]);
	if (unlikely((unsigned long)result + 1023 < 512))
		leave_unfinished(t, result);
	else
		hal.user.syscall_result(frame, result);
	nsec_t entered = t->entered;
	t->system_time += time_now() - entered;
	t->entered = NSEC_NEVER;
}

static enum kerr syscalls_init(const struct boot_info *info)
{
	char what[16];

	abi_choose();
	program_register();
	syscall_table = abi->x86_layouts ? syscall_table_x86_64 : syscall_table_generic;
	if (cmdline_get("trace", what, sizeof(what)) && strcmp(what, "syscall") == 0)
		syscall_table = tracing_table;
	audit_boot();
	confine_boot();
	return KERR_OK;
}

static const struct init_ops syscalls_ops = {.init = syscalls_init};
INIT_SUBSYSTEM(syscalls, .phase = INIT_LATE, .priority = 90, .requires = INIT_SCHEDULER,
	       INIT_DEPENDS("scheduler"), .ops = &syscalls_ops);
