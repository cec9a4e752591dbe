/* Hot swap of the kernel's own slots: each to another implementation and back, a hundred times, while a worker per
 * CPU makes processes, fills memory and writes files; every byte is looked at afterwards. Then each step fails. */
#define _GNU_SOURCE
#include "cpus.h"
#include "module.h"
#include "numbers.h"
#include "tap.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tern/tern.h>

#define SWAPS 100
#define WORKERS_MAX 4
#define AREA (512u << 10)
#define RECORD 1000u

/* home: what the kernel started with. */
static struct pair {
	const char *slot, *kind, *other, *instead; /* instead: where `other` is home */
	char home[32];
} pairs[] = {
	{"scheduler", "scheduler", "fifo", "prio", ""}, {"frames", "frames", "bitmap", "buddy", ""},
	{"frames", "frames", "hybrid", "buddy", ""},    {"heap", "heap", "list", "slab", ""},
	{"tmpfs", "filesystem", "list", "tree", ""},
};

struct worker {
	_Atomic uint64_t rounds, records, failed;
	_Atomic int line; /* of the last failure */
};

static struct shared {
	_Atomic bool stop;
	struct worker workers[WORKERS_MAX];
} *shared;

static unsigned workers;

static uint64_t pause_last; /* ns, of the last swap that was done */

static long swap_step(const char *slot, const char *provider, uint32_t fail)
{
	struct tern_hot_reload r = {.size = sizeof(r), .fail = fail};

	strncpy(r.slot, slot, sizeof(r.slot) - 1);
	strncpy(r.provider, provider, sizeof(r.provider) - 1);
	long result = syscall(TERN_NR_HOT_RELOAD, &r);
	if (result == 0)
		pause_last = r.pause_last;
	return result;
}

static long swap(const char *slot, const char *provider)
{
	return swap_step(slot, provider, 0);
}

static bool find(const char *slot, struct tern_hot_reload *r)
{
	for (uint32_t i = 0;; i++) {
		*r = (struct tern_hot_reload){
			.size = sizeof(*r), .flags = TERN_RELOAD_LIST, .index = i};
		if (syscall(TERN_NR_HOT_RELOAD, r) != 0)
			return false;
		if (strcmp(r->slot, slot) == 0)
			return true;
	}
}

/* ---- The load ---- */

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			w->failed++;                                                               \
			w->line = __LINE__;                                                        \
		}                                                                                  \
	} while (0)

static uint64_t mixed(uint64_t seed, uint64_t i)
{
	uint64_t x = (seed * 0x9e3779b97f4a7c15u) ^ (i * 0xbf58476d1ce4e5b9u);

	return x ^ x >> 29;
}

static void fill_memory(struct worker *w, uint64_t seed)
{
	uint64_t *area =
		mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED);
	if (area == MAP_FAILED)
		return;
	for (size_t i = 0; i < AREA / 8; i += 16)
		area[i] = mixed(seed, i);
	for (size_t i = 0; i < AREA / 8; i += 16)
		must(area[i] == mixed(seed, i) && area[i + 1] == 0);
	munmap(area, AREA);
}

static void make_process(struct worker *w, uint64_t seed)
{
	int fds[2], status;
	uint64_t got = 0;

	must(pipe(fds) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		uint64_t sum = 0;
		for (uint64_t i = 0; i < 1000; i++)
			sum += mixed(seed, i);
		_exit(write(fds[1], &sum, sizeof(sum)) != sizeof(sum));
	}
	for (uint64_t i = 0; i < 1000; i++)
		got -= mixed(seed, i);
	uint64_t sum = 0;
	must(pid > 0 && read(fds[0], &sum, sizeof(sum)) == sizeof(sum) && sum + got == 0);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	close(fds[0]);
	close(fds[1]);
}

static void record_of(char *record, uint64_t seed, uint64_t number)
{
	for (size_t i = 0; i < RECORD; i++)
		record[i] = (char)mixed(seed + number, i);
}

