/*
 * Self-healing (RL-3): components that are watched, and what is done when one breaks. heal.c tells how.
 */
#pragma once

#include <core/spinlock.h>
#include <heal/ladder.h>
#include <lib/kerr.h>
#include <lib/list.h>

struct heal_component;

/* All may sleep, and are called by one thread, one at a time. Null: there is no such rung (check: only told). */
struct heal_ops {
	enum kerr (*check)(struct heal_component *c); /* whether it works */
	enum kerr (*restart)(
		struct heal_component *c); /* the same implementation anew, with its state */
	enum kerr (*swap)(struct heal_component *c); /* another one */
	enum kerr (*isolate)(struct heal_component *c); /* nobody uses it any more */
	/* The number of the instance that is used now; any context. Null: what is reported during a repair is taken
	 * to be about what was repaired. */
	uint64_t (*instance)(const struct heal_component *c);
};

#define HEAL_WHY 120u

struct heal_counters {
	uint64_t checks, failures, done[HEAL_ACTIONS], failed[HEAL_ACTIONS];
	nsec_t repaired_last, repaired_max; /* from the report to the end of what was done, ns */
};

struct heal_component {
	const char *name;
	const struct heal_ops *ops;
	struct heal_limits limits;
	void *arg;
	/* heal.c's: */
	struct list link; /* (heal_lock) */
	struct heal_ladder ladder; /* (heal_lock) */
	struct heal_counters counters; /* (heal_lock) */
	bool told; /* (told_lock) since the thread looked */
	nsec_t told_at; /* (told_lock) */
	uint64_t told_of; /* (told_lock) the instance */
	nsec_t failed_at; /* (heal_lock) what is being repaired */
	uint64_t broken; /* (heal_lock) its instance: another one is not to be touched */
	char why[HEAL_WHY]; /* (told_lock) the last failure */
	char with[32]; /* (heal_lock) what restart and swap say that it uses now; may be empty */
};

/* From now on it is watched. */
void heal_add(struct heal_component *c);
/* Returns when nothing of it is being called any more. Not from its own operations. */
void heal_remove(struct heal_component *c);
/* It broke, that is, this instance of it did. Any context. */
void heal_report(struct heal_component *c, uint64_t instance, const char *why);
/* Checks all now, and waits until that is done. NOENT: no component of that name (null: all). Sleeps. */
enum kerr heal_check_now(const char *name);
/* An isolated one is restarted and watched again. NOENT; or what its restart said. */
enum kerr heal_reset(const char *name);
/* From now on. NOENT: no such component; INVAL: more than HEAL_TIMES restarts or swaps. */
enum kerr heal_limits_set(const char *name, const struct heal_limits *limits);
/* A line of the history that is no component's. */
void heal_note(nsec_t time, const char *name, const char *what, const char *why);

/* ---- Looking ---- */

struct heal_view {
	char name[32], why[HEAL_WHY];
	enum heal_state state;
	struct heal_limits limits;
	struct heal_counters counters;
};
bool heal_view_get(size_t index, struct heal_view *out);
/* NOENT. */
enum kerr heal_view_find(const char *name, struct heal_view *out);

#define HEAL_HISTORY 64u
struct heal_event {
	uint64_t number; /* from 1 */
	nsec_t time;
	char name[32], what[16], why[HEAL_WHY];
};
/* The first event after number `after` that is still known. */
bool heal_event_get(uint64_t after, struct heal_event *out);
