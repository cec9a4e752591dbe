/*
 * Figures: mem, ps, stats, uptime. Each comes from the function that /proc's file of the same
 * meaning calls (memory_stats, process_next, exec_figures, ...): there is no second source.
 */
#include "kshell_private.h"

#include <core/cpu.h>
#include <core/lock_stat.h>
#include <core/time.h>
#include <exec/process.h>
#include <exec/sched.h>
#include <fs/proc.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/commit.h>
#include <mm/heap.h>
#include <mm/memory.h>

#define KIB(frames) ((unsigned long)((frames) * (PAGE_SIZE / 1024)))
#define HUNDREDTH (NSEC_PER_SEC / 100)
#define LOCKS_SHOWN 8u

/* ---- mem ---- */

static void memory_line(struct shell *s, const char *name, uint64_t frames, uint64_t total)
{
	char bar[21];
	size_t filled = total ? (size_t)((frames * 20 + total / 2) / total) : 0;

	memset(bar, '.', 20);
	memset(bar, '#', MIN(filled, (size_t)20));
	bar[20] = '\0';
	sh_print(s, "  %-14s %10lu KiB  %s\n", name, KIB(frames), bar);
}

int command_mem(struct shell *s, unsigned argc, char **argv)
{
	struct memory_stats m;
	struct commit_totals c;
	struct zone_info z;
	struct heap_stats h = heap_stats();

	memory_stats(&m);
	commit_totals(&c);
	memory_line(s, "total", m.total, m.total);
	memory_line(s, "free", m.free, m.total);
	memory_line(s, "programs", m.anonymous, m.total);
	memory_line(s, "files", m.cached, m.total);
	memory_line(s, "heap", m.slab, m.total);
	memory_line(s, "large blocks", m.kmap, m.total);
	memory_line(s, "kernel stacks", m.kernel_stacks, m.total);
	memory_line(s, "page tables", m.page_tables, m.total);
	sh_print(s, "  promised to programs %lu of %lu KiB; reserved %lu KiB\n", KIB(c.committed),
		 KIB(c.limit), KIB(m.reserved));
	sh_print(s, "  heap: %zu of %zu bytes used, %lu allocations, %lu frees\n", h.used, h.total,
		 (unsigned long)h.allocations, (unsigned long)h.deallocations);
	for (size_t i = 0; zone_info(i, &z); i++)
		sh_print(s, "  zone %-8s node %u  %10lu of %lu KiB free, %s\n", z.name, z.node,
			 KIB(z.free), KIB(z.managed), frame_allocator_name());
	return 0;
}

/* ---- ps ---- */

static void process_line(struct shell *s, struct process *p, const struct thread_info *t,
			 nsec_t time)
{
	struct aspace_stats m = proc_aspace_stats(p);

	sh_print(s, "%5d %5d %c %3u %4u %6lu.%02lu %8lu %8lu %3u %s\n", t->tid,
		 p->pid ? process_parent_pid(p) : 0, proc_state_letter(p, t), t->cpu, t->priority,
		 (unsigned long)(time / NSEC_PER_SEC),
		 (unsigned long)(time % NSEC_PER_SEC / HUNDREDTH), KIB(m.virtual_pages),
		 KIB(m.resident_pages), p->pid ? READ_ONCE(p->thread_count) : 1, t->name);
}

static void kernel_threads(struct shell *s)
{
	struct process *p = process_kernel();
	struct thread_info t;

	for (int tid = 0; process_thread_next(p, tid, &t); tid = t.tid)
		process_line(s, p, &t, t.user_time + t.system_time);
}

int command_ps(struct shell *s, unsigned argc, char **argv)
{
	struct process *p;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "-k") != 0))
		return sh_usage(s, "ps");
	sh_print(s, "%s  PID  PPID S CPU PRIO      TIME  VIRTUAL RESIDENT THR NAME%s\n",
		 sh_color(s, COLOR_STRONG), sh_color(s, COLOR_NONE));
	if (argc == 2) {
		kernel_threads(s);
		return 0;
	}
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		struct thread_info t = {.state = THREAD_ZOMBIE, .tid = p->pid};
		nsec_t user, system;
		pid = p->pid;
		if (!process_thread_next(p, 0, &t))
			strlcpy(t.name, p->name, sizeof(t.name));
		t.tid = pid;
		process_times(p, &user, &system);
		process_line(s, p, &t, user + system);
	}
	return 0;
}

/* ---- uptime, stats ---- */

int command_uptime(struct shell *s, unsigned argc, char **argv)
{
	struct exec_figures f;
	nsec_t up = time_now();
	unsigned long seconds = (unsigned long)(up / NSEC_PER_SEC);

	exec_figures(&f);
	sh_print(s, "up %lu:%02lu:%02lu.%02lu, %u threads, %u running, load", seconds / 3600,
		 seconds / 60 % 60, seconds % 60, (unsigned long)(up % NSEC_PER_SEC / HUNDREDTH),
		 f.threads, f.running);
	for (int i = 0; i < 3; i++) {
		unsigned long hundredths = (unsigned long)((f.load[i] * 100 + 1024) / 2048);
		sh_print(s, " %lu.%02lu", hundredths / 100, hundredths % 100);
	}
	sh_print(s, "\n");
	return 0;
}

static unsigned long percent(nsec_t part, nsec_t all)
{
	return all ? (unsigned long)(part * 100 / all) : 0;
}

/* The locks that somebody had to wait for most; only debug builds count them. */
static void show_locks(struct shell *s)
{
	static const char *const kinds[] = {"spin", "mutex", "read", "write"};
	struct lock_stat l, worst[LOCKS_SHOWN] = {};

	for (size_t i = 0; lock_stat(i, &l); i++) {
		for (unsigned k = 0; k < LOCKS_SHOWN; k++) {
			if (l.contended <= worst[k].contended)
				continue;
			struct lock_stat down = worst[k];
			worst[k] = l;
			l = down;
		}
	}
	for (unsigned k = 0; k < LOCKS_SHOWN && worst[k].contended; k++)
		sh_print(s, "  lock %-18s %-5s taken %lu, waited for %lu\n", worst[k].name,
			 kinds[worst[k].kind], (unsigned long)worst[k].taken,
			 (unsigned long)worst[k].contended);
}

int command_stats(struct shell *s, unsigned argc, char **argv)
{
	struct exec_figures f;

	exec_figures(&f);
	sh_print(s, "scheduler %s, %lu switches, %lu forks, %u threads, last number %d\n",
		 sched_name(), (unsigned long)f.context_switches, (unsigned long)f.forks, f.threads,
		 f.last_pid);
	sh_print(s, "%sCPU  user kernel  idle  ready  switches migrated  pulled%s\n",
		 sh_color(s, COLOR_STRONG), sh_color(s, COLOR_NONE));
	for (cpu_t cpu = 0; cpu < cpu_count; cpu++) {
		struct cpu_times t;
		struct sched_stats c;
		if (!(cpu_online() & cpu_bit(cpu)))
			continue;
		exec_cpu_times(cpu, &t);
		sched_stats(cpu, &c);
		nsec_t all = t.user + t.system + t.idle;
		sh_print(s, "%3u %4lu%% %5lu%% %4lu%% %6u %9lu %8lu %7lu\n", cpu,
			 percent(t.user, all), percent(t.system, all), percent(t.idle, all),
			 c.ready, (unsigned long)sched_switches(&c), (unsigned long)c.migrations,
			 (unsigned long)c.pulls);
	}
	show_locks(s);
	return 0;
}
