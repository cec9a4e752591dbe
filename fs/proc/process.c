/*
 * /proc/PID. A subject is looked up by number at each access, under a reference, so a process may
 * end at any time: then the file is empty or KERR_SRCH.
 */
#include "procfs.h"

#include <core/cpu.h>
#include <core/time.h>
#include <exec/domain.h>
#include <exec/oom.h>
#include <exec/signal.h>
#include <lib/format.h>
#include <mm/heap.h>

/* ---- Finding --------------------------------------------------------------------------------- */

static bool parse_number(const char *name, int *out)
{
	const char *end;

	if (*name < '0' || *name > '9' || (*name == '0' && name[1]))
		return false;
	uint64_t value = str_to_u64(name, &end, 10);
	if (*end || value > INT32_MAX)
		return false;
	*out = (int)value;
	return true;
}

/* Others than oneself: who has the capability, and whose domain does not keep them apart. */
static bool may_see(struct process *p)
{
	return p == current_process() ||
	       (process_has(TERN_CAP_PROC_ACCESS) && !process_separated(p, DOMAIN_SEE));
}

bool proc_pid_find(const char *name, const struct proc_subject *s, struct proc_subject *out)
{
	int pid;

	if (!parse_number(name, &pid) || pid == 0)
		return false;
	struct process *p = process_find(pid);
	bool seen = p && may_see(p);
	if (p)
		process_put(p);
	*out = (struct proc_subject){.pid = pid, .tid = pid};
	return seen;
}

bool proc_pid_next(const struct proc_subject *s, int *after, char name[16])
{
	struct process *p = process_next(MAX(*after, 0));

	while (p && !may_see(p)) {
		int pid = p->pid;
		process_put(p);
		p = process_next(pid);
	}
	if (!p)
		return false;
	*after = p->pid;
	format(name, 16, "%d", p->pid);
	process_put(p);
	return true;
}

/* The thread of the subject; false: it or its process has gone. */
static bool find_thread(struct process *p, int tid, struct thread_info *out)
{
	return process_thread_next(p, tid - 1, out) && out->tid == tid;
}

static bool thread_find_name(const char *name, const struct proc_subject *s,
			     struct proc_subject *out)
{
	struct thread_info info;
	int tid;

	if (!parse_number(name, &tid))
		return false;
	struct process *p = process_find(s->pid);
	bool found = p && find_thread(p, tid, &info);
	if (p)
		process_put(p);
	*out = (struct proc_subject){.pid = s->pid, .tid = tid};
	return found;
}

static bool thread_next_name(const struct proc_subject *s, int *after, char name[16])
{
	struct thread_info info;
	struct process *p = process_find(s->pid);
	bool found = p && process_thread_next(p, MAX(*after, 0), &info);

	if (p)
		process_put(p);
	if (!found)
		return false;
	*after = info.tid;
	format(name, 16, "%d", info.tid);
	return true;
}

/* ---- Status ---------------------------------------------------------------------------------- */

char proc_state_letter(const struct process *p, const struct thread_info *info)
{
	uint8_t state = atomic_load_explicit(&p->state, memory_order_relaxed);

	if (state == PROCESS_ZOMBIE || state == PROCESS_DEAD)
		return 'Z';
	switch (info->state) {
	case THREAD_READY:
	case THREAD_RUNNING:
		return 'R';
	case THREAD_STOPPED:
		return 'T';
	case THREAD_BLOCKED:
		return info->wait_reason == WAIT_LOCK ? 'D' : 'S';
	case THREAD_ZOMBIE:
	case THREAD_DEAD:
		return 'Z';
	default:
		return 'S';
	}
}

static const char *state_name(char letter)
{
	switch (letter) {
	case 'R':
		return "R (running)";
	case 'T':
		return "T (stopped)";
	case 'D':
		return "D (disk sleep)";
	case 'Z':
		return "Z (zombie)";
	default:
		return "S (sleeping)";
	}
}

struct aspace_stats proc_aspace_stats(struct process *p)
{
	struct aspace_stats stats = {};
	struct aspace *as = process_aspace(p);

	if (as) {
		stats = aspace_stats(as);
		aspace_put(as);
	}
	return stats;
}

/* The subject's thread, or for a zombie without one what is left of it. */
static void thread_of(struct process *p, const struct proc_subject *s, struct thread_info *info)
{
	*info = (struct thread_info){.state = THREAD_ZOMBIE, .tid = s->tid};
	if (!find_thread(p, s->tid, info))
		strlcpy(info->name, p->name, sizeof(info->name));
}

