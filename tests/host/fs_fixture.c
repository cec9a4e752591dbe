/* See fs_fixture.h. */
#include "fs_fixture.h"

#include <core/init.h>
#include <core/rcu.h>
#include <exec/domain.h>
#include <exec/exec.h>
#include <exec/intent.h>
#include <exec/oom.h>
#include <exec/sched.h>
#include <exec/signal.h>
#include <exec/watchdog.h>
#include <fs/device.h>
#include <mm/heap.h>

struct process fixture_process = {
	.pid = 1,
	.references = 1,
	.lock = SPINLOCK_INIT(RANK_SIGNAL, "process"),
	.domain = DOMAIN_OF(SYSTEM),
	.credentials.capabilities = CAPABILITIES_ROOT,
	.limits[RLIMIT_NOFILE] = {1024, 4096},
	.limits[RLIMIT_FSIZE] = {RLIM_INFINITY, RLIM_INFINITY},
};
static struct thread threads[CPU_MAX];
static const struct resource_ops *resources[RESOURCE_COUNT];
int fixture_signal; /* the last one sent */

/* ---- What fs asks of exec ---------------------------------------------------------------------- */

void process_resource_register(enum process_resource slot, const struct resource_ops *ops)
{
	resources[slot] = ops;
}

uint64_t process_limit(unsigned limit)
{
	return fixture_process.limits[limit].current;
}

bool process_denied(enum tern_capability c)
{
	return false;
}

bool process_kept_apart(const char *what)
{
	return true;
}

bool process_separated_slow(struct process *p, enum domain_access what)
{
	return false;
}

bool process_may_look(struct process *p)
{
	return true;
}

void process_signal(struct process *p, int signo)
{
	fixture_signal = signo;
}

bool signal_pending(void)
{
	return false;
}

void signal_force(int signo, int code, vaddr_t addr)
{
	fixture_signal = signo;
}

bool signal_blocked_or_ignored(int signo)
{
	return false;
}

struct process *process_find(int pid)
{
	return pid == fixture_process.pid ? &fixture_process : nullptr;
}

struct process *process_next(int after)
{
	return after < fixture_process.pid ? &fixture_process : nullptr;
}

void process_put(struct process *p)
{
}

unsigned oom_score(struct process *p)
{
	return 0;
}

enum kerr oom_adjust(struct process *p, int adjust)
{
	return KERR_INVAL;
}

struct aspace *process_aspace(struct process *p)
{
	return nullptr;
}

int process_parent_pid(struct process *p)
{
	return 0;
}

bool process_thread_next(struct process *p, int after, struct thread_info *out)
{
	if (after >= 1)
		return false;
	*out = (struct thread_info){.tid = 1, .name = "test"};
	return true;
}

void process_times(struct process *p, nsec_t *user, nsec_t *system)
{
	*user = *system = 0;
}

void signal_figures(struct process *p, struct signal_figures *out)
{
	*out = (struct signal_figures){};
}

_Atomic unsigned exec_randomize;

void exec_figures(struct exec_figures *out)
{
	*out = (struct exec_figures){};
}

void exec_cpu_times(cpu_t cpu, struct cpu_times *out)
{
	*out = (struct cpu_times){};
}

void watchdog_settings(struct watchdog_settings *out)
{
	*out = (struct watchdog_settings){};
}

enum kerr watchdog_configure(const struct watchdog_settings *w)
{
	return KERR_OK;
}

void watchdog_figures(struct watchdog_figures *out)
{
	*out = (struct watchdog_figures){};
}

const char *sched_name(void)
{
	return "none";
}

bool dis_strategy_on(unsigned s)
{
	return false;
}

void dis_strategy_set(unsigned s, bool on)
{
}

enum kerr dis_trace_start(uint32_t samples)
{
	return KERR_OK;
}

bool dis_trace_get(uint32_t index, struct dis_sample *out)
{
	return false;
}

enum kerr dis_stats(uint32_t cpu, struct dis_stats *out)
{
	return KERR_NODEV;
}

enum kerr intent_look(int tid, struct dis_task *out)
{
	return KERR_SRCH;
}

enum kerr intent_set(int tid, const struct intent *i)
{
	return KERR_SRCH;
}

void sched_stats(cpu_t cpu, struct sched_stats *out)
{
	*out = (struct sched_stats){};
}

const struct scheduler_ops *sched_policy_get(size_t index)
{
	return nullptr;
}

const struct scheduler_ops *sched_policy_find(const char *name)
{
	return nullptr;
}

enum kerr sched_policy_change(const struct scheduler_ops *ops)
{
	return KERR_NOENT;
}

void sched_change_figures(struct sched_change_stats *out)
{
	*out = (struct sched_change_stats){};
}

bool missing_call_get(size_t index, struct missing_call *out)
{
	return false;
}

