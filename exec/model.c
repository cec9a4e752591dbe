/*
 * Learning what a thread does (DI-5, DI-7, DI-8).
 *
 * A sample is a run: from waking to sleeping. Of four figures (run, interval between wake-ups, wait for a
 * CPU, growth of memory) the mean and the mean deviation are kept, in exponential averages over
 * some 16 samples, and a fast mean over 4. Four predictors of the next run compete: the mean, the
 * last run, what followed the last time that two runs of such lengths had come (which is right for what
 * alternates, and for a shell's loop), the middle one (which outliers do not move); the one whose fading sum of
 * errors is the least is used. Memory is foretold by its trend.
 *
 * An anomaly: after LEARNT samples the fast mean of a figure leaves the slow one by more than four
 * deviations and half of it. The slow mean follows, so that what stays becomes the new habit
 * and the flag goes. What changed is kept: from which mean to which.
 *
 * Data: struct thread_model, in the thread. Costs: some 100 instructions a sleep, under `dis` only. No
 * division by a variable but in the behaviour, every 8th sample. Rejected: histograms, which tell more
 * and cost ten times the memory; floating point, which the kernel has not.
 */
#include <exec/intent.h>
#include <lib/compiler.h>

#define LEARNT 32
#define FLOOR_NS (50 * NSEC_PER_USEC) /* differences below it mean nothing */
#define FLOOR_PAGES 16

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* mean += (value - mean) / 2^shift, without losing what is below a unit for good. */
static uint64_t toward(uint64_t mean, uint64_t value, unsigned shift)
{
	return value >= mean ? mean + ((value - mean + (1u << shift) - 1) >> shift)
			     : mean - ((mean - value + (1u << shift) - 1) >> shift);
}

/* What lies far outside moves the habit only as if it lay at the edge: so one outlier does not make
 * the next one look normal, and what stays becomes the habit after some 30 samples. */
static uint64_t at_edge(const struct model_figure *f, uint64_t value, uint64_t floor)
{
	uint64_t width = MAX(4 * f->deviation, floor);

	if (value > f->slow + width)
		return f->slow + width;
	return value + width < f->slow ? f->slow - width : value;
}

static void figure_learn(struct model_figure *f, uint64_t value, uint32_t samples, uint64_t floor)
{
	if (samples == 0) {
		*f = (struct model_figure){.slow = value, .fast = value};
		return;
	}
	unsigned shift = samples < 4 ? 1 : samples < 16 ? 2 : 4;
	f->fast = toward(f->fast, value, 2);
	value = samples < 16 ? value : at_edge(f, value, floor);
	f->deviation = toward(f->deviation, apart(value, f->slow), shift);
	f->slow = toward(f->slow, value, shift);
}

/* ---- Anomalies ---- */

static bool departs(const struct model_figure *f, uint64_t floor)
{
	uint64_t by = apart(f->fast, f->slow);

	return by > floor && by > f->slow / 2 && by > 4 * f->deviation;
}

/* The means before this sample are the habit; `f` has the sample in it. */
static void judge(struct thread_model *m, unsigned index, const struct model_figure *f,
		  uint64_t habit, uint64_t habit_deviation, uint64_t floor)
{
	uint8_t bit = (uint8_t)(1u << index);
	struct model_figure then = {.slow = habit, .deviation = habit_deviation, .fast = f->fast};

	if (departs(&then, floor)) {
		if (!(m->anomalies & bit)) {
			m->anomaly_count++;
			m->anomaly_from[index] = habit;
		}
		m->anomalies |= bit;
		m->anomaly_to[index] = f->fast;
	} else if (m->anomalies & bit && apart(f->fast, f->slow) <= MAX(f->slow / 4, floor)) {
		m->anomalies &= (uint8_t)~bit;
	}
}

static void learn(struct thread_model *m, unsigned index, struct model_figure *f, uint64_t value,
		  uint64_t floor)
{
	uint64_t habit = f->slow, deviation = f->deviation;

	figure_learn(f, value, m->samples, floor);
	if (m->samples >= LEARNT)
		judge(m, index, f, habit, deviation, floor);
}

/* ---- Prediction ---- */

#define FOLLOWED_UNIT 64 /* ns */