/* tty_nr and tpgid: only the console's terminal exists. */
static int terminal_of(struct process *p)
{
	return p->session && atomic_load(&p->session->tty) ? (int)device_number(5, 1) : 0;
}

/* What kernel and user see of time: the thread's own in task/TID, the process's otherwise. */
static void times_of(struct process *p, const struct proc_subject *s,
		     const struct thread_info *info, nsec_t *user, nsec_t *system)
{
	if (s->fd) {
		*user = info->user_time;
		*system = info->system_time;
	} else {
		process_times(p, user, system);
	}
}

static enum kerr show_stat(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);
	struct thread_info info;
	nsec_t user, system;

	if (!p)
		return KERR_SRCH;
	thread_of(p, s, &info);
	times_of(p, s, &info, &user, &system);
	struct aspace_stats m = proc_aspace_stats(p);
	text_print(t, "%d (%s) %c %d %d %d %d -1 0 0 0 0 0 ", info.tid, info.name,
		   proc_state_letter(p, &info), process_parent_pid(p), p->pgid,
		   p->session ? p->session->sid : 0, terminal_of(p));
	text_print(t, "%lu %lu %ld %ld %d %d %u 0 %lu %lu %lu %lu ", proc_ticks(user),
		   proc_ticks(system), (long)proc_ticks(p->child_user_time),
		   (long)proc_ticks(p->child_system_time),
		   info.realtime ? -1 - info.realtime : 20 + info.nice, info.nice, p->thread_count,
		   proc_ticks(p->start_time), (unsigned long)(m.virtual_pages * PAGE_SIZE),
		   (unsigned long)m.resident_pages, (unsigned long)p->limits[RLIMIT_AS].current);
	text_print(t, "0 0 %lu 0 0 0 0 0 0 0 0 0 17 %u %u %u 0 0 0 0 0 0 %lu %lu %lu %lu %d\n",
		   (unsigned long)p->stack_start, info.cpu, info.realtime, info.policy,
		   (unsigned long)p->arg_start, (unsigned long)p->arg_end,
		   (unsigned long)p->env_start, (unsigned long)p->env_end, p->exit_status);
	process_put(p);
	return KERR_OK;
}

static enum kerr show_schedstat(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);
	struct thread_info info;

	if (!p)
		return KERR_SRCH;
	thread_of(p, s, &info);
	text_print(t, "%lu %lu %lu\n", (unsigned long)info.run_time, (unsigned long)info.wait_time,
		   (unsigned long)(info.voluntary_switches + info.involuntary_switches));
	process_put(p);
	return KERR_OK;
}

static enum kerr show_sched(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);
	struct thread_info i;

	if (!p)
		return KERR_SRCH;
	thread_of(p, s, &i);
	text_print(t, "%s (%d, #threads: %u)\n", i.name, i.tid, p->thread_count);
	text_print(t, "se.sum_exec_runtime : %lu.%06lu\n",
		   (unsigned long)(i.run_time / NSEC_PER_MSEC),
		   (unsigned long)(i.run_time % NSEC_PER_MSEC));
	text_print(t, "wait_sum : %lu.%06lu\n", (unsigned long)(i.wait_time / NSEC_PER_MSEC),
		   (unsigned long)(i.wait_time % NSEC_PER_MSEC));
	text_print(t,
		   "nr_switches : %lu\nnr_voluntary_switches : %lu\nnr_involuntary_switches : "
		   "%lu\npolicy : %u\nprio : %u\nfpu_saves : %u\nfpu_loads : %u\n"
		   "fpu_traps : %u\n",
		   (unsigned long)(i.voluntary_switches + i.involuntary_switches),
		   (unsigned long)i.voluntary_switches, (unsigned long)i.involuntary_switches,
		   i.policy, i.priority, i.fpu_saves, i.fpu_loads, i.fpu_traps);
	text_print(t, "nr_migrations : %lu\n", (unsigned long)i.moves);
	text_print(t, "user_ns : %lu\nsystem_ns : %lu\n", (unsigned long)i.user_time,
		   (unsigned long)i.system_time);
	proc_print_dis(t, s);
	process_put(p);
	return KERR_OK;
}