/* The record that ipc and fs start after. */
static enum kerr scheduler_init(const struct boot_info *info)
{
	return KERR_OK;
}

static const struct init_ops scheduler_ops = {.init = scheduler_init};
INIT_SUBSYSTEM(scheduler, .phase = INIT_CORE, .provides = INIT_SCHEDULER, .ops = &scheduler_ops);

/* ---- Boot --------------------------------------------------------------------------------------- */

void fixture_enter(cpu_t cpu)
{
	struct thread *t = &threads[cpu];
	bool on = hal.cpu.irq_save();

	if (current_task() != &t->task) {
		t->task = *current_task();
		t->tid = 1 + (int)cpu;
		t->process = &fixture_process;
		list_init(&t->process_link);
		hal.cpu.set_current(&t->task.hal);
	}
	hal.cpu.irq_restore(on);
}

extern const struct init_record *const __init_records_start[], *const __init_records_end[];

struct boot_info *fixture_boot(const struct host_config *config)
{
	static struct boot_info *info;

	if (info) /* a property's next run */
		return info;
	info = test_kernel(config);
	list_init(&fixture_process.threads);
	fixture_enter(0);
	for (const struct init_record *const *r = __init_records_start; r < __init_records_end; r++)
		if ((*r)->phase == INIT_LATE && (*r)->ops->init &&
		    !EXPECT_OK((*r)->ops->init(info)))
			return nullptr;
	return info;
}

void fixture_set_user(uint32_t uid, uint32_t gid)
{
	struct credentials *c = &fixture_process.credentials;

	const struct user_ids_change old = {c->uid, c->euid, c->suid}, now = {uid, uid, uid};

	c->uid = c->euid = c->suid = c->fsuid = uid;
	c->gid = c->egid = c->sgid = c->fsgid = gid;
	if (uid == 0)
		c->capabilities = (struct capabilities)CAPABILITIES_ROOT;
	else
		capabilities_ids_changed(&c->capabilities, &old, &now);
}

void fx_settle(void)
{
	rcu_synchronize();
}

/* ---- Helpers ------------------------------------------------------------------------------------ */

enum kerr fx_mkdir(const char *name)
{
	return vfs_make_directory(nullptr, name, 0777);
}

enum kerr fx_write(const char *name, const char *text)
{
	struct io_buffer b = {(vaddr_t)text, strlen(text), false};
	struct file *f;
	size_t done;
	enum kerr err = vfs_open(nullptr, name, O_WRONLY | O_CREAT | O_TRUNC, 0666, &f);

	if (err != KERR_OK)
		return err;
	err = file_write(f, &b, &done);
	if (err == KERR_OK)
		EXPECT_EQ(done, b.size);
	file_put(f);
	return err;
}

enum kerr fx_write_at(const char *name, uint64_t offset, const void *data, size_t size)
{
	struct io_buffer b = {(vaddr_t)data, size, false};
	struct file *f;
	size_t done;
	enum kerr err = vfs_open(nullptr, name, O_WRONLY, 0, &f);

	if (err != KERR_OK)
		return err;
	err = file_write_at(f, &b, offset, &done);
	if (err == KERR_OK)
		EXPECT_EQ(done, size);
	file_put(f);
	return err;
}

enum kerr fx_read_at(const char *name, uint64_t offset, void *buf, size_t size, size_t *done)
{
	struct io_buffer b = {(vaddr_t)buf, size, false};
	struct file *f;
	enum kerr err = vfs_open(nullptr, name, O_RDONLY, 0, &f);

	if (err != KERR_OK)
		return err;
	err = file_read_at(f, &b, offset, done);
	file_put(f);
	return err;
}

enum kerr fx_read(const char *name, char *buf, size_t size)
{
	size_t done = 0;
	enum kerr err = fx_read_at(name, 0, buf, size - 1, &done);

	buf[err == KERR_OK ? done : 0] = 0;
	return err;
}

enum kerr fx_stat(const char *name, struct inode_attributes *out)
{
	return vfs_stat_name(nullptr, name, LOOKUP_FOLLOW, out);
}

enum kerr fx_lstat(const char *name, struct inode_attributes *out)
{
	return vfs_stat_name(nullptr, name, 0, out);
}

enum kerr fx_unlink(const char *name)
{
	return vfs_unlink(nullptr, name, false);
}

enum kerr fx_rmdir(const char *name)
{
	return vfs_unlink(nullptr, name, true);
}

enum kerr fx_rename(const char *from, const char *to, unsigned flags)
{
	return vfs_rename(nullptr, from, nullptr, to, flags);
}

enum kerr fx_link(const char *old, const char *name)
{
	struct path p;
	enum kerr err = vfs_lookup(nullptr, old, 0, &p);

