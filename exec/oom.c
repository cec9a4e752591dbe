/*
 * Out of memory: who is ended, and who waits.
 *
 *	a fault finds no frame, shrinkers gave nothing
 *	  --> someone is ending already?        wait for what comes back
 *	  --> else choose, report, SIGKILL      wait for what comes back
 *	  --> again, TRIES times, and as long as something came back each time (others may be
 *	      faster to take it); then the one that asked gets the error
 *
 * Chosen is who has most: resident pages and page tables, plus oom_score_adj thousandths of all
 * memory. Never program 1, never one at -1000, never one that is ending. All that share the
 * address space end with it: else nothing would come back. If the request was bound to some nodes (a
 * memory policy), who is bound to others is left alone. Program 1 itself never gets the error:
 * its fault is repeated until there is a frame.
 *
 * The victim needs no program's frames to end: its faults give up at once, in a system call it comes
 * back with an error, and what the kernel allocates on its way out comes from the reserve that
 * FRAME_USER never touches. It may wait for a lock whose holder waits here: so a victim has
 * VICTIM_TIME, after which another one is chosen.
 *
 * A wait ends when an address space goes or after WAIT_TIME; so it is bounded, whatever happens, and
 * nobody spins.
 *
 * Locks: oom_lock (a mutex) -> an address space's mutex (figures). Callers hold no lock of an address
 * space; they may hold an inode's. Nothing sleeps in the choice but on those.
 */
#include "process_private.h"
#include <core/log.h>
#include <core/time.h>
#include <exec/domain.h>
#include <exec/oom.h>
#include <mm/memory.h>
#include <mm/policy.h>
#include <mm/pressure.h>

#define TRIES 40
#define WAIT_TIME (100 * NSEC_PER_MSEC)
#define VICTIM_TIME (500 * NSEC_PER_MSEC)
#define REPORT_EVERY NSEC_PER_SEC
#define REPORT_ROWS 8

static struct mutex oom_lock = MUTEX_INIT(oom_lock);
static struct waitq oom_queue = WAITQ_INIT(oom_queue);
static _Atomic uint32_t freed;     /* address spaces that have gone */
static int victim;                 /* (oom_lock) pid of the last one; 0: none */
static nsec_t victim_until;        /* (oom_lock) how long to wait for its end */
static nsec_t reported;            /* (oom_lock) when the last long report was */

struct candidate {
	int pid;
	int64_t points;
	uint64_t resident, tables; /* frames */
};

void oom_memory_freed(void)
{
	atomic_fetch_add(&freed, 1);
	if (waitq_active(&oom_queue))
		wake_all(&oom_queue);
}

static bool ending(struct process *p)
{
	return READ_ONCE(p->exiting);
}

/* ---- Points --------------------------------------------------------------------------------- */

static int64_t adjusted(const struct process *p, uint64_t pages)
{
	int64_t total = (int64_t)frame_totals().total;

	return (int64_t)pages + p->oom_adjust * total / 1000;
}

/* False: it has no memory. */
static bool measure(struct process *p, struct candidate *out)
{
	struct aspace *as = process_aspace(p);

	if (!as)
		return false;
	*out = (struct candidate){
		.pid = p->pid,
		.resident = aspace_stats(as).resident_pages,
		.tables = aspace_table_bytes(as) >> PAGE_SHIFT,
	};
	out->points = adjusted(p, out->resident + out->tables);
	aspace_put(as);
	return true;
}

int64_t oom_points(struct process *p)
{
	struct candidate c;

	if (p == process_init || p->oom_adjust == OOM_ADJUST_MIN || !measure(p, &c))
		return INT64_MIN;
	return c.points;
}

unsigned oom_score(struct process *p)
{
	int64_t points = oom_points(p), total = (int64_t)frame_totals().total;

	if (points == INT64_MIN)
		return 0;
	int64_t score = (1000 + points * 1000 / total) * 2 / 3;
	return (unsigned)MAX(score, 0);
}

enum kerr oom_adjust(struct process *p, int adjust)
{
	if (adjust < OOM_ADJUST_MIN || adjust > OOM_ADJUST_MAX)
		return KERR_INVAL;
	if (adjust < p->oom_adjust_min &&
	    !process_capable(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_RESOURCE))
		return KERR_ACCESS;
	p->oom_adjust = (int16_t)adjust;
	if (process_has_privilege(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_RESOURCE))
		p->oom_adjust_min = (int16_t)adjust;
	return KERR_OK;
}

/* ---- The choice ----------------------------------------------------------------------------- */

/* Into the rows, largest first. */
static void rank(struct candidate rows[REPORT_ROWS], const struct candidate *c)
{
	unsigned at = REPORT_ROWS;

	while (at > 0 && rows[at - 1].points < c->points)
		at--;
	for (unsigned i = REPORT_ROWS - 1; i > at; i--)
		rows[i] = rows[i - 1];
	if (at < REPORT_ROWS)
		rows[at] = *c;
}

/* oom_lock held. p is on its way out: whether to wait for it. Each gets its time once. */
static bool awaited(struct process *p)
{
	if (atomic_load(&p->state) >= PROCESS_ZOMBIE)
		return false;
	if (p->pid != victim && time_now() >= victim_until) {
		victim = p->pid;
		victim_until = time_now() + VICTIM_TIME;
	}
	return time_now() < victim_until;
}

/* Whether its end could give frames of `nodes` (0: of any): unless all its threads are bound to
 * others. */
