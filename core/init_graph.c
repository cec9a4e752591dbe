/*
 * The order of initialisation: a set of records, started so that phase, dependencies, capabilities and
 * priority are respected, and stopped the other way round.
 *
 *   registered -> initializing -> running -> stopping -> stopped
 *                       |            |  ^
 *                     failed <-------+  +--- recovering (stopped and started again)
 *
 * The sort is the simplest that works: of the records that may start now the one with the lowest (phase,
 * priority, position) starts next. With some twenty records its square is nothing. What is wrong with
 * the records themselves (two of a name, names that do not exist, cycles, dependencies on a
 * later phase) is found before anything starts.
 *
 * A record that fails: what it had done is undone by its stop, and those that need it fail as well.
 * If one of all these is not optional, everything that runs is stopped in reverse order and the
 * caller gets the reason. Records without a stop cannot be undone and stay running.
 *
 * Locks: none; one caller at a time (the boot, later who heals or powers off).
 */
#include <core/init.h>
#include <core/log.h>
#include <core/time.h>
#include <lib/format.h>
#include <lib/string.h>

static const struct init_record *find(const struct init_graph *g, const char *name)
{
	for (size_t i = 0; i < g->count; i++)
		if (strcmp(g->records[i]->name, name) == 0)
			return g->records[i];
	return nullptr;
}

#define WHY(g, ...) format((g)->why, sizeof((g)->why), __VA_ARGS__)

/* ---- What is wrong with the records ---- */

/* Follows dependencies from the last of `path`; true: it came back to one of them. */
static bool find_cycle(struct init_graph *g, const char **path, size_t depth)
{
	const struct init_record *r = find(g, path[depth - 1]);

	for (const char *const *d = r->depends; d && *d; d++) {
		size_t first = 0;
		while (first < depth && strcmp(path[first], *d) != 0)
			first++;
		if (first < depth) {
			int n = WHY(g, "a cycle: ");
			for (size_t i = first; i < depth && (size_t)n < sizeof(g->why); i++)
				n += format(g->why + n, sizeof(g->why) - (size_t)n,
					    "\"%s\" depends on ", path[i]);
			if ((size_t)n < sizeof(g->why))
				format(g->why + n, sizeof(g->why) - (size_t)n, "\"%s\"", *d);
			return true;
		}
		path[depth] = *d;
		if (find_cycle(g, path, depth + 1))
			return true;
	}
	return false;
}

static enum kerr check_record(struct init_graph *g, const struct init_record *r)
{
	const char *path[INIT_RECORDS_MAX + 1] = {r->name};

	if (find(g, r->name) != r) {
		WHY(g, "two subsystems are called \"%s\"", r->name);
		return KERR_EXIST;
	}
	for (const char *const *d = r->depends; d && *d; d++) {
		const struct init_record *needed = find(g, *d);
		if (!needed) {
			WHY(g, "\"%s\" depends on \"%s\", which does not exist", r->name, *d);
			return KERR_NOENT;
		}
		if (needed->phase > r->phase) {
			WHY(g, "\"%s\" depends on \"%s\", which starts in a later phase", r->name,
			    *d);
			return KERR_INVAL;
		}
	}
	return find_cycle(g, path, 1) ? KERR_LOOP : KERR_OK;
}

static enum kerr check(struct init_graph *g)
{
	if (g->count > INIT_RECORDS_MAX) {
		WHY(g, "%zu subsystems, there is room for %u", g->count, INIT_RECORDS_MAX);
		return KERR_TOOBIG;
	}
	/* All names first: the search for cycles follows them. */
	for (size_t i = 0; i < g->count; i++)
		for (const char *const *d = g->records[i]->depends; d && *d; d++)
			if (!find(g, *d))
				return check_record(g, g->records[i]);
	for (size_t i = 0; i < g->count; i++) {
		enum kerr err = check_record(g, g->records[i]);
		if (err != KERR_OK)
			return err;
	}
	g->checked = true;
	return KERR_OK;
}

/* ---- Capabilities ---- */

