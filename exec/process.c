/*
 * Processes: the tables, lookups, references, times and limits.
 *
 * Two hash tables, pid to process and tid to thread, are written under process_tree_lock and read
 * under RCU. A process is one reference for being in the table (dropped when it is reaped), and
 * one for each user that holds a pointer. Lock order: process_tree_lock, then one process's lock.
 *
 * Process 0 owns all kernel threads and is in no table.
 */
#include "process_private.h"
#include "thread_private.h"
#include <core/panic.h>
#include <exec/domain.h>
#include <lib/string.h>
#include <mm/heap.h>

#define BUCKETS 1024

struct spinlock process_tree_lock = SPINLOCK_INIT(RANK_PROCESS, "process tree");
struct process *process_init;

struct process kernel_process = {
	.references = 1,
	.state = PROCESS_RUNNING,
	.lock = SPINLOCK_INIT(RANK_SIGNAL, "kernel process"),
	.threads = LIST_INIT(kernel_process.threads),
	.children = LIST_INIT(kernel_process.children),
	.sibling = LIST_INIT(kernel_process.sibling),
	.group_link = LIST_INIT(kernel_process.group_link),
	.pending = {.queue = LIST_INIT(kernel_process.pending.queue)},
	.child_wait = WAITQ_INIT(kernel_process.child_wait),
	.name = "kernel",
	.domain = DOMAIN_OF(KERNEL),
	.credentials.capabilities = CAPABILITIES_ROOT,
};

struct process *process_kernel(void)
{
	return &kernel_process;
}

const struct resource_ops *process_resource_ops[RESOURCE_COUNT] RO_AFTER_INIT;
void *(*process_executable_get)(void *file)RO_AFTER_INIT;
void (*process_executable_put)(void *file) RO_AFTER_INIT;
void (*process_session_end)(struct session *session) RO_AFTER_INIT;

static struct cache *processes RO_AFTER_INIT;
static struct process *_Atomic pid_table[BUCKETS]; /* (tree lock; rcu) */
static struct thread *_Atomic tid_table[BUCKETS];  /* (tree lock; rcu) */

void process_resource_register(enum process_resource slot, const struct resource_ops *ops)
{
	process_resource_ops[slot] = ops;
}

void process_executable_register(void *(*get)(void *file), void (*put)(void *file))
{
	process_executable_get = get;
	process_executable_put = put;
}

void process_session_end_register(void (*fn)(struct session *session))
{
	process_session_end = fn;
}

void process_boot(void)
{
	for (unsigned i = 0; i < RLIMIT_COUNT; i++)
		kernel_process.limits[i] = (struct rlimit64){RLIM_INFINITY, RLIM_INFINITY};
	processes = cache_create("process", sizeof(struct process), 64);
	ids_boot();
	signal_boot();
}

/* ---- The tables ---- */

/* The links are plain pointers in public structs; readers run beside writers. */
#define LINK(pointer) ((typeof(pointer) _Atomic *)&(pointer))

void process_hash_locked(struct process *p)
{
	struct process *_Atomic *bucket = &pid_table[(unsigned)p->pid % BUCKETS];

	p->hash_next = *bucket;
	atomic_store_explicit(bucket, p, memory_order_release);
}

void process_unhash_locked(struct process *p)
{
	struct process *_Atomic *link = &pid_table[(unsigned)p->pid % BUCKETS];

	while (*link != p)
		link = LINK((*link)->hash_next);
	atomic_store_explicit(link, p->hash_next, memory_order_release);
}

static void thread_hash_locked(struct thread *t)
{
	struct thread *_Atomic *bucket = &tid_table[(unsigned)t->tid % BUCKETS];

	t->hash_next = *bucket;
	atomic_store_explicit(bucket, t, memory_order_release);
}

static void thread_unhash_locked(struct thread *t)
{
	struct thread *_Atomic *link = &tid_table[(unsigned)t->tid % BUCKETS];

	while (*link != t)
		link = LINK((*link)->hash_next);
	atomic_store_explicit(link, t->hash_next, memory_order_release);
}

