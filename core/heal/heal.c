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
#include <lib/string.h>

#define POLL NSEC_PER_SEC

struct mutex heal_lock = MUTEX_INIT(heal_lock);
static struct list components = LIST_INIT(components); /* (heal_lock) */
static struct waitq queue = WAITQ_INIT(queue);
static _Atomic bool kicked;

static struct spinlock told_lock = SPINLOCK_INIT(RANK_FIGURES, "heal.told");
static struct heal_event history[HEAL_HISTORY]; /* (told_lock) */
static uint64_t events; /* (told_lock) */

void heal_note(const char *name, const char *what, const char *why)
{
	bool on = spin_lock_irq(&told_lock);
	struct heal_event *e = &history[events % HEAL_HISTORY];
	e->number = ++events;
	e->time = time_now();
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

void heal_report(struct heal_component *c, const char *why)
{
	bool on = spin_lock_irq(&told_lock);
	if (!c->told)
		c->told_at = time_now();
	c->told = true;
	strlcpy(c->why, why, sizeof(c->why));
	spin_unlock_irq(&told_lock, on);
	atomic_store(&kicked, true);
	wake_all(&queue);
}

/* ---- One component; heal_lock held ---- */

static void failed(struct heal_component *c, const char *why)
{
	c->counters.failures++;
	if (!heal_ladder_failed(&c->ladder, time_now()))
		return;
	log_warn("heal: %s: %s; next: %s", c->name, why, heal_action_name(c->ladder.next));
	heal_note(c->name, "failed", why);
}

static void escalate(const struct heal_component *c)
{
	char how[16];

	if (!cmdline_get("heal", how, sizeof(how)))
		strlcpy(how, c->limits.required ? "panic" : "log", sizeof(how));
	log_error("heal: %s cannot be healed", c->name);
	if (strcmp(how, "panic") == 0)
		panic("heal: %s cannot be healed: %s", c->name, c->why);
	if (strcmp(how, "reboot") == 0) {
		init_shutdown();
		hal.platform.power(HAL_POWER_REBOOT, 0);
	}
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

static bool take_told(struct heal_component *c, char why[HEAL_WHY])
{
	bool on = spin_lock_irq(&told_lock);
	bool told = c->told;
	c->told = false;
	strlcpy(why, c->why, HEAL_WHY);
	spin_unlock_irq(&told_lock, on);
	return told;
}

static void climb(struct heal_component *c)
{
	char why[HEAL_WHY];
	enum heal_action a;

	while ((a = heal_ladder_due(&c->ladder, time_now())) != HEAL_NONE) {
		enum kerr err = act(c, a);
		nsec_t now = time_now();
		if (err == KERR_OK) {
			c->counters.done[a]++;
			c->counters.repaired_last = now - c->told_at;
			c->counters.repaired_max =
				MAX(c->counters.repaired_max, c->counters.repaired_last);
		} else {
			c->counters.failed[a]++;
		}
		log_warn("heal: %s: %s: %s", c->name, heal_action_name(a), kerr_name(err));
		heal_note(c->name, heal_action_name(a), kerr_name(err));
		heal_ladder_done(&c->ladder, a, err == KERR_OK, now);
		take_told(c, why); /* what came meanwhile was about what is gone */
	}
}

static void check(struct heal_component *c)
{
	if (!c->ops->check || c->ladder.state != HEAL_GOOD)
		return;
	c->counters.checks++;
	enum kerr err = c->ops->check(c);
	if (err == KERR_OK)
		return;
	c->told_at = time_now();
	failed(c, kerr_name(err));
}

static void look_after(struct heal_component *c, bool poll)
{
	char why[HEAL_WHY];

	if (take_told(c, why))
		failed(c, why);
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
	enum kerr err = !c ? KERR_NOENT : c->ops->restart ? c->ops->restart(c) : KERR_OK;
	if (err == KERR_OK) {
		heal_ladder_reset(&c->ladder);
		heal_note(name, "reset", "");
	}
	mutex_unlock(&heal_lock);
	return err;
}

bool heal_view_get(size_t index, struct heal_view *out)
{
	struct heal_component *c;
	bool found = false;

	mutex_lock(&heal_lock);
	list_for_each(c, &components, link) {
		if (index-- > 0)
			continue;
		*out = (struct heal_view){.state = c->ladder.state, .counters = c->counters};
		strlcpy(out->name, c->name, sizeof(out->name));
		bool on = spin_lock_irq(&told_lock);
		strlcpy(out->why, c->why, sizeof(out->why));
		spin_unlock_irq(&told_lock, on);
		found = true;
		break;
	}
	mutex_unlock(&heal_lock);
	return found;
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
