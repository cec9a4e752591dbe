/*
 * The healer: one thread that polls components, hears of failures, and climbs their ladders.
 *
 *   heal_report (any context) --+
 *   check, once a second -------+--> ladder (ladder.c): what, and when --> restart, swap, isolate, escalate
 *                                                                           each step logged, counted, kept
 *
 * Components are what registers (a slot of drivers, say), and the subsystems of the initialisation that have a
 * health_check. Of modules, the health functions are polled and faults are noted; whose health fails is
 * isolated (not called any more), for nothing is known of how to repair it.
 *
 * Escalation: heal=panic (what a required component gets by default), heal=reboot, or heal=log on the
 * command line.
 *
 * Locks: heal_lock (mutex) for the components, held while their operations run, so one is repaired at a
 * time and heal_remove waits; it comes before what those take (`swapping` of a slot, modules_lock). told_lock (spinlock,
 * interrupt-safe) for what is reported and for the history.
 *
 * Rejected: a thread for each component (repairs touch each other's slots); repairing in the thread that
 * found the failure (it may hold what the repair needs).
 */
#include "private.h"

#include <core/cmdline.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/time.h>
#include <core/wait.h>
#include <lib/export.h>
#include <lib/format.h>
#include <lib/string.h>

#define POLL NSEC_PER_SEC

struct mutex heal_lock = MUTEX_INIT(heal_lock);
static struct list components = LIST_INIT(components); /* (heal_lock) */
static struct waitq queue = WAITQ_INIT(queue);
static _Atomic bool kicked;

static struct spinlock told_lock = SPINLOCK_INIT(RANK_FIGURES, "heal.told");
static struct heal_event history[HEAL_HISTORY]; /* (told_lock) */
static uint64_t events; /* (told_lock) */

void heal_note(nsec_t time, const char *name, const char *what, const char *why)
{
	bool on = spin_lock_irq(&told_lock);
	struct heal_event *e = &history[events % HEAL_HISTORY];
	e->number = ++events;
	e->time = time;
	strlcpy(e->name, name, sizeof(e->name));
	strlcpy(e->what, what, sizeof(e->what));
	strlcpy(e->why, why, sizeof(e->why));
	spin_unlock_irq(&told_lock, on);
}

bool heal_event_get(uint64_t after, struct heal_event *out)
{
	bool on = spin_lock_irq(&told_lock);
	uint64_t oldest = events > HEAL_HISTORY ? events - HEAL_HISTORY : 0;
	uint64_t index = MAX(after, oldest);
	bool found = index < events;
	if (found)
		*out = history[index % HEAL_HISTORY];
	spin_unlock_irq(&told_lock, on);
	return found;
}

void heal_report(struct heal_component *c, uint64_t instance, const char *why)
{
	bool on = spin_lock_irq(&told_lock);
	if (!c->told)
		c->told_at = time_now();
	if (!c->told || instance >= c->told_of) { /* else it comes late, after its successor's */
		c->told = true;
		c->told_of = instance;
		strlcpy(c->why, why, sizeof(c->why));
	}
	spin_unlock_irq(&told_lock, on);
	atomic_store(&kicked, true);
	wake_all(&queue);
}

/* ---- One component; heal_lock held ---- */

static void failed(struct heal_component *c, nsec_t at, const char *why)
{
	nsec_t now = time_now();

	c->counters.failures++;
	if (!heal_ladder_failed(&c->ladder, now))
		return;
	c->failed_at = MIN(at, now);
	/* With the time from which the next rung counts; the console may be slow. */
	heal_note(now, c->name, "failed", why);
	log_warn("heal: %s: %s; next, after %lu ms: %s", c->name, why,
		 (unsigned long)((c->ladder.due - MIN(c->ladder.due, now)) / NSEC_PER_MSEC),
		 heal_action_name(c->ladder.next));
}

enum escalation { ESCALATE_PANIC, ESCALATE_REBOOT, ESCALATE_LOG };
static const char *const escalation_names[] = {"panic", "reboot", "log"};

static enum escalation escalation_of(const struct heal_component *c)
{
	char how[16];

	if (cmdline_get("heal", how, sizeof(how)))
		for (enum escalation e = ESCALATE_PANIC; e <= ESCALATE_LOG; e++)
			if (strcmp(how, escalation_names[e]) == 0)
				return e;
	return c->limits.required ? ESCALATE_PANIC : ESCALATE_LOG;
}