static void print_ids(struct text *t, struct process *p)
{
	const struct credentials *c = &p->credentials;

	text_print(t, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
	text_print(t, "Gid:\t%u\t%u\t%u\t%u\n", c->gid, c->egid, c->sgid, c->fsgid);
	text_print(t, "FDSize:\t%zu\nGroups:\t", fd_capacity_of(p));
	for (uint32_t i = 0; i < c->group_count; i++)
		text_print(t, "%u ", c->groups[i]);
	text_print(t, "\n");
}

static uint64_t proc_table_pages(struct process *p)
{
	struct aspace *as = process_aspace(p);
	uint64_t bytes = as ? aspace_table_bytes(as) : 0;

	if (as)
		aspace_put(as);
	return bytes >> PAGE_SHIFT;
}

static void print_memory(struct text *t, struct process *p)
{
	struct aspace_stats m = proc_aspace_stats(p);
	unsigned long kib = PAGE_SIZE / 1024;

	if (m.virtual_pages == 0)
		return;
	const struct {
		const char *name;
		uint64_t pages;
	} lines[] = {
		{"VmPeak", m.peak_pages},
		{"VmSize", m.virtual_pages},
		{"VmLck", m.locked_pages},
		{"VmPin", 0},
		{"VmRSS", m.resident_pages},
		{"RssAnon", m.resident_pages - m.shared_pages},
		{"RssFile", 0}, /* all files are tmpfs's */
		{"RssShmem", m.shared_pages},
		{"VmData", m.data_pages},
		{"VmStk", m.stack_pages},
		{"VmExe", m.text_pages},
		{"VmLib", 0},
		{"VmPTE", proc_table_pages(p)},
		{"VmSwap", 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		text_print(t, "%s:\t%8lu kB\n", lines[i].name, (unsigned long)lines[i].pages * kib);
}

/* Linux's words of the sets; the 44 are in /proc/PID/domain. */
static void print_capabilities(struct text *t, struct process *p)
{
	const struct capabilities *c = &p->credentials.capabilities;

	text_print(t, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\n",
		   (unsigned long)c->inheritable.compat, (unsigned long)c->permitted.compat,
		   (unsigned long)c->effective.compat);
	text_print(t, "CapBnd:\t%016lx\nCapAmb:\t%016lx\nNoNewPrivs:\t%u\n",
		   (unsigned long)c->bounding.compat, (unsigned long)c->ambient.compat,
		   p->no_new_privileges);
}

static void print_set(struct text *t, const char *name, const struct capability_set *s)
{
	text_print(t, "%s: %011lx", name, (unsigned long)s->own);
	for (unsigned i = 0; i < TERN_CAP_COUNT; i++)
		if (s->own >> i & 1)
			text_print(t, " %s", capability_name(i));
	text_print(t, "\n");
}

static enum kerr show_domain(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	const struct domain *d = p->domain;
	const struct capabilities *c = &p->credentials.capabilities;
	text_print(t, "domain: %s\nsecurity: %s\nexecution: %s\nisolation: %s\n", d->name,
		   domain_kind_name(d->kind), domain_execution_name(d->execution),
		   domain_isolation_name(d->isolation));
	print_set(t, "effective", &c->effective);
	print_set(t, "permitted", &c->permitted);
	print_set(t, "inheritable", &c->inheritable);
	print_set(t, "bounding", &c->bounding);
	process_put(p);
	return KERR_OK;
}

static enum kerr show_status(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);
	struct thread_info info;
	struct signal_figures f;

	if (!p)
		return KERR_SRCH;
	thread_of(p, s, &info);
	text_print(t,
		   "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%"
		   "d\nTracerPid:\t0\n",
		   info.name, 022u, state_name(proc_state_letter(p, &info)), p->pid, info.tid,
		   process_parent_pid(p));
	print_ids(t, p);
	print_memory(t, p);
	signal_figures(p, &f);
	text_print(t,
		   "Threads:\t%u\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%"
		   "016lx\nSigCgt:\t%016lx\n",
		   p->thread_count, (unsigned long)f.pending, (unsigned long)f.shared_pending,
		   (unsigned long)f.blocked, (unsigned long)f.ignored, (unsigned long)f.caught);
	print_capabilities(t, p);
	proc_print_allowed(t, info.affinity & cpu_online());
	text_print(t, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
		   (unsigned long)info.voluntary_switches,
		   (unsigned long)info.involuntary_switches);
	process_put(p);
	return KERR_OK;
}

static enum kerr show_comm(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);
	struct thread_info info;

	if (!p)
		return KERR_SRCH;
	thread_of(p, s, &info);
	text_print(t, "%s\n", info.name);
	process_put(p);
	return KERR_OK;
}

static enum kerr show_wchan(struct text *t, const struct proc_subject *s)
{
	static const char *const reasons[] = {"io",     "lock",  "signal", "futex", "ipc",
					      "memory", "child", "timer",  "other"};
	struct process *p = process_find(s->pid);
	struct thread_info info;

	if (!p)
		return KERR_SRCH;
	thread_of(p, s, &info);
	bool asleep = info.state == THREAD_BLOCKED || info.state == THREAD_SLEEPING;
	text_print(t, "%s",
		   asleep && info.wait_reason < ARRAY_SIZE(reasons) ? reasons[info.wait_reason]
								    : "0");
	process_put(p);
	return KERR_OK;
}

static enum kerr show_limits(struct text *t, const struct proc_subject *s)
{
	static const struct {
		unsigned limit;
		const char *name, *units;
	} rows[] = {
		{RLIMIT_CPU, "Max cpu time", "seconds"},
		{RLIMIT_FSIZE, "Max file size", "bytes"},
		{RLIMIT_DATA, "Max data size", "bytes"},
		{RLIMIT_STACK, "Max stack size", "bytes"},
		{RLIMIT_CORE, "Max core file size", "bytes"},
		{RLIMIT_NPROC, "Max processes", "processes"},
		{RLIMIT_NOFILE, "Max open files", "files"},
		{RLIMIT_MEMLOCK, "Max locked memory", "bytes"},
		{RLIMIT_AS, "Max address space", "bytes"},
		{RLIMIT_SIGPENDING, "Max pending signals", "signals"},
	};
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	if (process_separated(p, DOMAIN_LOOK)) {
		process_put(p);
		return KERR_ACCESS;
	}
	text_print(t, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t values[2] = {p->limits[rows[i].limit].current,
				      p->limits[rows[i].limit].maximum};
		text_print(t, "%-26s", rows[i].name);
		for (int k = 0; k < 2; k++) {
			char number[24];
			format(number, sizeof(number), "%lu", (unsigned long)values[k]);
			text_print(t, "%-21s", values[k] == RLIM_INFINITY ? "unlimited" : number);
		}
		text_print(t, "%-10s\n", rows[i].units);
	}
	process_put(p);
	return KERR_OK;
}

/* ---- Arguments and environment: in the process's own memory ----------------------------------------- */

static enum kerr show_memory_range(struct text *t, struct process *p, vaddr_t start, vaddr_t end)
{
	struct aspace *as = process_aspace(p);
	char piece[256];

	while (as && start < end) {
		size_t n = aspace_access(as, start, piece, MIN(end - start, sizeof(piece)), false);
		if (n == 0)
			break;
		text_add(t, piece, n);
		start += n;
	}
	if (as)
		aspace_put(as);
	return KERR_OK;
}

static enum kerr show_cmdline(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	enum kerr err = show_memory_range(t, p, p->arg_start, p->arg_end);
	process_put(p);
	return err;
}

static enum kerr show_environ(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	enum kerr err = process_may_look(p) ? show_memory_range(t, p, p->env_start, p->env_end)
					    : KERR_ACCESS;
	process_put(p);
	return err;
}

/* ---- Links: exe, cwd, root, fd ----------------------------------------------------------------------- */

/* The referenced path behind a link. */
static enum kerr follow_exe(const struct proc_subject *s, struct path *out)
{
	struct process *p = process_find(s->pid);
	enum kerr err = KERR_NOENT;

	if (!p)
		return KERR_SRCH;
	if (!process_may_look(p)) {
		process_put(p);
		return KERR_ACCESS;
	}
	/* execve may replace it right now; files are freed after a grace period. */
	rcu_read_lock();
	struct file *f = READ_ONCE(p->executable);
	if (f && !reference_get_not_zero(&f->references))
		f = nullptr;
	rcu_read_unlock();
	process_put(p);
	if (f) {
		*out = f->path;
		path_get(out);
		file_put(f);
		err = KERR_OK;
	}
	return err;
}

static enum kerr follow_context(const struct proc_subject *s, struct path *out, bool want_root)
{
	struct process *p = process_find(s->pid);
	struct path root, directory;
	uint32_t umask;

	if (!p)
		return KERR_SRCH;
	enum kerr err =
		process_may_look(p) ? context_of(p, &root, &directory, &umask) : KERR_ACCESS;
	process_put(p);
	if (err != KERR_OK)
		return err;
	*out = want_root ? root : directory;
	path_put(want_root ? &directory : &root);
	return KERR_OK;
}

static enum kerr follow_cwd(const struct proc_subject *s, struct path *out)
{
	return follow_context(s, out, false);
}

static enum kerr follow_root(const struct proc_subject *s, struct path *out)
{
	return follow_context(s, out, true);
}

/* The file behind /proc/PID/fd/N, referenced. */
static enum kerr file_of(const struct proc_subject *s, struct file **out)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	enum kerr err = KERR_NOENT;
	if (!process_may_look(p))
		err = KERR_ACCESS;
	else if (fd_next_of(p, s->fd - 1, out) == s->fd - 1)
		err = KERR_OK;
	else if (*out)
		file_put(*out);
	process_put(p);
	return err;
}

