/*
 * Tern's own calls, 500 to 504 (US-5): <tern/tern.h>, which programs include as well. 501
 * is reserved by name in table.def and answers ENOSYS until what it steers is there.
 *
 * A structure comes in with its size and goes out as far as both sides know it: struct_in() and
 * struct_out() are the whole protocol.
 */
#include "gate.h"

#include <core/cpu.h>
#include <core/init.h>
#include <core/profile.h>
#include <core/version.h>
#include <drivers/block.h>
#include <exec/measure.h>
#include <exec/sched.h>
#include <heal/heal.h>
#include <lib/string.h>
#include <mm/memory.h>
#include <tern/tern.h>

static_assert(sizeof(struct tern_sched_stats) == TERN_SCHED_STATS_FIRST);
static_assert(sizeof(struct tern_benchmark) == TERN_BENCHMARK_FIRST);
static_assert(sizeof(struct tern_self_heal) == TERN_SELF_HEAL_FIRST);
static_assert(sizeof(struct tern_info) == TERN_INFO_FIRST);

/* Copies in what the caller has of a structure of `known` bytes, the rest is 0; *size gets how much
 * that is. Bytes behind what we know must be 0. INVAL, TOOBIG, FAULT. */
static enum kerr struct_in(vaddr_t from, void *to, size_t first, size_t known, uint32_t *size)
{
	enum kerr err = user_read(size, from, sizeof(*size));

	if (err != KERR_OK)
		return err;
	if (*size < first)
		return KERR_INVAL;
	if (*size > PAGE_SIZE)
		return KERR_TOOBIG;
	for (size_t at = known; at < *size; at++) {
		uint8_t byte;
		err = user_read(&byte, from + at, 1);
		if (err != KERR_OK)
			return err;
		if (byte)
			return KERR_TOOBIG;
	}
	memset(to, 0, known);
	*size = (uint32_t)MIN((size_t)*size, known);
	return user_read(to, from, *size);
}

static long struct_out(vaddr_t to, void *from, uint32_t size)
{
	*(uint32_t *)from = size;
	return user_write(to, from, size);
}

/* ---- 500 ---- */

static void add_cpu(struct tern_sched_stats *s, cpu_t cpu)
{
	struct sched_stats counts;
	struct cpu_times times;

	sched_stats(cpu, &counts);
	exec_cpu_times(cpu, &times);
	s->ready += counts.ready;
	s->switches += sched_switches(&counts);
	s->migrations += counts.migrations;
	s->pulls += counts.pulls;
	s->user_ns += times.user;
	s->system_ns += times.system;
	s->idle_ns += times.idle;
}

SYSCALL(tern_sched_stats)
{
	struct tern_sched_stats in, s = {};
	cpuset_t online = cpu_online();
	uint32_t size;
	enum kerr err = struct_in(a0, &in, TERN_SCHED_STATS_FIRST, sizeof(in), &size);

	if (err != KERR_OK)
		return err;
	if (in.cpu != TERN_ALL_CPUS && (in.cpu >= CPU_MAX || !(online & cpu_bit(in.cpu))))
		return KERR_INVAL;
	s.cpu = in.cpu;
	s.cpus = (uint32_t)__builtin_popcountll(online);
	strlcpy(s.scheduler, sched_name(), sizeof(s.scheduler));
	for (cpu_t cpu = 0; cpu < cpu_count; cpu++)
		if (online & cpu_bit(cpu) && (in.cpu == cpu || in.cpu == TERN_ALL_CPUS))
			add_cpu(&s, cpu);
	return struct_out(a0, &s, size);
}

/* ---- 502 ---- */

/* Who may repair, and break, parts of the kernel. */
static bool may_heal(void)
{
	return process_superuser();
}

static enum kerr heal_status(struct tern_self_heal *h)
{
	struct heal_view v;

	if (!heal_view_get(h->index, &v))
		return KERR_NOENT;
	strlcpy(h->name, v.name, sizeof(h->name));
	strlcpy(h->what, heal_state_name(v.state), sizeof(h->what));
	strlcpy(h->why, v.why, sizeof(h->why));
	h->checks = v.counters.checks;
	h->failures = v.counters.failures;
	h->restarts = v.counters.done[HEAL_RESTART];
	h->swaps = v.counters.done[HEAL_SWAP];
	h->isolations = v.counters.done[HEAL_ISOLATE];
	h->escalations = v.counters.done[HEAL_ESCALATE];
	h->repair_last_ns = v.counters.repaired_last;
	h->repair_max_ns = v.counters.repaired_max;
	return KERR_OK;
}

static enum kerr heal_event(struct tern_self_heal *h)
{
	struct heal_event e;