/* If the kernel goes on, it does without: nobody waits for it any more. */
static void escalate(struct heal_component *c)
{
	enum escalation how = escalation_of(c);

	log_error("heal: %s cannot be healed; heal=%s", c->name, escalation_names[how]);
	if (how == ESCALATE_PANIC)
		panic("heal: %s cannot be healed: %s", c->name, c->why);
	if (how == ESCALATE_REBOOT) {
		init_shutdown();
		hal.platform.power(HAL_POWER_REBOOT, 0);
	}
	enum kerr err = c->ops->isolate ? c->ops->isolate(c) : KERR_OK;
	if (err != KERR_OK)
		log_error("heal: %s: who uses it may wait for ever: %s", c->name, kerr_name(err));
}

static enum kerr act(struct heal_component *c, enum heal_action a)
{
	switch (a) {
	case HEAL_RESTART:
		return c->ops->restart(c);
	case HEAL_SWAP:
		return c->ops->swap(c);
	case HEAL_ISOLATE:
		return c->ops->isolate(c);
	default:
		escalate(c);
		return KERR_OK;
	}
}

/* What a rung has come to, for the history and the log. */
static void say(const struct heal_component *c, enum heal_action a, enum kerr err, nsec_t took)
{
	char text[HEAL_WHY];

	if (err != KERR_OK)
		format(text, sizeof(text), "did not work: %s", kerr_name(err));
	else if (a == HEAL_ISOLATE)
		format(text, sizeof(text), "given up until it is reset");
	else if (a == HEAL_ESCALATE)
		format(text, sizeof(text), "cannot be healed: the kernel goes on without it");
	else
		format(text, sizeof(text), "works again%s%s, %lu us after the failure",
		       c->with[0] ? " with " : "", c->with, (unsigned long)(took / NSEC_PER_USEC));
	log_warn("heal: %s: %s: %s", c->name, heal_action_name(a), text);
	heal_note(time_now(), c->name, heal_action_name(a), text);
}

/* What was told about an instance that is gone; that the new one broke too is to be heard. */
static void forget_old(struct heal_component *c)
{
	bool on = spin_lock_irq(&told_lock);
	if (!c->ops->instance || c->told_of != c->ops->instance(c))
		c->told = false;
	spin_unlock_irq(&told_lock, on);
}

static bool take_told(struct heal_component *c, nsec_t *at, char why[HEAL_WHY])
{
	if (c->ops->instance)
		forget_old(c);
	bool on = spin_lock_irq(&told_lock);
	bool told = c->told;
	if (told)
		c->broken = c->told_of;
	c->told = false;
	*at = c->told_at;
	strlcpy(why, c->why, HEAL_WHY);
	spin_unlock_irq(&told_lock, on);
	return told;
}

static uint64_t instance_of(const struct heal_component *c)
{
	return c->ops->instance ? c->ops->instance(c) : c->broken;
}

/* Somebody exchanged what had failed before its rung was due. */
static bool is_gone(struct heal_component *c)
{
	if (instance_of(c) == c->broken)
		return false;
	heal_ladder_done(&c->ladder, HEAL_NONE, true, time_now());
	heal_note(time_now(), c->name, "gone", "exchanged by hand");
	return true;
}

static void climb(struct heal_component *c)
{
	enum heal_action a;

	while ((a = heal_ladder_due(&c->ladder, time_now())) != HEAL_NONE && !is_gone(c)) {
		enum kerr err = act(c, a);
		nsec_t now = time_now();
		if (err == KERR_OK) {
			c->counters.done[a]++;
			c->counters.repaired_last = now - c->failed_at;
			c->counters.repaired_max =
				MAX(c->counters.repaired_max, c->counters.repaired_last);
		} else {
			c->counters.failed[a]++;
		}
		say(c, a, err, now - c->failed_at);
		heal_ladder_done(&c->ladder, a, err == KERR_OK, now);
		forget_old(c);
	}
}

static void check(struct heal_component *c)
{
	if (!c->ops->check || c->ladder.state != HEAL_GOOD)
		return;
	c->counters.checks++;
	uint64_t instance = instance_of(c);
	enum kerr err = c->ops->check(c);
	if (err == KERR_OK)
		return;
	c->broken = instance;
	bool on = spin_lock_irq(&told_lock);
	strlcpy(c->why, kerr_name(err), sizeof(c->why));
	spin_unlock_irq(&told_lock, on);
	failed(c, time_now(), kerr_name(err));
}

static void look_after(struct heal_component *c, bool poll)
{
	char why[HEAL_WHY];
	nsec_t at;

	if (take_told(c, &at, why))
		failed(c, at, why);
	if (poll)
		check(c);
	climb(c);
}

/* ---- The thread ---- */

static nsec_t next_due(nsec_t poll)
{
	struct heal_component *c;

	mutex_lock(&heal_lock);
	list_for_each(c, &components, link)
		if (c->ladder.state == HEAL_WAITING)
			poll = MIN(poll, c->ladder.due);
	mutex_unlock(&heal_lock);
	return poll;
}