/* Names that come and go, and are all there when the folder is read. */
static void use_folder(struct worker *w, const char *folder, uint64_t round)
{
	char a[64], b[64];
	unsigned seen = 0, strange = 0;

	for (unsigned i = 0; i < 8; i++) {
		snprintf(a, sizeof(a), "%s/a%u", folder, i);
		int fd = open(a, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		must(fd >= 0 && write(fd, &round, sizeof(round)) == sizeof(round));
		close(fd);
	}
	for (unsigned i = 0; i < 8; i += 2) {
		snprintf(a, sizeof(a), "%s/a%u", folder, i);
		snprintf(b, sizeof(b), "%s/b%u", folder, i);
		must(rename(a, b) == 0);
	}
	DIR *d = opendir(folder);
	must(d != NULL);
	for (struct dirent *e; d && (e = readdir(d));) {
		unsigned n = (unsigned)(e->d_name[1] - '0');
		if (e->d_name[0] == '.' || strcmp(e->d_name, "records") == 0)
			continue;
		if (n < 8 && e->d_name[0] == (n % 2 ? 'a' : 'b') && !(seen & 1u << n))
			seen |= 1u << n;
		else
			strange++;
	}
	must(seen == 0xff && strange == 0);
	if (d)
		closedir(d);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t got = 0;
		snprintf(a, sizeof(a), "%s/%c%u", folder, i % 2 ? 'a' : 'b', i);
		int fd = open(a, O_RDONLY | O_CLOEXEC);
		must(fd >= 0 && read(fd, &got, sizeof(got)) == sizeof(got) && got == round);
		close(fd);
		must(unlink(a) == 0);
	}
}

#define CROWD "/tmp/swaps.crowd"
#define CROWD_NAMES 150 /* many times what changes its index at once */

static void crowd(bool make)
{
	char name[64];

	if (make)
		mkdir(CROWD, 0755);
	for (unsigned i = 0; i < CROWD_NAMES; i++) {
		snprintf(name, sizeof(name), CROWD "/%u", i);
		if (make)
			close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
		else
			unlink(name);
	}
	if (!make)
		rmdir(CROWD);
}

/* A folder of all workers: nothing that stays in it is missed or seen twice, while names come and go. */
static void use_crowd(struct worker *w, unsigned number)
{
	uint8_t seen[CROWD_NAMES] = {};
	unsigned mine = 0, wrong = 0;
	char name[64];

	snprintf(name, sizeof(name), CROWD "/w%u", number);
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	must(fd >= 0);
	close(fd);
	DIR *d = opendir(CROWD);
	must(d != NULL);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == 'w')
			mine += (unsigned)atoi(e->d_name + 1) == number;
		else if (e->d_name[0] != '.')
			seen[atoi(e->d_name) % CROWD_NAMES]++;
	}
	for (unsigned i = 0; i < CROWD_NAMES; i++)
		wrong += seen[i] != 1;
	must(wrong == 0 && mine == 1);
	if (d)
		closedir(d);
	must(unlink(name) == 0);
}

/* One file stays open and is written all the time; afterwards every byte must be there. */
static void verify_records(struct worker *w, int fd, uint64_t seed)
{
	char want[RECORD], got[RECORD];
	struct stat st;

	must(fstat(fd, &st) == 0 && (uint64_t)st.st_size == w->records * RECORD);
	for (uint64_t n = 0; n < w->records; n++) {
		record_of(want, seed, n);
		must(pread(fd, got, RECORD, (off_t)(n * RECORD)) == RECORD &&
		     memcmp(want, got, RECORD) == 0);
	}
}

static cpu_set_t allowed;

/* On the CPU of this number among those allowed. */
static void stay_on(unsigned number)
{
	size_t cpu = 0;

	while (!CPU_ISSET(cpu, &allowed) || number--)
		cpu++;
	keep_on(0, (int)cpu);
}

static void work(unsigned number)
{
	struct worker *w = &shared->workers[number];
	char folder[32], path[48], record[RECORD];

	if (number % 2)
		stay_on(number);
	snprintf(folder, sizeof(folder), "/tmp/swaps.%u", number);
	must(mkdir(folder, 0755) == 0);
	snprintf(path, sizeof(path), "%s/records", folder);
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_APPEND | O_CLOEXEC, 0644);
	must(fd >= 0);
	while (!shared->stop && !w->failed) {
		uint64_t round = w->rounds;
		if (w->records < 8000) {
			record_of(record, number, w->records);
			must(write(fd, record, RECORD) == RECORD);
			w->records++;
		}
		use_folder(w, folder, round);
		use_crowd(w, number);
		fill_memory(w, round);
		make_process(w, round);
		w->rounds++;
	}
	verify_records(w, fd, number);
	close(fd);
	must(unlink(path) == 0);
	must(rmdir(folder) == 0);
}

static void start(pid_t *pids, void (*load)(unsigned number))
{
	fflush(stdout);
	memset(shared, 0, sizeof(*shared));
	crowd(true);
	for (unsigned i = 0; i < workers; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			load(i);
			_exit(0);
		}
	}
}

