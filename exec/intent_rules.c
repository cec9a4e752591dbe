/*
 * What an intent may say (DI-1), and the presets (DI-2).
 *
 * What contradicts itself is refused with INVAL, a time or budget that no machine can keep with RANGE;
 * what is left out follows from the rest. No lock, no thread: pure functions.
 */
#include <exec/intent.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <mm/commit.h>

#define LATENCY_LEAST (50 * NSEC_PER_USEC)
#define SLICE_LEAST (100 * NSEC_PER_USEC)
#define QUOTA_LEAST (100 * NSEC_PER_USEC)
#define PERIOD_LEAST NSEC_PER_MSEC
#define TIME_MOST (10 * NSEC_PER_SEC)
#define PERIOD_DEFAULT (100 * NSEC_PER_MSEC)
#define SHARES_LEAST 2
#define SHARES_MOST 262144
#define MEMORY_LEAST (64 * 1024)

/* ---- Presets (DI-2) ---- */

#define MS(n) ((n) * NSEC_PER_MSEC)
static const struct {
	const char *name;
	struct intent intent;
} presets[INTENT_PRESETS] = {
	{"audio_playback",
	 {.class = INTENT_REALTIME,
	  .latency = LATENCY_BOUNDED,
	  .latency_time = MS(5),
	  .slice = MS(1),
	  .flags = INTENT_ONE_CORE}},
	{"video_rendering",
	 {.class = INTENT_REALTIME,
	  .latency = LATENCY_BOUNDED,
	  .latency_time = MS(16),
	  .slice = MS(2)}},
	{"ui_thread",
	 {.class = INTENT_INTERACTIVE,
	  .latency = LATENCY_SOFT,
	  .latency_time = MS(8),
	  .slice = MS(4),
	  .flags = INTENT_BOOT_CPU}},
	{"web_server",
	 {.class = INTENT_SERVER,
	  .latency = LATENCY_SOFT,
	  .latency_time = MS(20),
	  .slice = MS(10)}},
	{"database",
	 {.class = INTENT_SERVER,
	  .latency = LATENCY_SOFT,
	  .latency_time = MS(10),
	  .slice = MS(8),
	  .flags = INTENT_NUMA}},
	{"compilation", {.class = INTENT_BATCH, .slice = MS(50), .flags = INTENT_ALL_CORES}},
	{"backup", {.class = INTENT_BACKGROUND, .slice = MS(100)}},
	{"gc", {.class = INTENT_BACKGROUND, .slice = MS(20)}},
	{"monitoring", {.class = INTENT_IDLE, .slice = MS(200)}},
};

const char *intent_preset_name(unsigned index)
{
	return index < INTENT_PRESETS ? presets[index].name : nullptr;
}

enum kerr intent_preset(const char *name, struct intent *out)
{
	for (unsigned i = 0; i < INTENT_PRESETS; i++)
		if (strcmp(name, presets[i].name) == 0) {
			*out = presets[i].intent;
			out->preset = (uint8_t)(i + 1);
			return KERR_OK;
		}
	return KERR_NOENT;
}

/* ---- What an intent may say ---- */

static bool within(nsec_t value, nsec_t least, nsec_t most)
{
	return value >= least && value <= most;
}

static enum kerr latency_complete(struct intent *i)
{
	bool deadline_class = i->class <= INTENT_SOFT_REALTIME;

	if (deadline_class && i->latency == LATENCY_NONE && !i->latency_time) {
		i->latency = LATENCY_BOUNDED;
		i->latency_time = MS(10);
	}
	bool timed = i->latency >= LATENCY_SOFT;
	if (timed != (i->latency_time != 0) || (deadline_class && !timed))
		return KERR_INVAL;
	if (i->latency == LATENCY_HARD && i->class != INTENT_REALTIME &&
	    i->class != INTENT_CRITICAL)
		return KERR_INVAL;
	if (i->latency == LATENCY_BOUNDED && i->class > INTENT_SERVER)
		return KERR_INVAL;
	/* Who waits for everybody else cannot want to be quick. */
	if (timed && (i->class == INTENT_BACKGROUND || i->class == INTENT_IDLE))
		return KERR_INVAL;
	if (timed && !within(i->latency_time, LATENCY_LEAST, TIME_MOST))
		return KERR_RANGE;
	if (i->slice && !within(i->slice, SLICE_LEAST, NSEC_PER_SEC))
		return KERR_RANGE;
	return i->slice && deadline_class && i->slice > i->latency_time ? KERR_INVAL : KERR_OK;
}

static enum kerr budget_complete(struct intent *i)
{
	if ((i->amount != 0) != (i->budget == BUDGET_PERCENT || i->budget == BUDGET_SHARES) ||
	    (i->budget != BUDGET_QUOTA && i->budget != BUDGET_PERCENT && (i->quota || i->period)))
		return i->budget == BUDGET_PERCENT || i->budget == BUDGET_SHARES ? KERR_RANGE
										 : KERR_INVAL;
	switch (i->budget) {
	case BUDGET_PERCENT:
		if (i->amount > 100)
			return KERR_RANGE;
		i->period = i->period ? i->period : PERIOD_DEFAULT;
		if (!within(i->period, PERIOD_LEAST, TIME_MOST))
			return KERR_RANGE;
		i->quota = i->period / 100 * i->amount;
		return i->quota < QUOTA_LEAST ? KERR_RANGE : KERR_OK;
	case BUDGET_QUOTA:
		if (!within(i->period, PERIOD_LEAST, TIME_MOST) ||
		    !within(i->quota, QUOTA_LEAST, i->period))
			return KERR_RANGE;
		return KERR_OK;
	case BUDGET_SHARES:
		/* A weight means something only among those that share by weight. */
		if (i->class != INTENT_INTERACTIVE && i->class != INTENT_SERVER)
			return KERR_INVAL;
		return i->amount < SHARES_LEAST || i->amount > SHARES_MOST ? KERR_RANGE : KERR_OK;
	default:
		return KERR_OK;
	}
}

enum kerr intent_complete(struct intent *i)
{
	struct commit_totals memory;

	if (i->class >= INTENT_CLASSES || i->latency >= LATENCY_KINDS ||
	    i->budget >= BUDGET_KINDS || i->flags & ~INTENT_FLAGS || i->preset > INTENT_PRESETS)
		return KERR_INVAL;
	if (i->flags & INTENT_ONE_CORE && i->flags & INTENT_ALL_CORES)
		return KERR_INVAL;
	enum kerr err = latency_complete(i);
	if (err == KERR_OK)
		err = budget_complete(i);
	if (err != KERR_OK || !i->memory)
		return err;
	commit_totals(&memory);
	return within(i->memory, MEMORY_LEAST, memory.physical << PAGE_SHIFT) ? KERR_OK
									      : KERR_RANGE;
}