	if (err != KERR_OK)
		return err;
	err = vfs_link(&p, nullptr, name);
	path_put(&p);
	return err;
}

enum kerr fx_symlink(const char *target, const char *name)
{
	return vfs_symlink(target, nullptr, name);
}

static enum kerr with_path(const char *name, enum kerr (*fn)(const struct path *p))
{
	struct path p;
	enum kerr err = vfs_lookup(nullptr, name, LOOKUP_FOLLOW, &p);

	if (err != KERR_OK)
		return err;
	err = fn(&p);
	path_put(&p);
	return err;
}

enum kerr fx_chdir(const char *name)
{
	return with_path(name, vfs_change_directory);
}

enum kerr fx_chroot(const char *name)
{
	return with_path(name, vfs_change_root);
}

static enum kerr set_attribute(const char *name, const struct inode_attributes *a, unsigned which)
{
	struct path p;
	enum kerr err = vfs_lookup(nullptr, name, LOOKUP_FOLLOW, &p);

	if (err != KERR_OK)
		return err;
	err = vfs_set_attributes(&p, a, which);
	path_put(&p);
	return err;
}

enum kerr fx_chmod(const char *name, uint32_t mode)
{
	return set_attribute(name, &(struct inode_attributes){.mode = mode}, ATTR_MODE);
}

enum kerr fx_truncate(const char *name, uint64_t size)
{
	return set_attribute(name, &(struct inode_attributes){.size = size}, ATTR_SIZE);
}

enum kerr fx_mount(const char *type, const char *where, const char *options)
{
	struct path p;
	enum kerr err = vfs_lookup(nullptr, where, LOOKUP_FOLLOW, &p);

	if (err != KERR_OK)
		return err;
	err = vfs_mount("none", &p, type, 0, options);
	path_put(&p);
	return err;
}

enum kerr fx_unmount(const char *where)
{
	struct path p;
	enum kerr err = vfs_lookup(nullptr, where, LOOKUP_FOLLOW, &p);

	if (err != KERR_OK)
		return err;
	err = vfs_unmount(&p, 0);
	path_put(&p);
	return err;
}

enum kerr fx_list(const char *name, char *buf, size_t size)
{
	struct directory_entry e;
	struct file *f;
	size_t at = 0;
	enum kerr err = vfs_open(nullptr, name, O_RDONLY | O_DIRECTORY, 0, &f);

	buf[0] = 0;
	if (err != KERR_OK)
		return err;
	while ((err = file_read_directory(f, &e)) == KERR_OK) {
		if (strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
			continue;
		if (at)
			at += strlcpy(buf + at, " ", size - at);
		at += strlcpy(buf + at, e.name, size - at);
	}
	file_put(f);
	return err == KERR_NOENT ? KERR_OK : err;
}

/* ---- Signals, for signalfd ---- */

bool signal_take(uint64_t set, struct signal_info *out)
{
	return false;
}

uint64_t signal_pending_all(void)
{
	return 0;
}

struct signal_watch *signal_watch_current(void)
{
	static struct signal_watch watch;

	if (!watch.references) {
		watch.references = 1;
		waitq_init(&watch.queue);
	}
	return &watch;
}

void signal_watch_get(struct signal_watch *w)
{
	w->references++;
}

void signal_watch_put(struct signal_watch *w)
{
	w->references--;
}

enum kerr fx_put(struct file *f, const void *data, size_t size, size_t *done)
{
	return file_write(f, &(struct io_buffer){(vaddr_t)data, size, false}, done);
}

enum kerr fx_get(struct file *f, void *data, size_t size, size_t *done)
{
	return file_read(f, &(struct io_buffer){(vaddr_t)data, size, false}, done);
}

uint8_t fx_pattern(uint64_t position)
{
	return (uint8_t)(position * 31 >> 3);
}

void fx_stream(cpu_t cpu, struct file *w, struct file *r, uint64_t total)
{
	uint8_t *bytes = heap_alloc(8192);
	uint64_t position = 0;
	struct test_random random = {test_seed() + cpu};
	size_t done;

	fixture_enter(cpu);
	while (position < total) {
		size_t n = MIN(1 + test_random_below(&random, 8192), total - position);
		if (cpu == 0) {
			for (size_t i = 0; i < n; i++)
				bytes[i] = fx_pattern(position + i);
			EXPECT_OK(fx_put(w, bytes, n, &done));
			EXPECT_EQ(done, n);
		} else {
			EXPECT_OK(fx_get(r, bytes, n, &done));
			for (size_t i = 0; i < done; i++)
				if (bytes[i] != fx_pattern(position + i)) {
					EXPECT_EQ(bytes[i], fx_pattern(position + i));
					break;
				}
		}
		position += done;
	}
	heap_free(bytes);
}
