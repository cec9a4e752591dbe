/*
 * Everything at once for a while: soak SECONDS. Workers make processes and threads, execute programs, send signals,
 * write files, memory and a RAM disk, and look at every byte; meanwhile the parts of the kernel are exchanged, its
 * block driver breaks and is healed, and modules come and go. Afterwards everything is put back, and no frame,
 * thread, promise, module or lock is missing.
 */
#define _GNU_SOURCE
#include "module.h"
#include "numbers.h"
#include "tap.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tern/tern.h>

#define WORKERS 4u
#define AREA (256u << 10)
#define PIECE (64u << 10) /* of the RAM disk, each worker's */

static const struct part {
	const char *slot, *providers[4]; /* the first is how it is left; ends with null */
} parts[] = {
	{"scheduler", {"prio", "fifo", "mlfq", "dis"}},
	{"frames", {"buddy", "bitmap", "hybrid"}},
	{"heap", {"slab", "list"}},
	{"tmpfs", {"tree", "list"}},
	{"block", {"direct", "queued"}},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static struct shared {
	_Atomic bool stop;
	_Atomic uint64_t rounds[WORKERS], failed[WORKERS];
	_Atomic int line[WORKERS]; /* of a failure */
} *shared;

static unsigned me; /* a worker's number */

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			shared->failed[me]++;                                                      \
			shared->line[me] = __LINE__;                                               \
		}                                                                                  \
	} while (0)

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

/* ---- Workers ---- */

static void memory(uint64_t seed)
{
	uint64_t *area =
		mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED);
	if (area == MAP_FAILED)
		return;
	for (size_t i = 0; i < AREA / 8; i += 64)
		area[i] = seed + i;
	/* The child sees the same, and what it writes stays its own. */
	pid_t pid = fork();
	if (pid == 0) {
		bool same = true;
		for (size_t i = 0; i < AREA / 8; i += 64) {
			same &= area[i] == seed + i;
			area[i] = 0;
		}
		_exit(!same);
	}
	must(pid > 0 && status_of(pid) == 0);
	for (size_t i = 0; i < AREA / 8; i += 64)
		must(area[i] == seed + i && area[i + 1] == 0);
	munmap(area, AREA);
}

static void program(uint64_t seed)
{
	char number[24];
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(number, sizeof(number), "%lu", (unsigned long)(seed % 100));
		execl("/proc/self/exe", "soak", "leaf", number, NULL);
		_exit(255);
	}
	must(pid > 0 && status_of(pid) == (int)(seed % 100));
}

static _Atomic int signals_seen;

static void on_signal(int signo)
{
	signals_seen++;
}

static void signals(void)
{
	int before = signals_seen;
	sigset_t usr, old;

	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr, &old);
	pid_t pid = fork();
	if (pid == 0) {
		kill(getppid(), SIGUSR1);
		sigprocmask(SIG_SETMASK, &old, NULL);
		for (;;)
			pause(); /* until the parent ends it */
	}
	while (pid > 0 && signals_seen == before)
		sigsuspend(&old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	must(pid > 0 && kill(pid, SIGTERM) == 0 && status_of(pid) == 128 + SIGTERM);
}