	if (!heal_event_get(h->number, &e))
		return KERR_NOENT;
	strlcpy(h->name, e.name, sizeof(h->name));
	strlcpy(h->what, e.what, sizeof(h->what));
	strlcpy(h->why, e.why, sizeof(h->why));
	h->number = e.number;
	h->time_ns = e.time;
	return KERR_OK;
}

static enum kerr heal_inject(const struct tern_self_heal *h)
{
	static const char *const names[BLOCK_INJECTIONS] = {"none",  "crash", "hang",  "lost",
							    "nomem", "wild",  "wrong", "bug"};
	struct block_device *d = block_find(h->name);

	if (!d)
		return KERR_NODEV;
	for (unsigned i = 0; i < BLOCK_INJECTIONS; i++)
		if (strcmp(h->what, names[i]) == 0)
			return block_inject(d, (enum block_injection)i, h->times);
	return KERR_INVAL;
}

SYSCALL(tern_self_heal)
{
	struct tern_self_heal h;
	uint32_t size;
	enum kerr err = struct_in(a0, &h, TERN_SELF_HEAL_FIRST, sizeof(h), &size);

	if (err != KERR_OK)
		return err;
	if (!memchr(h.name, 0, sizeof(h.name)) || !memchr(h.what, 0, sizeof(h.what)) ||
	    h.op > TERN_HEAL_INJECT)
		return KERR_INVAL;
	if (h.op > TERN_HEAL_EVENT && !may_heal())
		return KERR_PERM;
	switch (h.op) {
	case TERN_HEAL_STATUS:
		err = heal_status(&h);
		break;
	case TERN_HEAL_EVENT:
		err = heal_event(&h);
		break;
	case TERN_HEAL_CHECK:
		err = heal_check_now(h.name[0] ? h.name : nullptr);
		break;
	case TERN_HEAL_RESET:
		err = heal_reset(h.name);
		break;
	default:
		err = heal_inject(&h);
	}
	return err == KERR_OK ? struct_out(a0, &h, size) : err;
}

/* ---- 503 ---- */

static enum kerr describe(struct tern_benchmark *b, const char *wanted)
{
	const char *name, *what;

	for (size_t i = wanted ? 0 : b->index; measure_get(i, &name, &what); i++) {
		if (wanted && strcmp(name, wanted) != 0)
			continue;
		memset(b->what, 0, sizeof(b->what));
		strlcpy(b->name, name, sizeof(b->name));
		strlcpy(b->what, what, sizeof(b->what));
		return KERR_OK;
	}
	return KERR_NOENT;
}

SYSCALL(tern_benchmark)
{
	struct tern_benchmark b;
	struct measure_result result;
	uint32_t size;
	enum kerr err = struct_in(a0, &b, TERN_BENCHMARK_FIRST, sizeof(b), &size);

	if (err != KERR_OK)
		return err;
	if (!memchr(b.name, 0, sizeof(b.name)) || b.rounds > MEASURE_ROUNDS_MAX)
		return KERR_INVAL;
	bool list = !b.name[0];
	err = describe(&b, list ? nullptr : b.name);
	if (err != KERR_OK)
		return err;
	b.total_ns = 0;
	if (!list) {
		err = measure_run(b.name, b.rounds, &result);
		if (err != KERR_OK)
			return err;
		b.rounds = result.rounds;
		b.total_ns = result.total;
	}
	return struct_out(a0, &b, size);
}

/* ---- 504 ---- */

#if defined(TERN_DEBUG)
#define BUILD "debug"
#define BUILD_FEATURES TERN_FEATURE_LOCK_CHECKS
#else
#define BUILD "release"
#define BUILD_FEATURES 0
#endif

SYSCALL(tern_info)
{
	struct tern_info in,
		info = {
			.cpus = (uint32_t)__builtin_popcountll(cpu_online()),
			.features = TERN_FEATURE_SCHED_STATS | TERN_FEATURE_BENCHMARK |
				    TERN_FEATURE_INFO | TERN_FEATURE_SELF_HEAL | BUILD_FEATURES,
			.boot_ns = boot_time_user() - boot_time_entered(),
			.version = TERN_VERSION,
			.release = TERN_RELEASE,
			.build = BUILD,
			.compiler = __VERSION__,
		};
	uint32_t size;
	enum kerr err = struct_in(a0, &in, TERN_INFO_FIRST, sizeof(in), &size);

	if (err != KERR_OK)
		return err;
	strlcpy(info.machine, hal.user.info()->machine, sizeof(info.machine));
	strlcpy(info.scheduler, sched_name(), sizeof(info.scheduler));
	strlcpy(info.frames, frame_allocator_name(), sizeof(info.frames));
	strlcpy(info.profile, profile_name(), sizeof(info.profile));
	return struct_out(a0, &info, size);
}