static enum kerr follow_fd(const struct proc_subject *s, struct path *out)
{
	struct file *f = nullptr;
	enum kerr err = file_of(s, &f);

	if (err != KERR_OK)
		return err;
	if (f->path.dentry) {
		*out = f->path;
		path_get(out);
	} else {
		err = KERR_NXIO; /* a pipe or socket cannot be opened by name */
	}
	file_put(f);
	return err;
}

static enum kerr name_of(const struct path *p, char *buf, size_t size, size_t *length)
{
	const char *start;
	bool deleted;
	enum kerr err = vfs_path_name(p, buf, size, &start, &deleted);

	if (err != KERR_OK)
		return err;
	*length = strlen(start);
	memmove(buf, start, *length + 1);
	if (deleted && *length + 11 <= size)
		*length += (size_t)format(buf + *length, size - *length, " (deleted)");
	return KERR_OK;
}

static enum kerr link_by(enum kerr (*find)(const struct proc_subject *s, struct path *out),
			 const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	struct path p;
	enum kerr err = find(s, &p);

	if (err != KERR_OK)
		return err;
	err = name_of(&p, buf, size, length);
	path_put(&p);
	return err;
}

static enum kerr link_exe(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	return link_by(follow_exe, s, buf, size, length);
}

static enum kerr link_cwd(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	return link_by(follow_cwd, s, buf, size, length);
}