static uint64_t rounds(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < workers; i++)
		sum += shared->workers[i].rounds;
	return sum;
}

/* Waits until somebody has got further; a swap that stopped them all shows here. */
static void let_work(void)
{
	uint64_t before = rounds();

	for (unsigned i = 0; rounds() == before && i < 10000; i++)
		usleep(500);
}

static bool stop(pid_t *pids)
{
	bool good = true;

	shared->stop = true;
	for (unsigned i = 0; i < workers; i++) {
		good &= status_of(pids[i]) == 0;
		if (shared->workers[i].failed || shared->workers[i].rounds < 2) {
			printf("# worker %u: %lu failures, the last in line %d, %lu rounds\n", i,
			       (unsigned long)shared->workers[i].failed, shared->workers[i].line,
			       (unsigned long)shared->workers[i].rounds);
			good = false;
		}
	}
	crowd(false);
	return good;
}

/* ---- Audits ---- */

/* When it stands still: what ended before is freed after a grace period. */
static long free_kib(void)
{
	long now = number_in("/proc/meminfo", "MemFree:"), last = -1;

	for (int same = 0; same < 10; same = now == last ? same + 1 : 0) {
		last = now;
		usleep(20000);
		now = number_in("/proc/meminfo", "MemFree:");
	}
	return now;
}

/* ---- The tests ---- */

static void under_load(const struct pair *p)
{
	struct tern_hot_reload r;
	pid_t pids[WORKERS_MAX];
	unsigned failed = !find(p->slot, &r);
	uint64_t before = r.swaps;

	start(pids, work);
	let_work();
	for (int i = 0; i < SWAPS; i++) {
		failed += swap(p->slot, p->other) != 0;
		let_work();
		failed += swap(p->slot, p->home) != 0;
		let_work();
	}
	check(stop(pids), "%s: the load did not notice", p->slot);
	check(failed == 0 && find(p->slot, &r) && strcmp(r.provider, p->home) == 0 &&
		      r.swaps == before + 2 * SWAPS,
	      "%s: %s and back %d times under load", p->slot, p->other, SWAPS);
	printf("# %s: pause median %lu.%lu us, most %lu.%lu us\n", p->slot,
	       (unsigned long)r.pause_median / 1000, (unsigned long)r.pause_median / 100 % 10,
	       (unsigned long)r.pause_max / 1000, (unsigned long)r.pause_max / 100 % 10);
	printf("# rounds: %lu\n", (unsigned long)rounds());
}

static void each_step_fails(const struct pair *p)
{
	struct tern_hot_reload r;
	pid_t pids[WORKERS_MAX];
	unsigned failed = !find(p->slot, &r);
	uint64_t before = r.rollbacks;

	start(pids, work);
	for (unsigned i = 0; i < 20; i++) {
		/* From both sides: half of the time the other one is the old one. */
		bool home = i < 10;
		if (i == 10)
			failed += swap(p->slot, p->other) != 0;
		errno = 0;
		failed += swap_step(p->slot, home ? p->other : p->home, 1 + i % 5) != -1 ||
			  errno != EIO;
		failed += !find(p->slot, &r) || strcmp(r.provider, home ? p->home : p->other) != 0;
		let_work();
	}
	failed += swap(p->slot, p->home) != 0;
	check(stop(pids), "%s: nor what was rolled back", p->slot);
	check(failed == 0 && find(p->slot, &r) && r.rollbacks == before + 20,
	      "%s: each step failed, and the old one went on", p->slot);
}

static void nothing_lost(const struct pair *p)
{
	/* What its caches hold for the work before is given back by the first exchange. */
	unsigned failed = swap(p->slot, p->other) != 0;

	failed += swap(p->slot, p->home) != 0;
	long before = free_kib(), total = number_in("/proc/meminfo", "MemTotal:");
	long threads = threads_there();
	for (int i = 0; i < 20; i++)
		failed += swap(p->slot, i % 2 ? p->home : p->other) != 0;
	long after = free_kib();
	check(failed == 0 && after + 512 > before && before + 512 > after &&
		      number_in("/proc/meminfo", "MemTotal:") == total,
	      "%s: no memory is lost (free: %ld KiB, then %ld)", p->slot, before, after);
	check(threads > 0 && threads_there() == threads, "%s: no thread is lost", p->slot);
}