static void *count_up(void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&lock);
		++*(int *)arg;
		pthread_mutex_unlock(&lock);
		if (i % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void threads(void)
{
	pthread_t ids[3];
	int sum = 0;

	for (int i = 0; i < 3; i++)
		must(pthread_create(&ids[i], NULL, count_up, &sum) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	must(sum == 150);
}

static void files(uint64_t seed)
{
	char name[48], to[48];
	uint64_t got[512], put[512];

	for (size_t i = 0; i < 512; i++)
		put[i] = seed * 31 + i;
	snprintf(name, sizeof(name), "/tmp/soak.%u/a%lu", me, (unsigned long)(seed % 16));
	snprintf(to, sizeof(to), "/tmp/soak.%u/b%lu", me, (unsigned long)(seed % 16));
	int fd = open(name, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, put, sizeof(put)) == sizeof(put));
	must(rename(name, to) == 0);
	must(pread(fd, got, sizeof(got), 0) == sizeof(got) && memcmp(got, put, sizeof(put)) == 0);
	close(fd);
	must(access(name, F_OK) == -1 && unlink(to) == 0);
}

static void disk(uint64_t seed)
{
	static uint8_t put[4096], got[sizeof(put)];
	off_t at = (off_t)(me * PIECE + seed % (PIECE - sizeof(put)));
	int fd = open("/dev/ram0", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(put); i++)
		put[i] = (uint8_t)(seed + i * 7);
	must(fd >= 0 && pwrite(fd, put, sizeof(put), at) == sizeof(put));
	must(pread(fd, got, sizeof(got), at) == sizeof(got) && memcmp(got, put, sizeof(put)) == 0);
	close(fd);
}

static void worker(unsigned number)
{
	const struct sigaction act = {.sa_handler = on_signal};
	uint64_t random = 88172645463325252u + number * 7919;
	char folder[32];

	me = number;
	sigaction(SIGUSR1, &act, NULL);
	snprintf(folder, sizeof(folder), "/tmp/soak.%u", number);
	must(mkdir(folder, 0700) == 0);
	while (!shared->stop && !shared->failed[me]) {
		uint64_t seed = next(&random);
		switch (seed >> 32 & 7) {
		case 0:
			memory(seed);
			break;
		case 1:
			program(seed);
			break;
		case 2:
			signals();
			break;
		case 3:
			threads();
			break;
		case 4:
		case 5:
			files(seed);
			break;
		default:
			disk(seed);
		}
		shared->rounds[me]++;
	}
	must(rmdir(folder) == 0);
}

/* ---- What is done to the kernel meanwhile ---- */

static unsigned swaps, heals, loads, refused;

static int exchange(const char *slot, const char *provider)
{
	struct tern_hot_reload r = {.size = sizeof(r)};

	strcpy(r.slot, slot);
	strcpy(r.provider, provider);
	return syscall(TERN_NR_HOT_RELOAD, &r) == 0 ? 0 : errno;
}

static long heal(uint32_t op, const char *what)
{
	struct tern_self_heal h = {.size = sizeof(h), .op = op, .times = 1, .name = "ram0"};

	strcpy(h.what, what);
	return syscall(TERN_NR_SELF_HEAL, &h);
}

/* "queued" is the driver that can break; the healer may have put the other one in its place. */
static void break_driver(uint64_t seed)
{
	static const char *const ways[] = {"crash", "lost", "nomem", "wild", "wrong", "bug"};

	if (exchange("block", "queued") == 0 && heal(TERN_HEAL_INJECT, ways[seed % 6]) == 0)
		heals++;
	else
		refused++;
	sleep_ms(100);
	heal(TERN_HEAL_RESET, "");
}

static void disturb(uint64_t seed)
{
	const struct part *p = &parts[seed / 16 % PARTS];
	unsigned n = 0;

	switch (seed % 8) {
	case 0:
		break_driver(seed >> 32);
		return;
	case 1:
		must(module_load("hello", "") == 0 &&
		     syscall(SYS_delete_module, "hello", O_NONBLOCK) == 0);
		loads++;
		return;
	default:
		while (n < 4 && p->providers[n])
			n++;
		if (exchange(p->slot, p->providers[(seed >> 32) % n]) == 0)
			swaps++;
		else
			refused++;
	}
}

/* ---- Audits ---- */

#define STACKS_KEPT (4 * 8 * 16) /* KiB of kernel stacks that four CPUs keep for the next threads */

struct audit {
	long free, anonymous, cached, promised, stacks, threads, modules, alarms;
};

static long lines_in(const char *path)
{
	long n = 0;
	FILE *f = fopen(path, "r");

	for (int c; f && (c = getc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static struct audit take(void)
{
	return (struct audit){
		.free = number_in("/proc/meminfo", "MemFree:"),
		.anonymous = number_in("/proc/meminfo", "AnonPages:"),
		.cached = number_in("/proc/meminfo", "Cached:"),
		.promised = number_in("/proc/meminfo", "Committed_AS:"),
		.stacks = number_in("/proc/meminfo", "KernelStack:"),
		.threads = threads_there(),
		.modules = lines_in("/proc/modules"),
		.alarms = number_in("/proc/tern/watchdog", "soft_lockups") +
			  number_in("/proc/tern/watchdog", "hard_lockups") +
			  number_in("/proc/tern/watchdog", "hung_tasks"),
	};
}

/* Page tables and slabs keep some frames for the next process; stacks that are kept are counted for themselves. */
static bool frames_there(const struct audit *a, const struct audit *b)
{
	return labs(a->free + a->stacks - b->free - b->stacks) <= 1024;
}

static bool good(const struct audit *a, const struct audit *b)
{
	return frames_there(a, b) && labs(a->anonymous - b->anonymous) <= 64 &&
	       a->cached == b->cached && a->promised == b->promised &&
	       b->stacks - a->stacks <= STACKS_KEPT && a->threads == b->threads &&
	       a->modules == b->modules && a->alarms == b->alarms;
}

/* What ended is freed after grace periods: until it is right, or ten seconds. */
static void audits(const struct audit *before)
{
	struct audit after = take();

	for (int i = 0; i < 100 && !good(before, &after); i++) {
		sleep_ms(100);
		after = take();
	}
	check(frames_there(before, &after) && labs(before->anonymous - after.anonymous) <= 64 &&
		      before->cached == after.cached,
	      "no frame is lost");
	check(before->promised == after.promised, "no promise is lost");
	check(after.stacks - before->stacks <= STACKS_KEPT && before->threads == after.threads,
	      "no thread is lost");
	check(before->modules == after.modules, "no module is left");
	check(before->alarms == after.alarms, "no lock was held for ever");
	if (!good(before, &after))
		printf("# free %ld %ld, anonymous %ld %ld, cached %ld %ld, promised %ld %ld, "
		       "stacks %ld %ld, "
		       "threads %ld %ld\n",
		       before->free, after.free, before->anonymous, after.anonymous, before->cached,
		       after.cached, before->promised, after.promised, before->stacks, after.stacks,
		       before->threads, after.threads);
}

static void run(long seconds)
{
	pid_t pids[WORKERS];
	uint64_t random = 0x9e3779b97f4a7c15u, rounds = 0;
	bool ended = true, back = true;

	fflush(stdout);
	for (unsigned i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			worker(i);
			_exit(0);
		}
	}
	me = 0;
	for (uint64_t end = now_ns() + (uint64_t)seconds * 1000000000u; now_ns() < end;) {
		disturb(next(&random));
		sleep_ms(20);
	}
	shared->stop = true;
	for (unsigned i = 0; i < WORKERS; i++) {
		ended &= status_of(pids[i]) == 0;
		if (shared->failed[i])
			printf("# worker %u: line %d\n", i, shared->line[i]);
		ended &= !shared->failed[i] && shared->rounds[i] > 0;
		rounds += shared->rounds[i];
	}
	check(ended, "nobody noticed anything");
	for (size_t i = 0; i < PARTS; i++)
		back &= exchange(parts[i].slot, parts[i].providers[0]) == 0;
	check(back, "all parts are back");
	if (seconds > 1) /* in the first round there may be no time for each */
		check(swaps > 0 && heals > 0 && loads > 0,
		      "parts were exchanged, broken and loaded");
	printf("# %lu rounds of work; %u exchanges, %u broken drivers, %u modules; %u refused\n",
	       (unsigned long)rounds, swaps, heals, loads, refused);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "leaf") == 0)
		return atoi(argv[2]);
	long seconds = argc > 1 ? atol(argv[1]) : 60;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	/* Once round for what is made at its first use. */
	check(module_load("ramqueue", "") == 0, "the driver that breaks");
	run(1);
	check(syscall(SYS_delete_module, "ramqueue", O_NONBLOCK) == 0, "its module goes");
	memset(shared, 0, sizeof(*shared));
	sleep_ms(500);
	const struct audit before = take();
	check(module_load("ramqueue", "") == 0, "and comes again");
	run(seconds);
	check(syscall(SYS_delete_module, "ramqueue", O_NONBLOCK) == 0, "and goes");
	audits(&before);
	return tap_end();
}