static enum kerr link_root(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	return link_by(follow_root, s, buf, size, length);
}

static enum kerr link_fd(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	struct file *f = nullptr;
	const char *start;
	enum kerr err = file_of(s, &f);

	if (err != KERR_OK)
		return err;
	err = file_name(f, buf, size, &start);
	if (err == KERR_OK) {
		*length = strlen(start);
		memmove(buf, start, *length + 1);
	}
	file_put(f);
	return err;
}

static bool fd_find(const char *name, const struct proc_subject *s, struct proc_subject *out)
{
	int fd;

	if (!parse_number(name, &fd))
		return false;
	struct process *p = process_find(s->pid);
	bool found = p && fd_next_of(p, fd, nullptr) == fd;
	if (p)
		process_put(p);
	*out = (struct proc_subject){.pid = s->pid, .tid = s->tid, .fd = fd + 1};
	return found;
}

static bool fd_next(const struct proc_subject *s, int *after, char name[16])
{
	struct process *p = process_find(s->pid);
	int fd = p ? fd_next_of(p, *after + 1, nullptr) : -1;

	if (p)
		process_put(p);
	if (fd < 0)
		return false;
	*after = fd;
	format(name, 16, "%d", fd);
	return true;
}

/* ---- Out of memory --------------------------------------------------------------------------- */

static enum kerr show_oom_score(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	text_print(t, "%u\n", oom_score(p));
	process_put(p);
	return KERR_OK;
}

static enum kerr show_oom_adjust(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	text_print(t, "%d\n", p->oom_adjust);
	process_put(p);
	return KERR_OK;
}

/* The older scale: -17 (never) to 15. */
static enum kerr show_oom_adj(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	int adjust = p->oom_adjust;
	text_print(t, "%d\n", adjust == OOM_ADJUST_MAX ? 15 : adjust * 17 / OOM_ADJUST_MAX);
	process_put(p);
	return KERR_OK;
}

static enum kerr parse_integer(const char *text, size_t length, int *out)
{
	char line[16];
	const char *end;

	if (!text_line(text, length, line, sizeof(line)))
		return KERR_INVAL;
	bool negative = line[0] == '-';
	uint64_t value = str_to_u64(line + negative, &end, 10);
	if (*end || end == line + negative || value > INT16_MAX)
		return KERR_INVAL;
	*out = negative ? -(int)value : (int)value;
	return KERR_OK;
}