static void bad_input(void)
{
	struct tern_hot_reload r = {.size = sizeof(r), .flags = 2};

	errno = 0;
	check(swap("scheduler", "nothing") == -1 && errno == ENOENT, "an unknown provider");
	check(swap("nothing", "fifo") == -1 && errno == ENOENT, "an unknown slot");
	check(swap("frames", "bump") == -1 && errno == EOPNOTSUPP, "a policy that loses frames");
	errno = 0;
	check(swap("heap", "bump") == -1 && errno == EOPNOTSUPP, "a heap that loses blocks");
	errno = 0;
	check(swap_step("scheduler", "fifo", 7) == -1 && errno == EINVAL, "an unknown step");
	check(syscall(TERN_NR_HOT_RELOAD, &r) == -1 && errno == EINVAL, "an unknown flag");
	memset(r.slot, 'x', sizeof(r.slot));
	r.flags = 0;
	check(syscall(TERN_NR_HOT_RELOAD, &r) == -1 && errno == EINVAL, "a name without end");
	r.size = 8;
	check(syscall(TERN_NR_HOT_RELOAD, &r) == -1 && errno == EINVAL, "a structure too small");
	check(syscall(TERN_NR_HOT_RELOAD, 8) == -1 && errno == EFAULT, "no structure");
	check(in_child(if (setuid(65534)) _exit(9);
		       _exit(swap("scheduler", "fifo") != -1 || errno != EPERM)) == 0,
	      "swapping is for the privileged");
	check(in_child(if (setuid(65534)) _exit(9); _exit(!find("scheduler", &r))) == 0,
	      "looking is for all");
}

/* Two that swap the same slot: one of them may be told to come again. */
static void in_the_middle(const struct pair *p)
{
	unsigned failed = 0;

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 200; i++)
			if (swap(p->slot, i % 2 ? p->home : p->other) && errno != EBUSY)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 200; i++)
		failed += swap(p->slot, i % 2 ? p->other : p->home) && errno != EBUSY;
	check(failed == 0 && status_of(pid) == 0 && swap(p->slot, p->home) == 0,
	      "%s: two that swap at once", p->slot);
}

/* ---- The console ---- */

#define WRITERS 4

/* Lines of many lengths, each of them one write; the other end of the console counts them. */
static void write_lines(unsigned number)
{
	char line[256];

	for (unsigned n = 0; !shared->stop || n < 500; n++) {
		int size = snprintf(line, sizeof(line), "%u %u ", number, n);
		memset(line + size, 'a' + (int)(n % 26), n % 190);
		size += (int)(n % 190);
		line[size++] = '\n';
		for (int done = 0; done < size;) {
			ssize_t written = write(1, line + done, (size_t)(size - done));
			if (written <= 0)
				_exit(1);
			done += (int)written;
		}
		shared->workers[number].rounds++;
	}
}

/* Prints what is right in the end; whether all lines came, once and whole, is for the host to see. */
static int console_run(void)
{
	struct tern_hot_reload r;
	pid_t pids[WRITERS];
	unsigned failed = 0, refused = 0;
	int times = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SWAPS : SWAPS / 5; /* a slow line */

	workers = WRITERS;
	for (unsigned i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			write_lines(i);
			_exit(0);
		}
	}
	for (int i = 0; i < times; i++) {
		failed += swap("console", "buffered") != 0;
		let_work();
		refused +=
			swap_step("console", "direct", 1 + (unsigned)i % 5) == -1 && errno == EIO;
		let_work();
		failed += swap("console", "direct") != 0;
		refused +=
			swap_step("console", "buffered", 1 + (unsigned)i % 5) == -1 && errno == EIO;
	}
	failed += swap("console", "buffered") != 0; /* the end comes with bytes in the ring */
	shared->stop = true;
	for (int i = 0; i < WRITERS; i++)
		failed += status_of(pids[i]) != 0;
	failed += !find("console", &r) || r.swaps != 2 * (unsigned)times + 1 ||
		  r.rollbacks != 2 * (unsigned)times || refused != 2 * (unsigned)times;
	printf("lines %lu %lu %lu %lu\n", (unsigned long)shared->workers[0].rounds,
	       (unsigned long)shared->workers[1].rounds, (unsigned long)shared->workers[2].rounds,
	       (unsigned long)shared->workers[3].rounds);
	printf("failed %u swaps %u pause median %lu max %lu ns\n", failed, 2 * (unsigned)times + 1,
	       (unsigned long)r.pause_median, (unsigned long)r.pause_max);
	return failed != 0;
}

/* ---- Figures: how long users of a slot wait, by slot and direction ---- */

#define SAMPLES 25
#define NAMES 2000 /* in one directory, which the filesystem has to take over */

