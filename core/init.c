/*
 * Initialisation: walks the init records in an order that satisfies phase, dependencies,
 * requirements and priority, starts each, and keeps order, time and state for /sys/kernel/init.
 *
 * The sort is the simplest that works: of the records that may start now the one with the lowest (phase,
 * priority, position) starts next. With some twenty records its square is nothing.
 * What can be wrong is found before anything starts (missing names) or named when it blocks the
 * rest (cycles, capabilities that nobody provides).
 */
#include "core_private.h"
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/time.h>
#include <lib/format.h>
#include <lib/string.h>

extern const struct init_record *const __init_records_start[], *const __init_records_end[];

static uint32_t provided;  /* capabilities so far */
static uint32_t started;   /* records so far */
static bool names_checked;
static const struct init_record *order[64];

static size_t record_count(void)
{
	return (size_t)(__init_records_end - __init_records_start);
}

static const struct init_record *find(const char *name)
{
	for (size_t i = 0; i < record_count(); i++)
		if (strcmp(__init_records_start[i]->name, name) == 0)
			return __init_records_start[i];
	return nullptr;
}

static void check_names(void)
{
	if (record_count() > ARRAY_SIZE(order))
		panic("init: %zu subsystems, there is room for %zu", record_count(),
		      ARRAY_SIZE(order));
	for (size_t i = 0; i < record_count(); i++) {
		const struct init_record *r = __init_records_start[i];
		if (find(r->name) != r)
			panic("init: two subsystems are called \"%s\"", r->name);
		for (const char *const *d = r->depends; d && *d; d++)
			if (!find(*d))
				panic("init: \"%s\" depends on \"%s\", which does not exist",
				      r->name, *d);
	}
	names_checked = true;
}

/* The first dependency that is not up, or null. */
static const char *missing_dependency(const struct init_record *r)
{
	for (const char *const *d = r->depends; d && *d; d++) {
		enum init_state s = find(*d)->status->state;
		if (s != INIT_RUNNING && s != INIT_FAILED)
			return *d;
	}
	return nullptr;
}

static const struct init_record *pick(enum init_phase last)
{
	const struct init_record *best = nullptr;

	for (size_t i = 0; i < record_count(); i++) {
		const struct init_record *r = __init_records_start[i];
		if (r->status->state != INIT_REGISTERED || r->phase > last ||
		    (r->requires & ~provided) || missing_dependency(r))
			continue;
		if (!best || r->phase < best->phase ||
		    (r->phase == best->phase && r->priority < best->priority))
			best = r;
	}
	return best;
}

/* Nothing can start although records of this phase are left: say which and why. */
static void check_stuck(enum init_phase last)
{
	for (size_t i = 0; i < record_count(); i++) {
		const struct init_record *r = __init_records_start[i];
		if (r->status->state != INIT_REGISTERED || r->phase > last)
			continue;
		const char *d = missing_dependency(r);
		if (d)
			panic("init: \"%s\" waits for \"%s\": a cycle, or a later phase", r->name,
			      d);
		panic("init: \"%s\" requires capabilities %#x that nothing provides", r->name,
		      r->requires & ~provided);
	}
}

static void start(const struct init_record *r, const struct boot_info *info)
{
	struct init_status *s = r->status;
	nsec_t begin = time_now();

	s->state = INIT_INITIALIZING;
	s->order = started;
	s->started = begin;
	order[started++] = r;
	enum kerr err = r->ops->init ? r->ops->init(info) : KERR_OK;
	if (err == KERR_OK && r->ops->start)
		err = r->ops->start();
	s->took = time_now() - begin;
	s->error = err;
	if (err == KERR_OK) {
		s->state = INIT_RUNNING;
		provided |= r->provides;
		log_debug("init: %s (%lu us)", r->name, (unsigned long)(s->took / NSEC_PER_USEC));
		return;
	}
	s->state = INIT_FAILED;
	if (!r->optional)
		panic("init: \"%s\" failed: %s", r->name, kerr_name(err));
	log_error("init: %s failed (%s), going on without it", r->name, kerr_name(err));
}

void init_run(enum init_phase last, const struct boot_info *info)
{
	const struct init_record *r;

	if (!names_checked)
		check_names();
	while ((r = pick(last)))
		start(r, info);
	check_stuck(last);
}

const struct init_record *init_get(size_t index)
{
	return index < started ? order[index] : nullptr;
}

const char *init_state_name(enum init_state state)
{
	static const char *const names[] = {"registered", "initializing", "running",   "stopping",
					    "stopped",    "failed",       "recovering"};

	return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}
