/*
 * Measuring the kernel's own operations. A measurement is a function that does n rounds; the
 * rounds go in pieces, so that a signal ends a long one, and only the time inside the pieces counts.
 * The caller's thread is preemptible and may move: the figures are what a busy system gives, the
 * least of several runs is the operation's own cost.
 *
 * Those that need partners make kernel threads for themselves; two at a time do not disturb each other.
 */
#include "sched_private.h"

#include <core/random.h>
#include <core/time.h>
#include <core/wait.h>
#include <exec/measure.h>
#include <exec/signal.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>

#define PIECE 500u

static enum kerr do_clock(unsigned n)
{
	while (n--)
		(void)*(volatile nsec_t *)&(nsec_t){time_now()};
	return KERR_OK;
}

static enum kerr do_spinlock(unsigned n)
{
	struct spinlock lock;

	spin_init(&lock, RANK_NONE, "measure");
	while (n--) {
		spin_lock(&lock);
		spin_unlock(&lock);
	}
	return KERR_OK;
}

static enum kerr do_mutex(unsigned n)
{
	struct mutex mutex;

	mutex_init(&mutex, "measure");
	while (n--) {
		mutex_lock(&mutex);
		mutex_unlock(&mutex);
	}
	return KERR_OK;
}

static enum kerr do_heap(unsigned n, size_t size)
{
	while (n--) {
		void *block = heap_alloc(size);
		if (!block)
			return KERR_NOMEM;
		*(volatile char *)block = 1;
		heap_free(block);
	}
	return KERR_OK;
}

static enum kerr do_heap_small(unsigned n)
{
	return do_heap(n, 64);
}

static enum kerr do_heap_page(unsigned n)
{
	return do_heap(n, PAGE_SIZE);
}

static enum kerr do_frame(unsigned n)
{
	while (n--) {
		struct frame *f = frame_alloc(0, 0);
		if (!f)
			return KERR_NOMEM;
		frame_free(f, 0);
	}
	return KERR_OK;
}

static enum kerr do_random(unsigned n)
{
	while (n--)
		(void)*(volatile uint64_t *)&(uint64_t){random_u64()};
	return KERR_OK;
}

static void nothing(void *arg)
{
}

static enum kerr do_call(unsigned n)
{
	while (n--)
		cpu_call(cpu_online(), nothing, nullptr);
	return KERR_OK;
}

/* ---- With a partner ---- */

struct game {
	struct task *_Atomic player[2];
	_Atomic uint32_t turn, ended;
	_Atomic uint32_t seats;
	unsigned rounds;
	cpuset_t cpu;
	struct waitq over;
};

static void play(struct game *g, uint32_t me)
{
	for (unsigned i = 0; i < g->rounds; i++) {
		while (atomic_load(&g->turn) != me)
			(void)!sched_park(WAIT_OTHER, true, NSEC_NEVER);
		atomic_store(&g->turn, 1 - me);
		sched_unpark(atomic_load(&g->player[1 - me]));
	}
}

static void leave(struct game *g)
{
	bool on = spin_lock_irq(&g->over.lock);

	/* Under the queue's lock, which who waits takes once more: it owns what `g` points to. */
	if (atomic_fetch_add(&g->ended, 1) + 1 == 2 || g->rounds == 0)
		wake_one_locked(&g->over);
	spin_unlock_irq(&g->over.lock, on);
}

static void player(void *arg)
{
	struct game *g = arg;
	uint32_t me = atomic_fetch_add(&g->seats, 1);

	/* The affinity is a hint: an offline CPU cannot have been chosen. */
	(void)!sched_set_affinity(current_thread(), g->cpu);
	atomic_store(&g->player[me], current_task());
	while (!atomic_load(&g->player[1 - me]))
		thread_yield();
	play(g, me);
	leave(g);
}

static void short_life(void *arg)
{
	leave(arg);
}