static uint64_t candidate(const struct thread_model *m, unsigned which)
{
	switch (which) {
	case 0:
		return m->run.slow;
	case 1:
		return m->last;
	case 2:
		return m->followed[m->pair] ? (uint64_t)m->followed[m->pair] * FOLLOWED_UNIT
					    : m->middle;
	default:
		return m->middle;
	}
}

/* What is done in turns has runs of several lengths that come in the same order. Lengths are told apart by halves of
 * powers of two. */
static void learn_order(struct thread_model *m, uint64_t ran)
{
	uint32_t value = (uint32_t)MIN(ran / FOLLOWED_UNIT + 1, UINT32_MAX),
		 *known = &m->followed[m->pair];
	unsigned top = 63 - (unsigned)__builtin_clzll(ran | 1024);
	uint8_t length = (uint8_t)(top * 2 + (ran >> (top - 1) & 1));

	*known = *known ? (uint32_t)toward(*known, value, 1) : value;
	m->pair = (uint8_t)((m->length * 5 + length) % MODEL_PAIRS);
	m->length = length;
}

static void predict_run(struct thread_model *m, uint64_t ran)
{
	if (m->samples > 1) {
		uint64_t by = apart(m->predicted, ran);
		m->error += by;
		m->total += ran;
		m->naive += apart(m->last, ran);
		m->close += by <= MAX(ran / 4, FLOOR_NS);
		for (unsigned i = 0; i < MODEL_PREDICTORS; i++)
			m->loss[i] += apart(candidate(m, i), ran) - m->loss[i] / 8;
	}
	learn(m, 0, &m->run, ran, FLOOR_NS);
	unsigned shift = m->samples < 16 ? 1 : 4;
	/* A sixteenth towards each sample, however far it lies; half in the beginning. */
	if (m->samples == 0)
		m->middle = ran;
	else if (ran > m->middle)
		m->middle += MIN(ran - m->middle, (m->middle >> shift) + 1);
	else
		m->middle -= MIN(m->middle - ran, (m->middle >> shift) + 1);
	learn_order(m, ran);
	m->last = ran;
	m->best = 0;
	for (unsigned i = 1; i < MODEL_PREDICTORS; i++)
		if (m->loss[i] < m->loss[m->best])
			m->best = (uint8_t)i;
	m->predicted = candidate(m, m->best);
}

static void predict_memory(struct thread_model *m, uint64_t pages)
{
	if (m->memory_samples++ > 0) {
		int64_t step = ((int64_t)pages - (int64_t)m->memory) * 16;
		m->memory_error += apart(m->memory_next, pages);
		m->memory_total += pages;
		m->memory_trend += (step - m->memory_trend) / 4;
		learn(m, 2, &m->growth, pages > m->memory ? pages - m->memory : 0, FLOOR_PAGES);
	}
	int64_t next = (int64_t)pages + m->memory_trend / 16;
	m->memory = pages;
	m->memory_next = next > 0 ? (uint64_t)next : 0;
}

/* So that the shares follow what it does now. */
static void age(struct thread_model *m)
{
	if (m->run_time + m->sleep_time < 4 * NSEC_PER_SEC)
		return;
	m->run_time /= 2;
	m->sleep_time /= 2;
	m->io_time /= 2;
	for (unsigned i = 0; i < MODEL_SLEEPS; i++)
		m->sleeps[i] /= 2;
}

void model_woke(struct thread_model *m, nsec_t now)
{
	if (m->slept) {
		nsec_t slept = now > m->slept ? now - m->slept : 0;
		m->sleep_time += slept;
		m->sleep_total += slept;
		if (m->slept_for == SLEEP_IO) {
			m->io_time += slept;
			m->io_wait += slept;
		}
	}
	if (m->woke && m->samples > 0)
		learn(m, 1, &m->interval, now > m->woke ? now - m->woke : 0, FLOOR_NS);
	m->woke = now;
	m->current = 0;
	m->waited = 0;
	age(m);
}

void model_slept(struct thread_model *m, nsec_t now, enum model_sleep why, uint64_t resident)
{
	m->run_time += m->current;
	m->sleeps[why]++;
	m->slept_for = (uint8_t)why;
	predict_run(m, m->current);
	learn(m, 3, &m->wait, m->waited, 20 * FLOOR_NS);
	predict_memory(m, resident);
	m->samples += m->samples < UINT32_MAX;
	m->current = 0;
	m->slept = now;
	if (m->samples % 8 == 0)
		m->behaviour = (uint8_t)model_behaviour(m);
}

