/*
 * The ladder: restart, swap, isolate, escalate.
 *
 *   GOOD --failed--> WAITING --due: restart, swap--> GOOD
 *                       |  ^--- it did not work: the next rung, at once
 *                       +--due: isolate--> ISOLATED      +--due: escalate--> ESCALATED
 *
 * A failure asks for a restart as long as there were fewer than limits.restarts in the window; the first one
 * is due at once, the second after `backoff`, each further one after twice that, limits.backoff_max at
 * most. Then the provider is swapped, which starts the count of restarts anew; after limits.swaps in a window too, what
 * is broken is isolated, or, if it is required, escalated. Rungs that the component has no operation for
 * are left out. Failures that are told while an action waits change nothing: it is for them too.
 *
 * Rejected: a count that never ages (a driver that crashes once a day would be isolated after a week); a
 * score per kind of failure (nobody can say what its numbers should be).
 */
#include <heal/ladder.h>
#include <lib/compiler.h>

void heal_ladder_limit(struct heal_ladder *l, const struct heal_limits *limits)
{
	l->limits = *limits;
	l->limits.restarts = MIN(limits->restarts, HEAL_TIMES);
	l->limits.swaps = MIN(limits->swaps, HEAL_TIMES);
}

void heal_ladder_init(struct heal_ladder *l, const struct heal_limits *limits)
{
	*l = (struct heal_ladder){};
	heal_ladder_limit(l, limits);
	l->can[HEAL_ESCALATE] = true;
}

void heal_ladder_reset(struct heal_ladder *l)
{
	l->state = HEAL_GOOD;
	l->next = HEAL_NONE;
	l->restarts.count = l->swaps.count = 0;
}

static void note(struct heal_times *t, nsec_t now)
{
	t->at[t->count++ % HEAL_TIMES] = now;
}

static uint32_t in_window(const struct heal_times *t, nsec_t window, nsec_t now)
{
	uint32_t n = 0;
	uint64_t kept = MIN(t->count, (uint64_t)HEAL_TIMES);

	for (uint64_t i = t->count - kept; i < t->count; i++)
		n += now - t->at[i % HEAL_TIMES] < window;
	return n;
}

static nsec_t backoff(const struct heal_ladder *l, uint32_t restarts)
{
	nsec_t wait = restarts ? l->limits.backoff : 0;

	for (uint32_t i = 1; i < restarts && wait < l->limits.backoff_max; i++)
		wait *= 2;
	return MIN(wait, l->limits.backoff_max);
}

static bool allowed(const struct heal_ladder *l, enum heal_action a, nsec_t now)
{
	nsec_t window = l->limits.window;

	switch (a) {
	case HEAL_RESTART:
		return l->can[a] && in_window(&l->restarts, window, now) < l->limits.restarts;
	case HEAL_SWAP:
		return l->can[a] && in_window(&l->swaps, window, now) < l->limits.swaps;
	case HEAL_ISOLATE:
		return l->can[a] && !l->limits.required;
	default:
		return true;
	}
}

static void plan(struct heal_ladder *l, enum heal_action first, nsec_t now)
{
	enum heal_action a = first;

	while (!allowed(l, a, now))
		a++;
	l->state = HEAL_WAITING;
	l->next = a;
	l->due = now;
	if (a == HEAL_RESTART)
		l->due += backoff(l, in_window(&l->restarts, l->limits.window, now));
}

bool heal_ladder_failed(struct heal_ladder *l, nsec_t now)
{
	if (l->state != HEAL_GOOD)
		return false;
	plan(l, HEAL_RESTART, now);
	return true;
}

enum heal_action heal_ladder_due(const struct heal_ladder *l, nsec_t now)
{
	return l->state == HEAL_WAITING && now >= l->due ? l->next : HEAL_NONE;
}

void heal_ladder_done(struct heal_ladder *l, enum heal_action done, bool ok, nsec_t now)
{
	if (done == HEAL_RESTART)
		note(&l->restarts, now);
	if (done == HEAL_SWAP) {
		note(&l->swaps, now);
		l->restarts.count = 0;
	}
	l->next = HEAL_NONE;
	if (done == HEAL_ESCALATE)
		l->state = HEAL_ESCALATED;
	else if (!ok)
		plan(l, done + 1, now);
	else
		l->state = done == HEAL_ISOLATE ? HEAL_ISOLATED : HEAL_GOOD;
}

const char *heal_state_name(enum heal_state state)
{
	static const char *const names[] = {"good", "waiting", "isolated", "escalated"};
	return names[state];
}

const char *heal_action_name(enum heal_action action)
{
	static const char *const names[] = {"none", "restart", "swap", "isolate", "escalate"};
	return names[action];
}