static void await(struct game *g, uint32_t ends)
{
	enum kerr err =
		wait_until(&g->over, atomic_load(&g->ended) >= ends, WAIT_OTHER, false, NSEC_NEVER);
	(void)err; /* not interruptible, no deadline */
	bool on = spin_lock_irq(&g->over.lock);
	spin_unlock_irq(&g->over.lock, on);
}

/* Two threads on one CPU park and wake each other. */
static enum kerr do_switch(unsigned n)
{
	struct game g = {.rounds = n / 2 + 1, .cpu = cpu_bit(READ_ONCE(current_task()->hal.cpu))};
	enum kerr err;

	waitq_init(&g.over);
	err = kthread_create("measure", PRIORITY_NORMAL, player, &g, nullptr);
	if (err != KERR_OK)
		return err;
	err = kthread_create("measure", PRIORITY_NORMAL, player, &g, nullptr);
	if (err != KERR_OK) { /* the first one must not wait for ever */
		g.rounds = 0;
		atomic_store(&g.player[1], current_task());
	}
	await(&g, err == KERR_OK ? 2 : 1);
	return err;
}

static enum kerr do_thread(unsigned n)
{
	while (n--) {
		struct game g = {};
		waitq_init(&g.over);
		enum kerr err = kthread_create("measure", PRIORITY_NORMAL, short_life, &g, nullptr);
		if (err != KERR_OK)
			return err;
		await(&g, 1);
	}
	return KERR_OK;
}

/* ---- The table ---- */

static const struct measurement {
	const char *name, *what;
	enum kerr (*run)(unsigned n);
	unsigned rounds, piece;
} measurements[] = {
	{"clock", "reading the time", do_clock, 10000, PIECE},
	{"spinlock", "taking and releasing a free spinlock", do_spinlock, 10000, PIECE},
	{"mutex", "taking and releasing a free mutex", do_mutex, 10000, PIECE},
	{"heap", "64 bytes from the heap and back", do_heap_small, 10000, PIECE},
	{"heap-page", "4096 bytes from the heap and back", do_heap_page, 5000, PIECE},
	{"frame", "one frame from the allocator and back", do_frame, 5000, PIECE},
	{"random", "a 64-bit random number", do_random, 5000, PIECE},
	{"switch", "from one thread to another by park and unpark", do_switch, 2000, 2000},
	{"thread", "a kernel thread is made, runs and ends", do_thread, 500, PIECE},
	{"call", "a function called on all CPUs by interrupt", do_call, 500, PIECE},
};

bool measure_get(size_t index, const char **name, const char **what)
{
	if (index >= ARRAY_SIZE(measurements))
		return false;
	*name = measurements[index].name;
	*what = measurements[index].what;
	return true;
}

static enum kerr run_pieces(const struct measurement *m, uint64_t rounds, nsec_t *total)
{
	while (rounds > 0) {
		unsigned n = (unsigned)MIN(rounds, (uint64_t)m->piece);
		if (signal_pending())
			return KERR_INTR;
		nsec_t start = time_now();
		enum kerr err = m->run(n);
		*total += time_now() - start;
		if (err != KERR_OK)
			return err;
		rounds -= n;
	}
	return KERR_OK;
}

enum kerr measure_run(const char *name, uint64_t rounds, struct measure_result *out)
{
	nsec_t unused = 0;

	*out = (struct measure_result){};
	if (rounds > MEASURE_ROUNDS_MAX)
		return KERR_INVAL;
	for (size_t i = 0; i < ARRAY_SIZE(measurements); i++) {
		const struct measurement *m = &measurements[i];
		if (strcmp(m->name, name) != 0)
			continue;
		out->rounds = rounds ? rounds : m->rounds;
		enum kerr err = run_pieces(m, MIN(out->rounds / 10 + 1, (uint64_t)PIECE), &unused);
		return err == KERR_OK ? run_pieces(m, out->rounds, &out->total) : err;
	}
	return KERR_NOENT;
}