static bool may_have_frames_of(struct process *p, uint16_t nodes)
{
	bool may = !nodes || list_empty(&p->threads);
	struct thread *t;

	bool on = spin_lock_irq(&p->lock);
	list_for_each(t, &p->threads, process_link) {
		const struct memory_policy *policy = &t->task.memory.policy;
		may |= policy->mode != POLICY_BIND || policy->nodes & nodes;
	}
	spin_unlock_irq(&p->lock, on);
	return may;
}

/* oom_lock held. The best candidate first; unused rows have pid 0. False: nobody is left, or somebody
 * is ending already (*ends). */
static bool choose(struct candidate rows[REPORT_ROWS], bool *ends)
{
	struct process *p;

	*ends = false;
	for (unsigned i = 0; i < REPORT_ROWS; i++)
		rows[i] = (struct candidate){.points = INT64_MIN};
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		struct candidate c;
		pid = p->pid;
		if (ending(p))
			*ends |= awaited(p);
		else if (p != process_init && p->oom_adjust != OOM_ADJUST_MIN &&
			 may_have_frames_of(p, policy_short_nodes()) && measure(p, &c))
			rank(rows, &c);
	}
	return rows[0].pid;
}

/* ---- The report ----------------------------------------------------------------------------- */

static void report_row(const struct candidate *c)
{
	struct process *p = process_find(c->pid);

	if (!p)
		return;
	log_warn("oom: %7d %7lu kB %5lu kB %5d %s", c->pid,
		 (unsigned long)(c->resident * (PAGE_SIZE / 1024)),
		 (unsigned long)(c->tables * (PAGE_SIZE / 1024)), p->oom_adjust, p->name);
	process_put(p);
}

/* oom_lock held. At most once in REPORT_EVERY, so that many deaths do not flood the log. */
static void report(const struct candidate rows[REPORT_ROWS])
{
	struct process *self = current_process();
	struct memory_stats m;
	struct zone_info z;

	if (reported && time_now() < reported + REPORT_EVERY)
		return;
	reported = time_now();
	memory_stats(&m);
	log_warn("oom: process %d (%s) needs a frame: %lu kB of %lu free, %lu anonymous, %lu of "
		 "files, "
		 "%lu tables, %lu slab",
		 self->pid, self->name, (unsigned long)(m.free * 4), (unsigned long)(m.total * 4),
		 (unsigned long)(m.anonymous * 4), (unsigned long)(m.cached * 4),
		 (unsigned long)(m.page_tables * 4), (unsigned long)(m.slab * 4));
	for (size_t i = 0; zone_info(i, &z); i++)
		log_warn("oom: node %u zone %s: %lu of %lu frames free, %lu reserved", z.node,
			 z.name, (unsigned long)z.free, (unsigned long)z.managed,
			 (unsigned long)z.watermark_min);
	log_warn("oom:     pid   resident   tables   adj name");
	for (unsigned i = 0; i < REPORT_ROWS && rows[i].pid; i++)
		report_row(&rows[i]);
}

/* ---- The end of one ------------------------------------------------------------------------- */

static void end_all_of(struct aspace *as)
{
	struct process *p;

	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		if (READ_ONCE(p->aspace) == as && p != process_init)
			process_signal(p, SIGKILL);
	}
}

/* oom_lock held. */
static void end(const struct candidate *c)
{
	struct process *p = process_find(c->pid);

	if (!p)
		return;
	struct aspace *as = process_aspace(p);
	log_warn("out of memory: killed process %d (%s), %lu kB resident, adjustment %d", p->pid,
		 p->name, (unsigned long)(c->resident * (PAGE_SIZE / 1024)), p->oom_adjust);
	victim = p->pid;
	victim_until = time_now() + VICTIM_TIME;
	process_signal(p, SIGKILL);
	if (as) {
		if (p->shares_aspace)
			end_all_of(as);
		aspace_put(as);
	}
	process_put(p);
}

/* oom_lock held. False: nothing that could be waited for. */
static bool end_somebody(void)
{
	struct candidate rows[REPORT_ROWS];
	bool ends;
	bool found = choose(rows, &ends);

	if (ends)
		return true;
	if (!found)
		return false;
	report(rows);
	end(&rows[0]);
	return true;
}

bool oom_relieve(unsigned attempt)
{
	struct process *self = current_process();
	uint32_t before = atomic_load(&freed);

	if (self->pid == 0 || ending(self))
		return false;
	mutex_lock(&oom_lock);
	/* Others have waited for this lock: what was done for them may do for us. */
	bool wait = false, hope = frame_reclaim() && !frame_scarce_here();
	if (!hope && !ending(self))
		hope = wait = end_somebody();
	mutex_unlock(&oom_lock);
	if (ending(self))
		return false;
	if (wait) {
		enum kerr err =
			wait_until(&oom_queue, atomic_load(&freed) != before || ending(self),
				   WAIT_MEMORY, false, time_now() + WAIT_TIME);
		(void)err; /* woken or not, the caller looks again */
	}
	/* Also if the last one to be ended has just gone: nobody was left to choose then. */
	bool came = atomic_load(&freed) != before;
	return (came || (hope && attempt < TRIES)) && !ending(self);
}

bool oom_admit(void)
{
	for (unsigned attempt = 0; unlikely(frame_scarce()); attempt++) {
		if (attempt == 0 && frame_reclaim())
			continue;
		if (!oom_relieve(attempt))
			return false;
	}
	return true;
}
