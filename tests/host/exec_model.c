/* What is learnt of threads: on traces recorded of programs and on synthetic behaviours; integers only. */
#include "harness.h"

#include <exec/intent.h>
#include <stdio.h>

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

static nsec_t now;

static void once(struct thread_model *m, nsec_t run, nsec_t sleep, enum model_sleep why,
		 uint64_t pages)
{
	model_woke(m, now);
	model_ran(m, run);
	now += run;
	model_slept(m, now, why, pages);
	now += sleep;
}

static uint64_t error_of(const struct thread_model *m)
{
	return m->total ? m->error * 1000 / m->total : 0;
}

/* ---- Recorded on Tern (traces/record.py) ---- */

/* Learnt from: the first runs of a program are like nothing after them. */
#define FIRST 16

static bool replay_file(const char *name, struct thread_model *m, struct thread_model *early)
{
	char path[256], why[8];
	unsigned long ran, waited, slept, pages;

	snprintf(path, sizeof(path), "%s/%s.txt", TRACES, name);
	FILE *f = fopen(path, "r");
	if (!f)
		return false;
	for (now = MS; fscanf(f, "%lu %lu %lu %7s %lu", &ran, &waited, &slept, why, &pages) == 5;) {
		now += slept;
		model_woke(m, now);
		model_ran(m, ran);
		m->waited = waited;
		now += waited + ran;
		model_slept(m, now,
			    why[0] == 'i'   ? SLEEP_IO
			    : why[0] == 't' ? SLEEP_TIMER
					    : SLEEP_EVENT,
			    pages);
		if (m->samples == FIRST)
			*early = *m;
	}
	fclose(f);
	return true;
}

TEST(model_foretells_what_programs_did)
{
	static const struct {
		const char *name;
		unsigned samples;
		uint64_t most; /* error, in thousandths of what ran */
		uint64_t
			least; /* of it, what "as long as the last" errs more; thousandths of that error */
	} rows[] = {
		{"shell", 300, 60, 900},        {"cat", 179, 10, 0},
		{"sha1sum", 300, 10, 990},      {"audio", 300, 10, 0},
		{"interactive", 71, 10, 0},     {"server", 205, 10, 0},
		{"client", 198, 20, 0},         {"shell-timed", 300, 1000, 200},
		{"cat-timed", 179, 900, 250},   {"sha1sum-timed", 300, 1050, 350},
		{"audio-timed", 300, 560, 350}, {"interactive-timed", 66, 660, 150},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct thread_model m = {}, early = {};
		EXPECT(replay_file(rows[i].name, &m, &early));
		EXPECT_EQ(m.samples, rows[i].samples);
		uint64_t total = m.total - early.total, error = m.error - early.error,
			 naive = m.naive - early.naive;
		printf("# %s: %lu thousandths, as long as the last %lu\n", rows[i].name,
		       (unsigned long)(error * 1000 / total),
		       (unsigned long)(naive * 1000 / total));
		EXPECT(error * 1000 <= total * rows[i].most);
		EXPECT(error * 1000 <= naive * (1000 - rows[i].least));
	}
}

/* ---- Made up: run and sleep in us ---- */

struct step {
	uint32_t run, sleep;
};

/* A periodic task of 1 ms in 5 ms. */
static const struct step audio[] = {{1012, 3981}, {1003, 3994}, {1009, 3988}, {1001, 3996},
				    {1017, 3979}, {1004, 3993}, {1002, 3995}, {1031, 3966},
				    {1005, 3992}, {1003, 3993}, {1011, 3987}, {1002, 3996}};
/* A shell at a prompt: a key, an echo, now and then a command. */
static const struct step shell[] = {{62, 110000}, {58, 93000},    {71, 140000},   {55, 87000},
				    {64, 120000}, {1850, 240000}, {61, 99000},    {57, 101000},
				    {66, 133000}, {59, 92000},    {2100, 310000}, {60, 105000}};
/* A pair of buffers: long, short, long, short. */
static const struct step twins[] = {{4000, 6000}, {500, 9500}, {4020, 5980}, {510, 9490}};

static void replay(struct thread_model *m, const struct step *s, size_t count, unsigned rounds,
		   enum model_sleep why)
{
	for (unsigned i = 0; i < rounds * count; i++)
		once(m, s[i % count].run * US, s[i % count].sleep * US, why, 100);
}

TEST(model_foretells_patterns)
{
	struct thread_model m = {}, s = {}, t = {};

	replay(&m, audio, ARRAY_SIZE(audio), 10, SLEEP_TIMER);
	EXPECT(error_of(&m) < 20); /* 2 % */
	EXPECT(m.close * 100 > m.samples * 97);
	EXPECT_EQ(model_behaviour(&m), BEHAVIOUR_PERIODIC);
	replay(&s, shell, ARRAY_SIZE(shell), 10, SLEEP_EVENT);
	EXPECT(s.close * 100 > s.samples * 60);
	replay(&t, twins, ARRAY_SIZE(twins), 30, SLEEP_EVENT);
	EXPECT_EQ(t.best, 2); /* what followed */
	EXPECT(error_of(&t) < 60);
}