static const struct {
	const char *slot, *a, *b;
} measured[] = {
	{"scheduler", "prio", "fifo"},  {"scheduler", "mlfq", "dis"},
	{"frames", "buddy", "bitmap"},  {"frames", "buddy", "hybrid"},
	{"frames", "bitmap", "hybrid"}, {"heap", "slab", "list"},
	{"tmpfs", "tree", "list"},      {"console", "direct", "buffered"},
	{"block", "direct", "queued"},
};

static void use_disk(unsigned number)
{
	static char out[1 << 16], in[sizeof(out)];
	struct worker *w = &shared->workers[number];
	int fd = open("/dev/ram0", O_RDWR | O_CLOEXEC);

	memset(out, (int)number + 1, sizeof(out));
	while (!shared->stop && !w->failed) {
		off_t at = (off_t)(number * sizeof(out));
		must(pwrite(fd, out, sizeof(out), at) == (ssize_t)sizeof(out));
		must(pread(fd, in, sizeof(in), at) == (ssize_t)sizeof(in) &&
		     memcmp(in, out, sizeof(in)) == 0);
		w->rounds++;
	}
	close(fd);
}

static void print_lines(unsigned number)
{
	struct worker *w = &shared->workers[number];

	while (!shared->stop) {
		must(printf("# a line of number %u\n", number) > 0 && fflush(stdout) == 0);
		w->rounds++;
		usleep(200); /* counted, the line costs no time: the emulator would only write lines */
	}
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void pause_line(const char *slot, const char *from, const char *to, uint64_t *samples)
{
	qsort(samples, SAMPLES, sizeof(*samples), ascending);
	printf("pause %s %s %s %lu %lu\n", slot, from, to, (unsigned long)samples[SAMPLES / 2],
	       (unsigned long)samples[SAMPLES - 1]);
	fflush(stdout);
}

static bool measure(const char *slot, const char *a, const char *b)
{
	void (*load)(unsigned number) = strcmp(slot, "block") == 0     ? use_disk
					: strcmp(slot, "console") == 0 ? print_lines
								       : work;
	uint64_t there[SAMPLES], back[SAMPLES];
	struct tern_hot_reload home;
	pid_t pids[WORKERS_MAX];
	bool good = find(slot, &home) && swap(slot, a) == 0;

	start(pids, load);
	let_work();
	for (unsigned i = 0; good && i < SAMPLES; i++) {
		good &= swap(slot, b) == 0;
		there[i] = pause_last;
		let_work();
		good &= swap(slot, a) == 0;
		back[i] = pause_last;
		let_work();
	}
	good &= stop(pids) && swap(slot, home.provider) == 0;
	if (good) {
		pause_line(slot, a, b, there);
		pause_line(slot, b, a, back);
	}
	return good;
}

/* A directory whose size must not show in the pause. */
static bool make_names(void)
{
	char name[48];
	bool good = mkdir("/tmp/names", 0755) == 0;

	for (unsigned i = 0; good && i < NAMES; i++) {
		snprintf(name, sizeof(name), "/tmp/names/%u", i);
		int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		good &= fd >= 0;
		close(fd);
	}
	return good;
}

static int pauses_run(const char *only)
{
	bool good = make_names() && module_load("ramqueue", "") == 0;

	for (size_t i = 0; i < sizeof(measured) / sizeof(measured[0]); i++)
		if (!only || strcmp(only, measured[i].slot) == 0)
			good &= measure(measured[i].slot, measured[i].a, measured[i].b);
	return !good;
}

int main(int argc, char **argv)
{
	struct tern_hot_reload r;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return 1;
	workers = CPU_COUNT(&allowed) < WORKERS_MAX ? (unsigned)CPU_COUNT(&allowed) : WORKERS_MAX;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (argc > 1 && strcmp(argv[1], "console") == 0)
		return console_run();
	if (argc > 1 && strcmp(argv[1], "pauses") == 0)
		return pauses_run(argc > 2 ? argv[2] : NULL);
	if (argc == 1 || strcmp(argv[1], "input") == 0)
		bad_input();
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct pair *p = &pairs[i];
		if (argc > 1 && strcmp(argv[1], p->slot) != 0)
			continue;
		bool there = find(p->slot, &r) && strcmp(r.kind, p->kind) == 0;
		check(there, "%s: there is such a slot", p->slot);
		if (!there)
			continue;
		memcpy(p->home, r.provider, sizeof(p->home));
		if (strcmp(p->home, p->other) == 0)
			p->other = p->instead;
		under_load(p);
		each_step_fails(p);
		nothing_lost(p);
		in_the_middle(p);
	}
	return tap_end();
}
