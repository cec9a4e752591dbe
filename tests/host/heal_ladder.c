/* The ladder of self-healing, with a clock of its own: rungs, limits in a window, backoff. */
#include "harness.h"

#include <heal/ladder.h>

#define MS NSEC_PER_MSEC

static const struct heal_limits limits = {
	.restarts = 3,
	.swaps = 1,
	.window = 10000 * MS,
	.backoff = 10 * MS,
	.backoff_max = 15 * MS,
};

static struct heal_ladder made(const struct heal_limits *l, bool restart, bool swap, bool isolate)
{
	struct heal_ladder out;

	heal_ladder_init(&out, l);
	out.can[HEAL_RESTART] = restart;
	out.can[HEAL_SWAP] = swap;
	out.can[HEAL_ISOLATE] = isolate;
	return out;
}

/* Fails at `now`; the action that comes, at the time it is due, which is `delay` later. */
static enum heal_action break_it(struct heal_ladder *l, nsec_t now, nsec_t delay)
{
	EXPECT(heal_ladder_failed(l, now));
	EXPECT_EQ(l->due, now + delay);
	if (delay)
		EXPECT_EQ(heal_ladder_due(l, now + delay - 1), HEAL_NONE);
	return heal_ladder_due(l, now + delay);
}

TEST(a_failure_restarts_at_once)
{
	struct heal_ladder l = made(&limits, true, true, true);

	EXPECT_EQ(heal_ladder_due(&l, 5), HEAL_NONE);
	EXPECT_EQ(break_it(&l, 1000 * MS, 0), HEAL_RESTART);
	EXPECT(!heal_ladder_failed(&l, 1000 * MS)); /* the same one */
	heal_ladder_done(&l, HEAL_RESTART, true, 1001 * MS);
	EXPECT_EQ(l.state, HEAL_GOOD);
}

TEST(backoff_grows_and_then_it_swaps)
{
	struct heal_ladder l = made(&limits, true, true, true);
	static const nsec_t delays[] = {0, 10 * MS, 15 * MS}; /* 20, but for the limit */
	nsec_t now = 1000 * MS;

	for (unsigned i = 0; i < 3; i++, now += 100 * MS) {
		EXPECT_EQ(break_it(&l, now, delays[i]), HEAL_RESTART);
		heal_ladder_done(&l, HEAL_RESTART, true, now + delays[i]);
	}
	EXPECT_EQ(break_it(&l, now, 0), HEAL_SWAP);
	heal_ladder_done(&l, HEAL_SWAP, true, now);
	/* The new one has all its restarts. */
	for (unsigned i = 0; i < 3; i++, now += 100 * MS) {
		EXPECT_EQ(break_it(&l, now, delays[i]), HEAL_RESTART);
		heal_ladder_done(&l, HEAL_RESTART, true, now + delays[i]);
	}
	EXPECT_EQ(break_it(&l, now, 0), HEAL_ISOLATE);
	heal_ladder_done(&l, HEAL_ISOLATE, true, now);
	EXPECT_EQ(l.state, HEAL_ISOLATED);
	EXPECT(!heal_ladder_failed(&l, now));
	heal_ladder_reset(&l);
	EXPECT_EQ(break_it(&l, now, 0), HEAL_RESTART);
}

TEST(old_failures_do_not_count)
{
	struct heal_ladder l = made(&limits, true, true, true);

	for (nsec_t day = 1; day < 100; day++) {
		nsec_t now = day * 86400 * NSEC_PER_SEC;
		EXPECT_EQ(break_it(&l, now, 0), HEAL_RESTART);
		heal_ladder_done(&l, HEAL_RESTART, true, now);
	}
	/* Just within the window, and just outside. */
	nsec_t last = 99 * 86400 * NSEC_PER_SEC;
	EXPECT_EQ(break_it(&l, last + limits.window - 1, 10 * MS), HEAL_RESTART);
	heal_ladder_reset(&l);
	heal_ladder_done(&l, HEAL_RESTART, true, last);
	EXPECT_EQ(break_it(&l, last + limits.window, 0), HEAL_RESTART);
}

TEST(a_rung_that_breaks_is_left_at_once)
{
	struct heal_ladder l = made(&limits, true, true, true);

	EXPECT_EQ(break_it(&l, 1, 0), HEAL_RESTART);
	heal_ladder_done(&l, HEAL_RESTART, false, 2);
	EXPECT_EQ(heal_ladder_due(&l, 2), HEAL_SWAP);
	heal_ladder_done(&l, HEAL_SWAP, false, 3);
	EXPECT_EQ(heal_ladder_due(&l, 3), HEAL_ISOLATE);
	heal_ladder_done(&l, HEAL_ISOLATE, false, 4);
	EXPECT_EQ(heal_ladder_due(&l, 4), HEAL_ESCALATE);
	heal_ladder_done(&l, HEAL_ESCALATE, true, 5);
	EXPECT_EQ(l.state, HEAL_ESCALATED);
	EXPECT_EQ(heal_ladder_due(&l, 1000 * MS), HEAL_NONE);
}

TEST(rungs_without_an_operation_are_left_out)
{
	struct heal_ladder l = made(&limits, false, true, true);
	EXPECT_EQ(break_it(&l, 1, 0), HEAL_SWAP);
	l = made(&limits, false, false, true);
	EXPECT_EQ(break_it(&l, 1, 0), HEAL_ISOLATE);
	l = made(&limits, false, false, false);
	EXPECT_EQ(break_it(&l, 1, 0), HEAL_ESCALATE);
}

TEST(what_is_required_escalates)
{
	struct heal_limits required = limits;

	required.required = true;
	struct heal_ladder l = made(&required, false, false, true);
	EXPECT_EQ(break_it(&l, 1, 0), HEAL_ESCALATE);
}

TEST(backoff_never_passes_its_limit)
{
	struct heal_limits many = limits;

	many.restarts = HEAL_TIMES;
	many.backoff = 1;
	many.backoff_max = 100;
	struct heal_ladder l = made(&many, true, true, true);
	static const nsec_t delays[HEAL_TIMES] = {0, 1, 2, 4, 8, 16, 32, 64};
	for (unsigned i = 0; i < HEAL_TIMES; i++) {
		EXPECT_EQ(break_it(&l, 1000 + i * 1000, delays[i]), HEAL_RESTART);
		heal_ladder_done(&l, HEAL_RESTART, true, 1000 + i * 1000 + delays[i]);
	}
	EXPECT_EQ(break_it(&l, 20000, 0), HEAL_SWAP);
}