void thread_rehash_locked(struct thread *t, int tid)
{
	thread_unhash_locked(t);
	t->tid = tid;
	thread_hash_locked(t);
}

static bool process_try_get(struct process *p)
{
	uint32_t n = atomic_load_explicit(&p->references, memory_order_relaxed);

	while (n)
		if (atomic_compare_exchange_weak_explicit(
			    &p->references, &n, n + 1, memory_order_acquire, memory_order_relaxed))
			return true;
	return false;
}

struct process *process_find(int pid)
{
	rcu_read_lock();
	struct process *p =
		atomic_load_explicit(&pid_table[(unsigned)pid % BUCKETS], memory_order_acquire);
	while (p && p->pid != pid)
		p = atomic_load_explicit(LINK(p->hash_next), memory_order_acquire);
	if (p && !process_try_get(p))
		p = nullptr;
	rcu_read_unlock();
	return p;
}

struct thread *thread_find(int tid)
{
	struct thread *t =
		atomic_load_explicit(&tid_table[(unsigned)tid % BUCKETS], memory_order_acquire);
	while (t && t->tid != tid)
		t = atomic_load_explicit(LINK(t->hash_next), memory_order_acquire);
	return t;
}

struct process *process_next(int after)
{
	for (;;) {
		int best = INT32_MAX;
		rcu_read_lock();
		for (unsigned i = 0; i < BUCKETS; i++)
			for (struct process *p =
				     atomic_load_explicit(&pid_table[i], memory_order_acquire);
			     p; p = atomic_load_explicit(LINK(p->hash_next), memory_order_acquire))
				if (p->pid > after && p->pid < best)
					best = p->pid;
		rcu_read_unlock();
		if (best == INT32_MAX)
			return nullptr;
		struct process *p = process_find(best);
		if (p)
			return p;
		after = best; /* gone meanwhile */
	}
}

/* ---- Life ---- */

struct process *process_create(void)
{
	struct process *p = cache_alloc_zeroed(processes);

	if (!p)
		return nullptr;
	p->references = 1;
	p->state = PROCESS_CREATING;
	spin_init(&p->lock, RANK_SIGNAL, "process");
	list_init(&p->threads);
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->group_link);
	list_init(&p->pending.queue);
	waitq_init(&p->child_wait);
	timer_init(&p->alarm, alarm_expired);
	p->dumpable = 1;
	p->start_time = time_now();
	return p;
}

void process_get(struct process *p)
{
	atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
}

static void free_process(struct rcu_head *head)
{
	struct process *p = container_of(head, struct process, rcu);

	if (p->watch)
		signal_watch_put(p->watch);
	cache_free(processes, p);
}

void process_put(struct process *p)
{
	if (atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) == 1)
		rcu_call(&p->rcu, free_process);
}

void process_thread_publish_locked(struct process *p, struct thread *t)
{
	process_get(p); /* until the thread is buried */
	thread_hash_locked(t);
	spin_acquire(&p->lock);
	list_add_tail(&p->threads, &t->process_link);
	p->thread_count++;
	process_gate_update_locked(p);
	spin_release(&p->lock);
}

void process_thread_publish(struct process *p, struct thread *t)
{
	bool on = spin_lock_irq(&process_tree_lock);

	process_thread_publish_locked(p, t);
	spin_unlock_irq(&process_tree_lock, on);
}

/* Up to now, also of a thread that runs; on another CPU a little behind. The caller itself is not switched out
 * between the readings. */
void thread_times(const struct thread *t, nsec_t *user, nsec_t *system)
{
	bool on = hal.cpu.irq_save();
	nsec_t all = t->run_time, kernel = t->system_time;

	if (atomic_load_explicit(&t->on_cpu, memory_order_relaxed)) {
		nsec_t now = time_now(), since = READ_ONCE(t->ran_since);
		nsec_t entered = READ_ONCE(t->entered);
		if (now > since)
			all += now - since;
		if (entered != NSEC_NEVER && now > entered)
			kernel += now - entered;
	}
	hal.cpu.irq_restore(on);
	*system = MIN(kernel, all);
	*user = all - *system;
}

