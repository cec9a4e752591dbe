/*
 * The ladder of self-healing (RL-3), without clock, threads or anything to heal: what is to be done next,
 * and when. ladder.c tells the rules.
 */
#pragma once

#include <hal/types.h>

enum heal_action { HEAL_NONE, HEAL_RESTART, HEAL_SWAP, HEAL_ISOLATE, HEAL_ESCALATE };
#define HEAL_ACTIONS 5u

enum heal_state {
	HEAL_GOOD,
	HEAL_WAITING, /* something broke; `next` is due at `due` */
	HEAL_ISOLATED, /* given up, without it the kernel goes on */
	HEAL_ESCALATED, /* given up, and somebody else has to decide */
};

#define HEAL_TIMES 8u

struct heal_limits {
	uint32_t restarts; /* in a window, at most HEAL_TIMES; more of them do not help */
	uint32_t swaps; /* in a window, at most HEAL_TIMES */
	nsec_t window;
	nsec_t backoff,
		backoff_max; /* before the second restart of a window, doubled for each further one */
	bool required; /* cannot be isolated: escalates */
};

/* When something was done, the last ones. */
struct heal_times {
	nsec_t at[HEAL_TIMES];
	uint64_t count;
};

struct heal_ladder { /* the caller's lock */
	struct heal_limits limits;
	bool can[HEAL_ACTIONS]; /* it has an operation for that */
	enum heal_state state;
	enum heal_action next;
	nsec_t due;
	struct heal_times restarts, swaps;
};

void heal_ladder_init(struct heal_ladder *l, const struct heal_limits *limits);
/* Other limits; what was done until now counts. */
void heal_ladder_limit(struct heal_ladder *l, const struct heal_limits *limits);
/* Something broke. True: that is new, and `next` says what for. */
bool heal_ladder_failed(struct heal_ladder *l, nsec_t now);
/* What is to be done now; NONE: nothing, or not before l->due. */
enum heal_action heal_ladder_due(const struct heal_ladder *l, nsec_t now);
/* It was done. Not `ok`: the next rung is due at once. */
void heal_ladder_done(struct heal_ladder *l, enum heal_action done, bool ok, nsec_t now);
/* Somebody has repaired it: from the beginning. */
void heal_ladder_reset(struct heal_ladder *l);

const char *heal_state_name(enum heal_state state);
const char *heal_action_name(enum heal_action action);