static void look_after_all(bool poll)
{
	struct heal_component *c;

	mutex_lock(&heal_lock);
	list_for_each(c, &components, link)
		look_after(c, poll);
	mutex_unlock(&heal_lock);
	if (poll)
		heal_check_modules();
}

static void healer(void *arg)
{
	nsec_t poll = time_now() + POLL;

	for (;;) {
		enum kerr err =
			wait_until(&queue, atomic_load(&kicked), WAIT_OTHER, true, next_due(poll));
		(void)err; /* either way there is something to look at */
		atomic_store(&kicked, false);
		bool polls = time_now() >= poll;
		look_after_all(polls);
		if (polls)
			poll = time_now() + POLL;
	}
}

/* ---- For others ---- */

void heal_add(struct heal_component *c)
{
	heal_ladder_init(&c->ladder, &c->limits);
	c->ladder.can[HEAL_RESTART] = c->ops->restart;
	c->ladder.can[HEAL_SWAP] = c->ops->swap;
	c->ladder.can[HEAL_ISOLATE] = c->ops->isolate;
	mutex_lock(&heal_lock);
	list_add_tail(&components, &c->link);
	mutex_unlock(&heal_lock);
}

void heal_remove(struct heal_component *c)
{
	mutex_lock(&heal_lock);
	list_remove(&c->link);
	mutex_unlock(&heal_lock);
}

static struct heal_component *find_locked(const char *name)
{
	struct heal_component *c;

	list_for_each(c, &components, link)
		if (strcmp(c->name, name) == 0)
			return c;
	return nullptr;
}

enum kerr heal_check_now(const char *name)
{
	enum kerr err = KERR_NOENT;
	struct heal_component *c;

	mutex_lock(&heal_lock);
	list_for_each(c, &components, link)
		if (!name || strcmp(c->name, name) == 0) {
			look_after(c, true);
			err = KERR_OK;
		}
	mutex_unlock(&heal_lock);
	return err;
}

enum kerr heal_reset(const char *name)
{
	mutex_lock(&heal_lock);
	struct heal_component *c = find_locked(name);
	if (c)
		c->broken = instance_of(c);
	enum kerr err = !c ? KERR_NOENT : c->ops->restart ? c->ops->restart(c) : KERR_OK;
	if (err == KERR_OK) {
		forget_old(c);
		heal_ladder_reset(&c->ladder);
		heal_note(time_now(), name, "reset", "");
	}
	mutex_unlock(&heal_lock);
	return err;
}

enum kerr heal_limits_set(const char *name, const struct heal_limits *limits)
{
	if (limits->restarts > HEAL_TIMES || limits->swaps > HEAL_TIMES)
		return KERR_INVAL;
	mutex_lock(&heal_lock);
	struct heal_component *c = find_locked(name);
	if (c) {
		c->limits = *limits;
		heal_ladder_limit(&c->ladder, limits);
		heal_note(time_now(), name, "limits", "set by hand");
	}
	mutex_unlock(&heal_lock);
	return c ? KERR_OK : KERR_NOENT;
}

static void view_locked(struct heal_component *c, struct heal_view *out)
{
	*out = (struct heal_view){
		.state = c->ladder.state, .limits = c->limits, .counters = c->counters};
	strlcpy(out->name, c->name, sizeof(out->name));
	bool on = spin_lock_irq(&told_lock);
	strlcpy(out->why, c->why, sizeof(out->why));
	spin_unlock_irq(&told_lock, on);
}

bool heal_view_get(size_t index, struct heal_view *out)
{
	struct heal_component *c;
	bool found = false;

	mutex_lock(&heal_lock);
	list_for_each(c, &components, link) {
		if (index-- > 0)
			continue;
		view_locked(c, out);
		found = true;
		break;
	}
	mutex_unlock(&heal_lock);
	return found;
}

enum kerr heal_view_find(const char *name, struct heal_view *out)
{
	mutex_lock(&heal_lock);
	struct heal_component *c = find_locked(name);
	if (c)
		view_locked(c, out);
	mutex_unlock(&heal_lock);
	return c ? KERR_OK : KERR_NOENT;
}

static enum kerr heal_start(void)
{
	heal_add_subsystems();
	heal_watch_modules();
	return upcalls.spawn("healer", healer, nullptr);
}

static const struct init_ops heal_ops = {.start = heal_start};
INIT_SUBSYSTEM(heal, .phase = INIT_RUNTIME, .priority = -100, .optional = true,
	       .requires = INIT_SCHEDULER | INIT_TIMERS | INIT_MODULES, INIT_DEPENDS("scheduler"),
	       .ops = &heal_ops);