TEST(model_foretells_memory)
{
	struct thread_model m = {};

	for (unsigned i = 0; i < 100; i++)
		once(&m, MS, MS, SLEEP_IO, 1000 + i * 10);
	EXPECT(m.memory_next >= 1995 && m.memory_next <= 2005);
	EXPECT(m.memory_error * 1000 / m.memory_total < 20);
}

/* ---- Synthetic behaviours ---- */

TEST(model_names_behaviours)
{
	static const struct {
		enum behaviour expected;
		enum model_sleep why;
		nsec_t run, run_odd, sleep, sleep_odd; /* every third is odd */
	} rows[] = {
		{BEHAVIOUR_CPU_BOUND, SLEEP_TIMER, 90 * MS, 91 * MS, MS, MS},
		{BEHAVIOUR_THROUGHPUT, SLEEP_IO, 5 * MS, 5 * MS, 200 * US, 200 * US},
		{BEHAVIOUR_IO_BOUND, SLEEP_IO, 300 * US, 310 * US, 8 * MS, 3 * MS},
		{BEHAVIOUR_PERIODIC, SLEEP_TIMER, MS, MS, 9 * MS, 9 * MS},
		{BEHAVIOUR_BURSTY, SLEEP_EVENT, 200 * US, 20 * MS, 20 * MS, 40 * MS},
		{BEHAVIOUR_LATENCY, SLEEP_EVENT, 100 * US, 110 * US, 5 * MS, 30 * MS},
		{BEHAVIOUR_EVENT_DRIVEN, SLEEP_EVENT, 4 * MS, 4 * MS, 20 * MS, 60 * MS},
		{BEHAVIOUR_MIXED, SLEEP_TIMER, 10 * MS, 11 * MS, 2 * MS, 12 * MS},
	};
	struct model_advice a;

	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		struct thread_model m = {};
		for (unsigned i = 0; i < 60; i++)
			once(&m, i % 3 ? rows[r].run : rows[r].run_odd,
			     i % 3 ? rows[r].sleep : rows[r].sleep_odd, rows[r].why, 10);
		EXPECT_EQ(model_behaviour(&m), rows[r].expected);
		model_advise(&m, &a);
		EXPECT(a.slice >= MS && a.slice <= 20 * MS);
	}
	struct thread_model fresh = {};
	EXPECT_EQ(model_behaviour(&fresh), BEHAVIOUR_UNKNOWN);
	model_ran(&fresh, 300 * MS);
	EXPECT_EQ(model_behaviour(&fresh), BEHAVIOUR_CPU_BOUND);
}

/* ---- Anomalies ---- */

static void habit(struct thread_model *m, struct test_random *random, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		once(m, MS + test_random_below(random, 100) * US,
		     9 * MS + test_random_below(random, 500) * US, SLEEP_TIMER, 500);
}

PROPERTY(model_habits_are_no_anomalies, 50)
{
	struct thread_model m = {};

	habit(&m, random, 500);
	EXPECT_EQ(m.anomaly_count, 0);
}

PROPERTY(model_flags_what_changed, 50)
{
	struct thread_model m = {};

	habit(&m, random, 200);
	for (unsigned i = 0; i < 8; i++)
		once(&m, 6 * MS, 4 * MS, SLEEP_TIMER, 500);
	EXPECT(m.anomalies & ANOMALY_RUN);
	EXPECT(!(m.anomalies & (ANOMALY_MEMORY | ANOMALY_INTERVAL)));
	EXPECT(m.anomaly_from[0] > 900 * US && m.anomaly_from[0] < 1200 * US);
	EXPECT(m.anomaly_to[0] > 2 * MS);
	/* It stays so: the new habit. */
	for (unsigned i = 0; i < 300; i++)
		once(&m, 6 * MS, 4 * MS, SLEEP_TIMER, 500);
	EXPECT_EQ(m.anomalies, 0);
	EXPECT_EQ(m.anomaly_count, 1);
	/* Memory that begins to grow. */
	for (unsigned i = 0; i < 10; i++)
		once(&m, 6 * MS, 4 * MS, SLEEP_TIMER, 500 + 200 * i);
	EXPECT(m.anomalies & ANOMALY_MEMORY);
	EXPECT(!(m.anomalies & ANOMALY_RUN));
	/* It wakes much less often. */
	for (unsigned i = 0; i < 8; i++)
		once(&m, 6 * MS, 90 * MS, SLEEP_TIMER, 2500);
	EXPECT(m.anomalies & ANOMALY_INTERVAL);
}
