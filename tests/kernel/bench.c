/*
 * What the kernel's own operations cost, which no program sees: `kbench` (kbench=NAME for one) prints a
 * line "bench NAME VALUE ns" for each and powers off. With the emulator's -icount a nanosecond is an
 * instruction, of all CPUs together. Each is done in a loop, three times after a warm-up; the least
 * counts. What takes other CPUs depends on how many the machine has: `./tern bench` boots it with
 * one, two and four. Part of test builds only.
 */
#include "bench.h"
#include "ktest_private.h"

#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/log.h>
#include <core/time.h>
#include <core/upcalls.h>
#include <exec/sched.h>
#include <exec/thread.h>
#include <ktest/cpus.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <tlb.h>

#define PARALLEL_ROUNDS 100000
#define TENTHS 10
#define AREA_PAGES 64

static char *area; /* mapped kernel pages, for shootdowns */

/* ---- CPUs ------------------------------------------------------------------------------------- */

static void shootdown_page(unsigned n)
{
	while (n--)
		tlb_flush_kernel((vaddr_t)area, 1, false);
}

static void shootdown_512(unsigned n)
{
	while (n--)
		tlb_flush_kernel((vaddr_t)area, 512, false);
}

static void shootdown_all(unsigned n)
{
	while (n--)
		tlb_flush_kernel((vaddr_t)area, 100000, false);
}

static void nothing(void *arg)
{
}

/* What decides geometry.flush_pages_max: pages one by one, against everything and what it takes to have
 * a working set of as many pages cached again. Wall time tells, not counted instructions. */
static void flush_pages_here(unsigned n)
{
	while (n--)
		hal.mmu.flush(HAL_ASID_NONE, (vaddr_t)area, AREA_PAGES, false);
}

static void touch_pages(unsigned n)
{
	while (n--)
		for (size_t i = 0; i < AREA_PAGES; i++)
			(void)READ_ONCE(area[i * PAGE_SIZE]);
}

static void flush_all_here(unsigned n)
{
	while (n--) {
		hal.mmu.flush(HAL_ASID_NONE, 0, HAL_FLUSH_ALL, true);
		touch_pages(1);
	}
}

static void call_all_cpus(unsigned n)
{
	while (n--)
		cpu_call(cpu_online(), nothing, nullptr);
}

/* ---- Threads ---------------------------------------------------------------------------------- */

static struct {
	struct task *_Atomic player[2];
	_Atomic uint32_t turn, ended;
	unsigned rounds;
} game;

static void play(uint32_t me)
{
	for (unsigned i = 0; i < game.rounds; i++) {
		while (atomic_load(&game.turn) != me)
			(void)!upcalls.park(WAIT_OTHER, false, NSEC_NEVER);
		atomic_store(&game.turn, 1 - me);
		upcalls.unpark(atomic_load(&game.player[1 - me]));
	}
}

static void second_player(void *arg)
{
	(void)!sched_set_affinity(current_thread(), cpu_bit(0));
	atomic_store(&game.player[1], current_task());
	play(1);
	atomic_store(&game.ended, 1);
}

/* Two threads on one CPU park and wake each other: two switches a round. */
static void switch_pair(unsigned n)
{
	game.rounds = n;
	atomic_store(&game.turn, 0);
	atomic_store(&game.ended, 0);
	atomic_store(&game.player[0], current_task());
	atomic_store(&game.player[1], nullptr);
	(void)!sched_set_affinity(current_thread(), cpu_bit(0));
	if (kthread_create("kbench", PRIORITY_NORMAL, second_player, nullptr, nullptr) != KERR_OK)
		return;
	while (!atomic_load(&game.player[1]))
		thread_yield();
	play(0);
	while (!atomic_load(&game.ended))
		thread_yield();
	(void)!sched_set_affinity(current_thread(), cpu_online());
}

static void thread_pair(unsigned n)
{
	game.rounds = 0;
	while (n--) {
		atomic_store(&game.ended, 0);
		if (kthread_create("kbench", PRIORITY_NORMAL, second_player, nullptr, nullptr) !=
		    KERR_OK)
			return;
		while (!atomic_load(&game.ended))
			thread_yield();
	}
}

/* ---- The run ---------------------------------------------------------------------------------- */

static const struct kernel_benchmark benchmarks[] = {
	{"shootdown_page", shootdown_page},
	{"shootdown_512", shootdown_512},
	{"shootdown_all", shootdown_all},
	{"call_all_cpus", call_all_cpus},
};

/* Only with one CPU: more change nothing but who waits for whom. */
static const struct kernel_benchmark alone[] = {
	{"switch_pair", switch_pair},
	{"flush_64_pages", flush_pages_here},
	{"flush_all_refill_64", flush_all_here},
	{"touch_64_pages", touch_pages},
	{"thread_create_end", thread_pair},
};

static void tell(const char *name, uint64_t tenths)
{
	char text[100];
	int n = format(text, sizeof(text), "bench %s %lu.%lu ns\r\n", name,
		       (unsigned long)(tenths / TENTHS), (unsigned long)(tenths % TENTHS));

	console_write(text, (size_t)n);
}

static uint64_t least_tenths(void (*run)(unsigned n), unsigned rounds)
{
	nsec_t best = NSEC_NEVER;

	for (int round = 0; round < 4; round++) {
		nsec_t start = time_now();
		run(rounds);
		nsec_t took = time_now() - start;
		if (round > 0 && took < best)
			best = took;
	}
	return (uint64_t)best * TENTHS / rounds;
}

static bool wanted(const char *name)
{
	char only[40];

	return !cmdline_get("kbench", only, sizeof(only)) || !only[0] || strcmp(name, only) == 0;
}

static void run_all(const struct kernel_benchmark *b, size_t count, unsigned rounds)
{
	for (; count; count--, b++)
		if (wanted(b->name))
			tell(b->name, least_tenths(b->run, rounds));
}

/* From the moment that a timer is due to the sleeping thread: interrupt, wake-up, switch. */
static uint64_t interrupt_to_thread_tenths(void)
{
	nsec_t best = NSEC_NEVER;

	for (int round = 0; round < 20; round++) {
		nsec_t until = time_now() + NSEC_PER_MSEC;
		(void)!thread_sleep_until(until, false);
		nsec_t late = time_now() - until;
		if (late < best)
			best = late;
	}
	return (uint64_t)best * TENTHS;
}

void ktest_bench(void)
{
	area = kmap_alloc(AREA_PAGES * PAGE_SIZE);
	if (!area || !memory_benchmarks_setup())
		return;
	run_all(memory_benchmarks, memory_benchmark_count, BENCH_ROUNDS);
	run_all(benchmarks, ARRAY_SIZE(benchmarks), BENCH_ROUNDS);
	run_all(parallel_benchmarks, parallel_benchmark_count, PARALLEL_ROUNDS);
	if (cpu_count == 1)
		run_all(alone, ARRAY_SIZE(alone), BENCH_ROUNDS);
	if (cpu_count == 1 && wanted("interrupt_to_thread"))
		tell("interrupt_to_thread", interrupt_to_thread_tenths());
	kmap_free(area);
}
