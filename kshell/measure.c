/* bench: the kernel's operations, measured now. demo: threads, and where the scheduler puts them. */
#include "kshell_private.h"

#include <core/cpu.h>
#include <core/time.h>
#include <exec/measure.h>
#include <exec/sched.h>
#include <lib/string.h>
#include <mm/heap.h>

#define TENTHS 10
#define THREADS_MAX (2 * CPU_MAX)

/* ---- bench ---- */

static int measure_one(struct shell *s, const char *name, const char *what)
{
	struct measure_result r;
	uint64_t best = UINT64_MAX;

	for (int run = 0; run < 3; run++) { /* the least disturbed one counts */
		enum kerr err = measure_run(name, 0, &r);
		if (err == KERR_NOENT)
			return sh_fail(s, "bench", "there is no %.64s; bench lists them", name);
		if (err != KERR_OK)
			return sh_fail(s, "bench", "%s: %s", name, kerr_name(err));
		best = MIN(best, r.total * TENTHS / r.rounds);
	}
	sh_print(s, "  %-10s %8lu.%lu ns  %s\n", name, (unsigned long)(best / TENTHS),
		 (unsigned long)(best % TENTHS), what);
	return 0;
}

int command_bench(struct shell *s, unsigned argc, char **argv)
{
	const char *name, *what;
	bool all = argc == 2 && strcmp(argv[1], "all") == 0;
	int status = 0;

	if (argc > 2)
		return sh_usage(s, "bench");
	for (size_t i = 0; measure_get(i, &name, &what); i++) {
		if (argc == 1)
			sh_print(s, "  %-10s %s\n", name, what);
		else if (all)
			status |= measure_one(s, name, what);
		else if (strcmp(argv[1], name) == 0)
			return measure_one(s, name, what);
		if (all && sh_interrupted(s))
			return 130;
	}
	return argc == 2 && !all ? measure_one(s, argv[1], "") : status;
}

/* ---- demo ---- */

struct runner {
	struct demo *demo;
	uint64_t work; /* (own) rounds of computing */
	uint64_t seen[CPU_MAX]; /* (own) of these, on each CPU */
};

struct demo {
	struct runner runners[THREADS_MAX];
	_Atomic bool stop;
	uint32_t ended; /* (over.lock) */
	struct waitq over;
};

static void run(void *arg)
{
	struct runner *r = arg;
	struct demo *d = r->demo;

	while (!atomic_load_explicit(&d->stop, memory_order_relaxed)) {
		for (volatile unsigned i = 0; i < 1000; i++)
			;
		r->work++;
		r->seen[READ_ONCE(current_task()->hal.cpu)]++;
	}
	bool on = spin_lock_irq(&d->over.lock);
	d->ended++;
	wake_one_locked(&d->over);
	spin_unlock_irq(&d->over.lock, on);
}

static void show_runner(struct shell *s, unsigned number, const struct runner *r, uint64_t all)
{
	sh_print(s, "  thread %-3u %3lu%% of the work, on CPU", number,
		 all ? (unsigned long)(r->work * 100 / all) : 0ul);
	for (cpu_t cpu = 0; cpu < cpu_count; cpu++)
		if (r->seen[cpu])
			sh_print(s, " %u (%lu%%)", cpu,
				 (unsigned long)(r->seen[cpu] * 100 / r->work));
	sh_print(s, "\n");
}

/* Starts as many as there is memory for, lets them compute; they have all ended when it returns. */
static unsigned compute(struct shell *s, struct demo *d, unsigned wanted, uint64_t seconds)
{
	nsec_t until = time_now() + seconds * NSEC_PER_SEC;
	bool stopped = false;
	unsigned count = 0;

	for (; count < wanted; count++) {
		d->runners[count].demo = d;
		if (kthread_create("demo", PRIORITY_NORMAL, run, &d->runners[count], nullptr) !=
		    KERR_OK)
			break;
	}
	while (time_now() < until && !stopped) {
		enum kerr err = thread_sleep_until(time_now() + NSEC_PER_SEC / 10, false);
		(void)err; /* not interruptible */
		stopped = sh_interrupted(s);
	}
	atomic_store(&d->stop, true);
	enum kerr err =
		wait_until(&d->over, READ_ONCE(d->ended) == count, WAIT_OTHER, false, NSEC_NEVER);
	(void)err; /* not interruptible, no deadline */
	bool on = spin_lock_irq(&d->over.lock); /* the last one may still be in there */
	spin_unlock_irq(&d->over.lock, on);
	return count;
}

/* Two threads for each CPU compute for a while and count what they did, and where. */
int command_demo(struct shell *s, unsigned argc, char **argv)
{
	const char *end = "";
	uint64_t seconds = argc > 1 ? str_to_u64(argv[1], &end, 10) : 1, all = 0;
	unsigned wanted = (unsigned)__builtin_popcountll(cpu_online()) * 2;

	if (argc > 2 || *end || seconds < 1 || seconds > 60)
		return sh_usage(s, "demo");
	struct demo *d = heap_alloc_zeroed(sizeof(*d));
	if (!d)
		return sh_fail(s, "demo", "out of memory");
	waitq_init(&d->over);
	sh_print(s, "%u threads compute for %lu s on %u CPUs under %s:\n", wanted,
		 (unsigned long)seconds, wanted / 2, sched_name());
	unsigned count = compute(s, d, wanted, seconds);
	for (unsigned i = 0; i < count; i++)
		all += d->runners[i].work;
	for (unsigned i = 0; i < count; i++)
		show_runner(s, i + 1, &d->runners[i], all);
	heap_free(d);
	return count < wanted ? sh_fail(s, "demo", "memory for %u threads only", count) : 0;
}