static enum kerr adjust_process(const struct proc_subject *s, int adjust)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	enum kerr err = oom_adjust(p, adjust);
	process_put(p);
	return err;
}

static enum kerr write_oom_adjust(const char *text, size_t length, const struct proc_subject *s)
{
	int value;
	enum kerr err = parse_integer(text, length, &value);

	return err == KERR_OK ? adjust_process(s, value) : err;
}

static enum kerr write_oom_adj(const char *text, size_t length, const struct proc_subject *s)
{
	int value;
	enum kerr err = parse_integer(text, length, &value);

	if (err != KERR_OK)
		return err;
	if (value < -17 || value > 15)
		return KERR_INVAL;
	return adjust_process(s, value == 15 ? OOM_ADJUST_MAX : value * OOM_ADJUST_MAX / 17);
}

/* ---- The tables ---------------------------------------------------------------------------------- */

#define FILE_MODE (S_IFREG | 0444)
#define SETTING_MODE (S_IFREG | 0644)
#define LINK_MODE (S_IFLNK | 0777)

static const struct proc_entry each_fd = {
	.name = "N",
	.mode = S_IFLNK | 0700,
	.link = link_fd,
	.follow = follow_fd,
};

#define THREAD_ENTRIES                                                                             \
	{.name = "cmdline", .mode = FILE_MODE, .show = show_cmdline},                              \
		{.name = "comm", .mode = FILE_MODE, .show = show_comm},                            \
		{.name = "cwd", .mode = LINK_MODE, .link = link_cwd, .follow = follow_cwd},        \
		{.name = "domain", .mode = FILE_MODE, .show = show_domain},                        \
		{.name = "environ", .mode = S_IFREG | 0400, .show = show_environ},                 \
		{.name = "exe", .mode = LINK_MODE, .link = link_exe, .follow = follow_exe},        \
		{.name = "fd",                                                                     \
		 .mode = S_IFDIR | 0500,                                                           \
		 .find = fd_find,                                                                  \
		 .next = fd_next,                                                                  \
		 .each = &each_fd},                                                                \
		{.name = "intent",                                                                 \
		 .mode = S_IFREG | 0666,                                                           \
		 .show = proc_show_intent,                                                         \
		 .write = proc_write_intent},                                                      \
		{.name = "limits", .mode = FILE_MODE, .show = show_limits},                        \
		{.name = "maps", .mode = FILE_MODE, .show = proc_show_maps},                       \
		{.name = "mounts", .mode = FILE_MODE, .show = proc_show_mounts},                   \
		{.name = "net", .mode = S_IFDIR | 0555, .children = proc_net},                     \
		{.name = "numa_maps", .mode = FILE_MODE, .show = proc_show_numa_maps},             \
		{.name = "oom_adj",                                                                \
		 .mode = SETTING_MODE,                                                             \
		 .show = show_oom_adj,                                                             \
		 .write = write_oom_adj},                                                          \
		{.name = "oom_score", .mode = FILE_MODE, .show = show_oom_score},                  \
		{.name = "oom_score_adj",                                                          \
		 .mode = SETTING_MODE,                                                             \
		 .show = show_oom_adjust,                                                          \
		 .write = write_oom_adjust},                                                       \
		{.name = "root", .mode = LINK_MODE, .link = link_root, .follow = follow_root},     \
		{.name = "sched", .mode = FILE_MODE, .show = show_sched},                          \
		{.name = "schedstat", .mode = FILE_MODE, .show = show_schedstat},                  \
		{.name = "smaps", .mode = FILE_MODE, .show = proc_show_smaps},                     \
		{.name = "smaps_rollup", .mode = FILE_MODE, .show = proc_show_smaps_rollup},       \
		{.name = "stat", .mode = FILE_MODE, .show = show_stat},                            \
		{.name = "statm", .mode = FILE_MODE, .show = proc_show_statm},                     \
		{.name = "status", .mode = FILE_MODE, .show = show_status},                        \
	{                                                                                          \
		.name = "wchan", .mode = FILE_MODE, .show = show_wchan                             \
	}

static const struct proc_entry thread_entries[] = {THREAD_ENTRIES, {}};

static const struct proc_entry each_thread = {
	.name = "TID",
	.mode = S_IFDIR | 0555,
	.children = thread_entries,
};

const struct proc_entry proc_process[] = {
	THREAD_ENTRIES,
	{.name = "task",
	 .mode = S_IFDIR | 0555,
	 .find = thread_find_name,
	 .next = thread_next_name,
	 .each = &each_thread},
	{},
};