void process_switches(struct process *p, uint64_t *voluntary, uint64_t *involuntary)
{
	const struct thread *t;
	bool on = spin_lock_irq(&p->lock);

	*voluntary = p->voluntary_switches;
	*involuntary = p->involuntary_switches;
	list_for_each(t, &p->threads, process_link) {
		*voluntary += thread_voluntary(t);
		*involuntary += thread_involuntary(t);
	}
	spin_unlock_irq(&p->lock, on);
}

uint32_t process_thread_withdraw(struct thread *t)
{
	struct process *p = t->process;
	nsec_t user, system;

	thread_times(t, &user, &system);
	intent_release(t);
	bool on = spin_lock_irq(&process_tree_lock);
	thread_unhash_locked(t);
	spin_acquire(&p->lock);
	list_remove(&t->process_link);
	p->user_time += user;
	p->system_time += system;
	p->voluntary_switches += thread_voluntary(t);
	p->involuntary_switches += thread_involuntary(t);
	uint32_t left = --p->thread_count;
	if (t->stop_counted)
		p->stopped_threads--;
	if (p->exec_waits && left == 1)
		thread_notify(list_first(&p->threads, struct thread, process_link), 0);
	spin_release(&p->lock);
	spin_unlock_irq(&process_tree_lock, on);
	if (t->tid != p->pid)
		id_release(t->tid);
	return left;
}

struct process *process_adopter_locked(struct process *p)
{
	for (struct process *a = p->parent; a && a != &kernel_process; a = a->parent)
		if (a->subreaper && a->state != PROCESS_ZOMBIE)
			return a;
	return process_init;
}

/* ---- What others ask ---- */

int process_parent_pid(struct process *p)
{
	rcu_read_lock();
	struct process *parent = READ_ONCE(p->parent);
	int pid = parent ? parent->pid : 0;
	rcu_read_unlock();
	return pid;
}

struct aspace *process_aspace(struct process *p)
{
	bool on = spin_lock_irq(&p->lock);
	struct aspace *as = p->aspace;

	if (as)
		aspace_get(as);
	spin_unlock_irq(&p->lock, on);
	return as;
}

uint64_t process_limit(unsigned limit)
{
	return READ_ONCE(current_process()->limits[limit].current);
}

uint64_t process_lock_limit(void)
{
	return process_has_privilege(TERN_CAP_LOCK_MEMORY, LINUX_CAP_IPC_LOCK)
		       ? UINT64_MAX
		       : process_limit(RLIMIT_MEMLOCK);
}

void process_times(struct process *p, nsec_t *user, nsec_t *system)
{
	bool on = spin_lock_irq(&p->lock);
	struct thread *t;

	*user = p->user_time;
	*system = p->system_time;
	list_for_each(t, &p->threads, process_link) {
		nsec_t u, s;
		thread_times(t, &u, &s);
		*user += u;
		*system += s;
	}
	spin_unlock_irq(&p->lock, on);
}

bool process_thread_next(struct process *p, int after, struct thread_info *out)
{
	struct thread *t, *best = nullptr;
	bool on = spin_lock_irq(&p->lock);

	list_for_each(t, &p->threads, process_link)
		if (t->tid > after && (!best || t->tid < best->tid))
			best = t;
	if (best) {
		*out = (struct thread_info){
			.tid = best->tid,
			.state = best->state,
			.priority = best->priority,
			.policy = best->policy,
			.nice = best->nice,
			.cpu = best->task.hal.cpu,
			.affinity = best->affinity,
			.wait_reason = best->wait_reason,
			.realtime = best->realtime,
			.fpu_saves = best->task.hal.fpu_saves,
			.fpu_loads = best->task.hal.fpu_loads,
			.fpu_traps = best->fpu_traps,
			.wait_time = best->wait_time,
			.moves = best->moves,
			.voluntary_switches = thread_voluntary(best),
			.involuntary_switches = thread_involuntary(best),
		};
		thread_times(best, &out->user_time, &out->system_time);
		out->run_time = out->user_time + out->system_time;
		strlcpy(out->name, best->task.name, sizeof(out->name));
	}
	spin_unlock_irq(&p->lock, on);
	return best;
}
