/*
 * What policies that keep a list of threads for each of some levels share: the lists and a bitmap of
 * those that are not empty. Everything is O(1) but levels_pull(), which looks for a thread that may move.
 * All of it under the run-queue lock of the CPU whose levels they are.
 */
#pragma once

#include "sched_private.h"

#define LEVEL_WORDS ((PRIORITY_COUNT + 63) / 64)

struct levels {
	uint64_t bitmap[LEVEL_WORDS]; /* bit n: lists[n] is not empty */
	struct list lists[PRIORITY_COUNT];
};

static inline void levels_init(struct levels *q)
{
	for (unsigned w = 0; w < LEVEL_WORDS; w++)
		q->bitmap[w] = 0;
	for (unsigned n = 0; n < PRIORITY_COUNT; n++)
		list_init(&q->lists[n]);
}

/* The highest level with a thread, or -1. */
static inline int levels_top(const struct levels *q)
{
	for (int w = LEVEL_WORDS - 1; w >= 0; w--)
		if (q->bitmap[w])
			return w * 64 + 63 - __builtin_clzll(q->bitmap[w]);
	return -1;
}

static inline bool levels_empty_at(const struct levels *q, unsigned level)
{
	return list_empty(&q->lists[level]);
}

static inline void levels_take(struct levels *q, struct thread *t)
{
	struct list *list = &q->lists[t->level];

	list_remove(&t->run_link);
	if (list_empty(list))
		q->bitmap[t->level / 64] &= ~((uint64_t)1 << (t->level % 64));
}

static inline void levels_put(struct levels *q, struct thread *t, uint8_t level, bool first)
{
	struct list *list = &q->lists[level];

	t->level = level;
	if (first)
		list_add_head(list, &t->run_link);
	else
		list_add_tail(list, &t->run_link);
	q->bitmap[level / 64] |= (uint64_t)1 << (level % 64);
}

/* Takes the first thread of the highest level; null: there is none. */
static inline struct thread *levels_pick(struct levels *q)
{
	int level = levels_top(q);

	if (level < 0)
		return nullptr;
	struct thread *t = list_first(&q->lists[level], struct thread, run_link);
	levels_take(q, t);
	return t;
}

/* Takes the first thread that may run on `to` and has left its last CPU. */
struct thread *levels_pull(struct levels *q, cpu_t to);

/* A SCHED_FIFO thread, or one that was lent such a priority, runs until it blocks. */
static inline bool levels_runs_on(const struct thread *t)
{
	return t->policy == SCHED_FIFO;
}