size_t init_capability_names(uint32_t bits, char *buf, size_t size)
{
	static const char *const names[] = {
		"CONSOLE", "HEAP",     "MEMORY",  "INTERRUPTS", "SCHEDULER",
		"TIMERS",  "IPC",      "DRIVERS", "FILESYSTEM", "USERSPACE",
		"NETWORK", "SECURITY", "MODULES", "HOT_RELOAD", "DEBUG",
	};
	size_t n = 0;

	if (size > 0)
		buf[0] = '\0';
	for (unsigned i = 0; i < 32; i++)
		if (bits >> i & 1 && n < size)
			n += (size_t)format(buf + n, size - n, "%s%s", n ? " " : "",
					    i < ARRAY_SIZE(names) ? names[i] : "?");
	return n;
}

/* Computed anew each time: what has failed or was stopped provides nothing. */
static uint32_t provided(const struct init_graph *g)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < g->count; i++)
		if (g->records[i]->status->state == INIT_RUNNING)
			bits |= g->records[i]->provides;
	return bits;
}

/* The first dependency that is not up, or null. */
static const struct init_record *missing_dependency(const struct init_graph *g,
						    const struct init_record *r)
{
	for (const char *const *d = r->depends; d && *d; d++) {
		const struct init_record *needed = find(g, *d);
		if (needed->status->state != INIT_RUNNING)
			return needed;
	}
	return nullptr;
}

/* ---- Stopping ---- */

/* True: it was stopped. Records without a stop stay as they are. */
static bool stop_one(const struct init_record *r)
{
	struct init_status *s = r->status;

	if (s->state != INIT_RUNNING || !r->ops->stop)
		return false;
	s->state = INIT_STOPPING;
	s->error = r->ops->stop();
	s->state = s->error == KERR_OK ? INIT_STOPPED : INIT_FAILED;
	if (s->error == KERR_OK)
		log_debug("init: %s stopped", r->name);
	else
		log_error("init: %s does not stop: %s", r->name, kerr_name(s->error));
	return true;
}

/* `r` needs `base`, directly or through others, as those that run now do. */
static bool needs(const struct init_graph *g, const struct init_record *r,
		  const struct init_record *base, unsigned depth)
{
	if (r->requires & base->provides)
		return true;
	for (const char *const *d = r->depends; d && *d && depth < INIT_RECORDS_MAX; d++) {
		const struct init_record *needed = find(g, *d);
		if (needed == base || needs(g, needed, base, depth + 1))
			return true;
	}
	return false;
}

void init_graph_stop_all(struct init_graph *g)
{
	for (uint32_t i = g->started; i-- > 0;)
		stop_one(g->order[i]);
}

/* Those that need `r` and run, the last started first. NODEV: one of them cannot be stopped. */
static enum kerr stop_dependents(struct init_graph *g, const struct init_record *r)
{
	for (uint32_t i = g->started; i-- > 0;) {
		const struct init_record *other = g->order[i];
		if (other == r || other->status->state != INIT_RUNNING || !needs(g, other, r, 0))
			continue;
		if (!stop_one(other) || other->status->state != INIT_STOPPED) {
			WHY(g, "\"%s\" needs \"%s\" and cannot be stopped", other->name, r->name);
			return KERR_BUSY;
		}
	}
	return KERR_OK;
}

enum kerr init_graph_stop(struct init_graph *g, const char *name)
{
	const struct init_record *r = find(g, name);

	if (!r || r->status->state != INIT_RUNNING) {
		WHY(g, "\"%s\" is not running", name);
		return KERR_NOENT;
	}
	if (!r->ops->stop) {
		WHY(g, "\"%s\" cannot be stopped", name);
		return KERR_OPNOTSUPP;
	}
	enum kerr err = stop_dependents(g, r);
	if (err == KERR_OK) {
		stop_one(r);
		err = r->status->error;
	}
	return err;
}

/* ---- Starting ---- */

static enum kerr bring_up(struct init_graph *g, const struct init_record *r,
			  const struct boot_info *info)
{
	enum kerr err = KERR_OK;

	if (r->ops->init)
		err = r->ops->init(info);
	if (err != KERR_OK)
		return err;
	if (g->inject && g->inject(r->name))
		err = KERR_IO;
	else if (r->ops->start)
		err = r->ops->start();
	if (err != KERR_OK && r->ops->stop && r->ops->stop() != KERR_OK)
		log_error("init: %s does not stop after its failure", r->name);
	return err;
}

