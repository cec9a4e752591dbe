/*
 * What a thread did, and what it will do next (DI-5, DI-7, DI-8): integers only, no clock, no lock and
 * no memory of its own; exec/sched_dis.c feeds it, tests feed it with recorded traces.
 */
#pragma once

#include <hal/types.h>

enum behaviour {
	BEHAVIOUR_UNKNOWN, /* not enough seen */
	BEHAVIOUR_CPU_BOUND,
	BEHAVIOUR_IO_BOUND,
	BEHAVIOUR_MIXED,
	BEHAVIOUR_BURSTY,
	BEHAVIOUR_PERIODIC,
	BEHAVIOUR_EVENT_DRIVEN,
	BEHAVIOUR_LATENCY,    /* event-driven with short answers */
	BEHAVIOUR_THROUGHPUT, /* computes nearly always, and sleeps often for a moment */
	BEHAVIOURS,
};

/* Why it slept, as far as it matters. */
enum model_sleep { SLEEP_IO, SLEEP_TIMER, SLEEP_EVENT, MODEL_SLEEPS };

/* What an anomaly is in. */
#define ANOMALY_RUN 1u      /* time from waking to sleeping */
#define ANOMALY_INTERVAL 2u /* time from waking to waking */
#define ANOMALY_MEMORY 4u   /* growth of resident memory */
#define ANOMALY_WAIT 8u     /* time it waits for a CPU */
#define ANOMALY_KINDS 4

#define MODEL_PREDICTORS 4 /* the mean, the last, what followed two such runs, the middle */
#define MODEL_PAIRS 64

struct model_figure {
	uint64_t slow, deviation; /* learnt, over some 16 samples */
	uint64_t fast;            /* over the last 4 */
};

struct thread_model {
	uint32_t samples; /* runs from waking to sleeping */
	uint8_t behaviour, best; /* best: the predictor in use */
	uint8_t anomalies;       /* ANOMALY_*, now */
	uint8_t slept_for;       /* enum model_sleep, the last time */
	uint32_t anomaly_count;
	uint64_t anomaly_from[ANOMALY_KINDS], anomaly_to[ANOMALY_KINDS]; /* of the last of each */
	struct model_figure run, interval, wait, growth;
	uint64_t last;             /* run */
	uint32_t followed
		[MODEL_PAIRS]; /* by the lengths of two runs: the next one, in FOLLOWED_UNITs; 0: not seen */
	uint8_t pair, length; /* of the last two, and the last run, as in followed[] */
	uint64_t middle; /* about as many runs are longer as are shorter */
	uint64_t loss[MODEL_PREDICTORS]; /* of each predictor, fading */
	uint64_t predicted; /* ns, for the run in progress or the next one */
	uint64_t error, total; /* sums of |predicted - ran| and of what ran */
	uint64_t naive; /* the error if each run were foretold to be as long as the last */
	uint64_t close; /* samples within a quarter, or 50 us */
	uint64_t memory, memory_next, memory_error, memory_total, memory_samples; /* pages */
	int64_t memory_trend; /* pages a sample, * 16 */
	uint64_t current; /* ran since it woke */
	uint64_t waited; /* for a CPU since it woke */
	nsec_t woke, slept; /* when */
	uint64_t sleeps[MODEL_SLEEPS];
	uint64_t run_time, sleep_time, io_time; /* fading; io_time is the part of sleep_time */
	uint64_t sleep_total, io_wait; /* slept, and for I/O, in all */
};

/* It ran for `ran` ns more. */
static inline void model_ran(struct thread_model *m, uint64_t ran)
{
	m->current += ran;
}
/* It wakes. */
void model_woke(struct thread_model *m, nsec_t now);
/* It begins to sleep; `resident`: pages of its process. */
void model_slept(struct thread_model *m, nsec_t now, enum model_sleep why, uint64_t resident);
/* Time still to run before it sleeps, as predicted. */
uint64_t model_rest(const struct thread_model *m);
enum behaviour model_behaviour(const struct thread_model *m);
const char *behaviour_name(unsigned behaviour);
const char *anomaly_name(unsigned index);

/* What would suit it. */
struct model_advice {
	uint64_t slice; /* ns */
	uint8_t class; /* enum intent_class */
	bool stay; /* on its CPU: it comes back soon */
	bool consolidate; /* it hardly needs a CPU of its own */
};
void model_advise(const struct thread_model *m, struct model_advice *out);