uint64_t model_rest(const struct thread_model *m)
{
	return m->predicted > m->current ? m->predicted - m->current : 0;
}

/* ---- Behaviour ---- */

#define SETTLED 8 /* samples */
#define LONG_RUN (200 * NSEC_PER_MSEC) /* without sleep: it computes */
#define SHORT_RUN NSEC_PER_MSEC

enum behaviour model_behaviour(const struct thread_model *m)
{
	if (m->current > LONG_RUN)
		return BEHAVIOUR_CPU_BOUND;
	if (m->samples < SETTLED)
		return BEHAVIOUR_UNKNOWN;
	uint64_t ran = m->run_time + m->current, all = MAX(ran + m->sleep_time, 1),
		 share = ran * 1000 / all, io = m->io_time * 1000 / MAX(m->sleep_time, 1);
	uint64_t sleeps = m->sleeps[SLEEP_IO] + m->sleeps[SLEEP_TIMER] + m->sleeps[SLEEP_EVENT];
	if (share >= 850)
		return m->run.slow >= LONG_RUN / 4 ? BEHAVIOUR_CPU_BOUND : BEHAVIOUR_THROUGHPUT;
	if (m->run.deviation > FLOOR_NS && m->run.deviation > m->run.slow / 2)
		return BEHAVIOUR_BURSTY;
	if (m->sleeps[SLEEP_TIMER] * 4 >= sleeps * 3 &&
	    m->interval.deviation <= MAX(m->interval.slow / 8, FLOOR_NS))
		return BEHAVIOUR_PERIODIC;
	if (io >= 500 && share < 500)
		return BEHAVIOUR_IO_BOUND;
	/* A timer at odd times is an event, too. */
	if ((m->sleeps[SLEEP_EVENT] + m->sleeps[SLEEP_TIMER]) * 2 >= sleeps && share < 500)
		return m->run.slow <= SHORT_RUN ? BEHAVIOUR_LATENCY : BEHAVIOUR_EVENT_DRIVEN;
	return BEHAVIOUR_MIXED;
}

const char *behaviour_name(unsigned behaviour)
{
	static const char *const names[] = {"unknown",      "cpu-bound", "io-bound",
					    "mixed",        "bursty",    "periodic",
					    "event-driven", "latency",   "throughput"};
	return behaviour < ARRAY_SIZE(names) ? names[behaviour] : "?";
}

const char *anomaly_name(unsigned index)
{
	static const char *const names[] = {"run", "interval", "memory", "wait"};
	return index < ARRAY_SIZE(names) ? names[index] : "?";
}

/* ---- Advice ---- */

void model_advise(const struct thread_model *m, struct model_advice *out)
{
	static const uint8_t classes[BEHAVIOURS] = {
		[BEHAVIOUR_UNKNOWN] = INTENT_SERVER,
		[BEHAVIOUR_CPU_BOUND] = INTENT_BATCH,
		[BEHAVIOUR_IO_BOUND] = INTENT_INTERACTIVE,
		[BEHAVIOUR_MIXED] = INTENT_SERVER,
		[BEHAVIOUR_BURSTY] = INTENT_SERVER,
		[BEHAVIOUR_PERIODIC] = INTENT_INTERACTIVE,
		[BEHAVIOUR_EVENT_DRIVEN] = INTENT_SERVER,
		[BEHAVIOUR_LATENCY] = INTENT_INTERACTIVE,
		[BEHAVIOUR_THROUGHPUT] = INTENT_BATCH,
	};
	uint64_t ran = m->run_time + m->current, all = ran + m->sleep_time;
	unsigned b = m->current > LONG_RUN ? (unsigned)BEHAVIOUR_CPU_BOUND : m->behaviour;

	/* A quarter more than foretold, so that the run ends in it. */
	uint64_t rest = model_rest(m);
	out->slice = m->samples < SETTLED || !rest
			     ? 0
			     : MIN(MAX(rest + rest / 4, NSEC_PER_MSEC), 20 * NSEC_PER_MSEC);
	out->class = classes[b < BEHAVIOURS ? b : 0];
	out->stay = m->samples >= SETTLED && m->interval.slow < 20 * NSEC_PER_MSEC;
	out->consolidate = m->samples >= SETTLED && ran * 8 < all;
}
