/*
 * Initialisation of the kernel: its own records, which the linker gathers, in one graph
 * (init_graph.c). Without what is required there is no kernel: the reason is a panic.
 *
 * In debug builds `initfail=NAME` makes the start of one subsystem fail, for tests.
 */
#include "core_private.h"
#include <core/cmdline.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <lib/string.h>
#include <stdatomic.h>

extern const struct init_record *const __init_records_start[], *const __init_records_end[];

static struct init_graph kernel = {.records = __init_records_start};
static const struct boot_info *boot;

#if defined(TERN_DEBUG)
static bool wanted_failure(const char *name)
{
	char text[32];

	return cmdline_get("initfail", text, sizeof(text)) && strcmp(text, name) == 0;
}
#endif

void init_run(enum init_phase last, const struct boot_info *info)
{
	boot = info;
	kernel.count = (size_t)(__init_records_end - __init_records_start);
#if defined(TERN_DEBUG)
	kernel.inject = wanted_failure;
#endif
	if (init_graph_run(&kernel, last, info) != KERR_OK)
		panic("init: %s", kernel.why);
}

static _Atomic bool begun; /* the end */

void init_shutdown(void)
{
	if (!atomic_exchange(&begun, true))
		init_graph_stop_all(&kernel);
}

enum kerr init_recover(const char *name)
{
	enum kerr err = atomic_load(&begun) ? KERR_BUSY : init_graph_recover(&kernel, name, boot);

	if (err != KERR_OK)
		log_error("init: %s", kernel.why);
	return err;
}

const struct init_record *init_get(size_t index)
{
	return index < kernel.started ? kernel.order[index] : nullptr;
}

const char *init_state_name(enum init_state state)
{
	static const char *const names[] = {"registered", "initializing", "running",   "stopping",
					    "stopped",    "failed",       "recovering"};

	return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}
