/* What the files of the scheduler `dis` share: sched_dis.c (the order), dis_strategy.c (what is learnt applied). */
#pragma once

#include "sched_levels.h"
#include <exec/intent.h>

enum dis_rank {
	RANK_NOBODY, /* the idle thread */
	RANK_IDLE,
	RANK_BACKGROUND,
	RANK_BATCH,
	RANK_SERVER,
	RANK_INTERACTIVE,
	RANK_SOFT,
	RANK_REAL,
	RANK_CRITICAL,
};
static_assert(RANK_CRITICAL + 1 == DIS_RANKS);

#define SUBS 4 /* sublevels of a feedback rank */
/* Lists of struct levels; the critical rank has those from PRIORITY_REALTIME_MIN on. */
#define LIST_IDLE 1
#define LIST_BACKGROUND 14
#define LIST_BATCH 24
#define WEIGHT_ONE 1024u

enum dis_place { PLACE_NONE, PLACE_TREE, PLACE_LIST, PLACE_HELD };

struct dis_thread { /* in sched_data */
	struct rb_node node;
	uint64_t key; /* in the tree: what it is sorted by */
	uint64_t when; /* deadline; virtual time in the fair ranks */
	nsec_t run_mark; /* run_time when it was charged last */
	union { /* fair ranks */
		int64_t lag; /* in no queue: virtual time ahead of the queue's */
		nsec_t queued_at; /* in the tree */
	};
	uint8_t rank, sub;
	uint8_t place; /* enum dis_place */
	bool rescued; /* runs only because its rank had waited too long */
	bool slept;
	uint32_t boost : 24; /* of the last boost that it had */
};
static_assert(sizeof(struct dis_thread) <= SCHED_DATA_SIZE);

struct queue {
	struct levels levels;
	struct rb_tree trees[4]; /* ranks server, interactive, soft, real */
	uint32_t waiting[DIS_RANKS];
	nsec_t served[DIS_RANKS]; /* when the rank last got the CPU, or began to wait for it */
	uint64_t fair[2]; /* virtual time of the fair ranks */
	struct list arrivals[2]; /* their threads, who waits longest first */
	struct list holds; /* threads over their budget */
	uint32_t held;
	struct thread *running; /* null: none of ours */
	nsec_t stays_until; /* so long who woke last is not pushed to an idle CPU */
	bool edf_over; /* the deadline ranks have used up their share of the window */
	nsec_t edf_from, edf_used;
	nsec_t next_boost;
	uint32_t boost : 24;
	uint64_t boosts, sunk;
	struct dis_stats stats;
};

static inline struct dis_thread *dis_data(const struct thread *t)
{
	return (struct dis_thread *)t->sched_data;
}

static inline bool is_edf(unsigned rank)
{
	return rank == RANK_REAL || rank == RANK_SOFT;
}

static inline bool is_fair(unsigned rank)
{
	return rank == RANK_INTERACTIVE || rank == RANK_SERVER;
}

static inline bool is_tree(unsigned rank)
{
	return rank >= RANK_SERVER && rank <= RANK_REAL;
}

static inline bool is_feedback(unsigned rank)
{
	return rank == RANK_BATCH || rank == RANK_BACKGROUND;
}

static inline struct rb_tree *dis_tree(struct queue *q, unsigned rank)
{
	return &q->trees[rank - RANK_SERVER];
}

static inline int dis_list_high(unsigned rank)
{
	return rank == RANK_CRITICAL     ? PRIORITY_COUNT - 1
	       : rank == RANK_BATCH      ? LIST_BATCH
	       : rank == RANK_BACKGROUND ? LIST_BACKGROUND
					 : LIST_IDLE;
}

static inline int dis_list_low(unsigned rank)
{
	return rank == RANK_CRITICAL ? PRIORITY_REALTIME_MIN
	       : is_feedback(rank)   ? dis_list_high(rank) - SUBS + 1
				     : LIST_IDLE;
}

/* ---- dis_budget.c; run-queue lock held ---- */

static inline bool dis_has_budget(const struct thread *t)
{
	return t->dis.declared && t->dis.intent.quota;
}

/* `ran` ns up to `now`. */
void dis_budget_charge(struct dis_task *k, nsec_t now, nsec_t ran);
/* It has run its quota, and nobody waits for it. */
bool dis_budget_spent(const struct thread *t);
/* It is to be held back, and can be. */
bool dis_to_be_held(const struct thread *t);
/* It leaves the CPU when it is on its way to user mode. False: that was asked before. */
bool dis_ask_to_edge(struct thread *t);
/* `running`, with a budget, ran for `ran` ns since it was picked: when to look again; 0: now. */
nsec_t dis_budget_left(struct thread *running, nsec_t now, nsec_t ran);

/* ---- dis_strategy.c ---- */

extern bool dis_strategies[DIS_STRATEGIES];

static inline bool dis_on(enum dis_strategy s)
{
	return READ_ONCE(dis_strategies[s]);
}

/* Of a thread that declared nothing. */
uint8_t dis_learnt_rank(const struct thread *t);
/* 0: nothing is known. */
nsec_t dis_learnt_slice(const struct thread *t);
/* A waiting thread may be taken from `from` to `to`. */
bool dis_may_move(struct queue *q, const struct thread *t, cpu_t from, cpu_t to, nsec_t now);
#define DIS_PATIENCE                                                                               \
	(300 * NSEC_PER_USEC) /* a move costs about as much, in caches and interrupts */
/* t (null: nobody) gets the CPU. */
void dis_foretell(cpu_t cpu, const struct thread *t, nsec_t now);
/* What runs there will sleep sooner than DIS_PATIENCE, and nobody else waits for it. No lock. */
bool dis_may_stay(cpu_t cpu);
/* t, which waits, could run at once elsewhere. */
bool dis_others_idle(const struct thread *t);
/* `running`, which ran for `ran` ns that are not yet accounted, ends sooner than `first` would. */
bool dis_lets_end(const struct thread *running, nsec_t ran, const struct thread *first);
/* dis_trace.c: t goes to sleep, the model has not been told yet. Run-queue lock held. */
void dis_trace_add(const struct thread *t, enum model_sleep why, uint64_t pages);
/* Pages of its process; it is the running thread. */
uint64_t dis_resident(const struct thread *t);
/* `dis` begins and ceases to be the scheduler. Thread context. */
void dis_start(void);
void dis_stop(void);
/* sched_dis.c: `dis` is in use, run-queue lock held. */
void dis_stats_of(cpu_t cpu, struct dis_stats *out);