/* Behind the reason: what was rolled back. */
static void tell_stopped(struct init_graph *g)
{
	const char *before = "; stopped again: ";
	size_t n = strlen(g->why);

	for (uint32_t i = g->started; i-- > 0 && n < sizeof(g->why);) {
		if (g->order[i]->status->state != INIT_STOPPED)
			continue;
		n += (size_t)format(g->why + n, sizeof(g->why) - n, "%s%s", before,
				    g->order[i]->name);
		before = " ";
	}
}

/* A failure of r. Not OK: it is required, and all that ran has been stopped. */
static enum kerr fail(struct init_graph *g, const struct init_record *r, enum kerr err)
{
	r->status->state = INIT_FAILED;
	r->status->error = err;
	if (r->optional) {
		log_error("init: %s, going on without it", g->why);
		return KERR_OK;
	}
	init_graph_stop_all(g);
	tell_stopped(g);
	return err;
}

static enum kerr start(struct init_graph *g, const struct init_record *r,
		       const struct boot_info *info, enum init_state meanwhile)
{
	struct init_status *s = r->status;
	nsec_t begin = time_now();

	s->state = meanwhile;
	if (meanwhile == INIT_INITIALIZING) {
		s->order = g->started;
		g->order[g->started++] = r;
	}
	s->started = begin;
	enum kerr err = bring_up(g, r, info);
	s->took = time_now() - begin;
	s->error = err;
	if (err == KERR_OK) {
		s->state = INIT_RUNNING;
		log_debug("init: %s (%lu us)", r->name, (unsigned long)(s->took / NSEC_PER_USEC));
		return KERR_OK;
	}
	WHY(g, "\"%s\" failed: %s", r->name, kerr_name(err));
	return fail(g, r, err);
}

static const struct init_record *pick(const struct init_graph *g, enum init_phase last)
{
	const struct init_record *best = nullptr;
	uint32_t have = provided(g);

	for (size_t i = 0; i < g->count; i++) {
		const struct init_record *r = g->records[i];
		if (r->status->state != INIT_REGISTERED || r->phase > last ||
		    (r->requires & ~have) || missing_dependency(g, r))
			continue;
		if (!best || r->phase < best->phase ||
		    (r->phase == best->phase && r->priority < best->priority))
			best = r;
	}
	return best;
}

/* Records that are due and cannot start, because what they need is not there: they fail. */
static enum kerr fail_the_rest(struct init_graph *g, enum init_phase last)
{
	char names[96];

	for (size_t i = 0; i < g->count; i++) {
		const struct init_record *r = g->records[i];
		if (r->status->state != INIT_REGISTERED || r->phase > last)
			continue;
		const struct init_record *needed = missing_dependency(g, r);
		init_capability_names(r->requires & ~provided(g), names, sizeof(names));
		if (needed)
			WHY(g, "\"%s\" depends on \"%s\", which is %s", r->name, needed->name,
			    init_state_name(needed->status->state));
		else
			WHY(g, "\"%s\" requires %s, which nothing provides", r->name, names);
		enum kerr err = fail(g, r, KERR_NODEV);
		if (err != KERR_OK)
			return err;
	}
	return KERR_OK;
}

enum kerr init_graph_run(struct init_graph *g, enum init_phase last, const struct boot_info *info)
{
	const struct init_record *r;
	enum kerr err = g->checked ? KERR_OK : check(g);

	while (err == KERR_OK && (r = pick(g, last)))
		err = start(g, r, info, INIT_INITIALIZING);
	return err == KERR_OK ? fail_the_rest(g, last) : err;
}

enum kerr init_graph_recover(struct init_graph *g, const char *name, const struct boot_info *info)
{
	bool again[INIT_RECORDS_MAX] = {};
	const struct init_record *r = find(g, name);
	enum kerr err = KERR_NOENT;

	for (uint32_t i = 0; i < g->started; i++)
		again[i] = g->order[i]->status->state == INIT_RUNNING;
	if (r && r->status->state == INIT_RUNNING)
		err = init_graph_stop(g, name);
	else if (r && (r->status->state == INIT_FAILED || r->status->state == INIT_STOPPED))
		err = KERR_OK;
	if (err != KERR_OK)
		return err;
	for (uint32_t i = 0; i < g->started && err == KERR_OK; i++) {
		const struct init_record *o = g->order[i];
		if (o == r || (again[i] && o->status->state == INIT_STOPPED))
			err = start(g, o, info, INIT_RECOVERING);
	}
	return err == KERR_OK ? r->status->error : err;
}
