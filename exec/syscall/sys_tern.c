/*
 * Tern's own calls, 500 to 505 (US-5): <tern/tern.h>, which programs include as well. 501 and 502
 * are reserved by name in table.def and answer ENOSYS until what they steer is there.
 *
 * A structure comes in with its size and goes out as far as both sides know it: struct_in() and
 * struct_out() are the whole protocol.
 */
#include "gate.h"

#include <core/cpu.h>
#include <core/init.h>
#include <core/profile.h>
#include <core/version.h>
#include <exec/intent.h>
#include <exec/measure.h>
#include <exec/sched.h>
#include <lib/string.h>
#include <mm/memory.h>
#include <tern/tern.h>

static_assert(sizeof(struct tern_sched_stats) == TERN_SCHED_STATS_FIRST);
static_assert(sizeof(struct tern_benchmark) == TERN_BENCHMARK_FIRST);
static_assert(sizeof(struct tern_info) == TERN_INFO_FIRST);
static_assert(sizeof(struct tern_intent) == TERN_INTENT_FIRST);

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
				    TERN_FEATURE_INFO | TERN_FEATURE_INTENT | BUILD_FEATURES,
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

/* ---- 505 ---- */

static enum kerr intent_from(const struct tern_intent *u, struct intent *out)
{
	if (u->op == TERN_INTENT_PRESET)
		return memchr(u->preset, 0, sizeof(u->preset)) ? intent_preset(u->preset, out)
							       : KERR_INVAL;
	if (u->task_class > UINT8_MAX || u->latency > UINT8_MAX || u->budget > UINT8_MAX)
		return KERR_INVAL;
	*out = (struct intent){.class = (uint8_t)u->task_class,
			       .latency = (uint8_t)u->latency,
			       .budget = (uint8_t)u->budget,
			       .flags = u->flags,
			       .amount = u->amount,
			       .latency_time = u->latency_ns,
			       .slice = u->slice_ns,
			       .quota = u->quota_ns,
			       .period = u->period_ns,
			       .memory = u->memory};
	return intent_complete(out);
}

static void intent_to(const struct dis_task *k, struct tern_intent *u)
{
	const struct intent *i = &k->intent;

	*u = (struct tern_intent){.tid = u->tid,
				  .op = u->op,
				  .declared = k->declared,
				  .throttles = k->throttles,
				  .throttled_ns = k->throttled,
				  .deadlines = k->deadlines,
				  .misses = k->misses};
	if (!k->declared)
		return;
	u->task_class = i->class;
	u->latency = i->latency;
	u->budget = i->budget;
	u->flags = i->flags;
	u->amount = i->amount;
	u->latency_ns = i->latency_time;
	u->slice_ns = i->slice;
	u->quota_ns = i->quota;
	u->period_ns = i->period;
	u->memory = i->memory;
	if (i->preset)
		strlcpy(u->preset, intent_preset_name(i->preset - 1u), sizeof(u->preset));
}

SYSCALL(tern_intent)
{
	struct tern_intent u;
	struct intent i;
	struct dis_task kept;
	uint32_t size;
	enum kerr err = struct_in(a0, &u, TERN_INTENT_FIRST, sizeof(u), &size);

	if (err != KERR_OK)
		return err;
	if (u.op > TERN_INTENT_CLEAR || u.tid < 0 || u.reserved)
		return KERR_INVAL;
	if (u.op == TERN_INTENT_SET || u.op == TERN_INTENT_PRESET)
		err = intent_from(&u, &i);
	if (err == KERR_OK && u.op != TERN_INTENT_GET)
		err = intent_set(u.tid, u.op == TERN_INTENT_CLEAR ? nullptr : &i);
	if (err == KERR_OK)
		err = intent_look(u.tid, &kept);
	if (err != KERR_OK)
		return err;
	intent_to(&kept, &u);
	return struct_out(a0, &u, size);
}
