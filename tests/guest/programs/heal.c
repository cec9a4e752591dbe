/*
 * The RAM disk, its two drivers exchanged under load, and a driver that breaks in every way while programs use it:
 * each byte read has to be the one that was written, and no call may fail.
 */
#define _GNU_SOURCE
#include "module.h"
#include "tap.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tern/tern.h>

#define DISK "/dev/ram0"
#define WORKERS 4
#define REGION (256u << 10) /* bytes of each worker */
#define SWAPS 100
#define HANDOVERS 20u
#define GET_SIZE 0x80081272ul /* BLKGETSIZE64 */

struct shared {
	_Atomic bool stop;
	_Atomic uint64_t reads, writes, wrong, failed;
};

static struct shared *shared;

/* ---- Small things ---- */

static long write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	long result = write(fd, text, strlen(text));
	int error = errno;

	close(fd);
	errno = error;
	return result < 0 ? -1 : 0;
}

static long swap(const char *text)
{
	return write_text("/sys/kernel/slots", text);
}

static long limit(const char *text)
{
	return write_text("/sys/kernel/heal", text);
}

static bool provider_is(const char *provider, bool say)
{
	char name[32], kind[32], current[32], line[256];
	unsigned long swaps, rollbacks, last, middle, most;
	bool found = false;
	FILE *f = fopen("/sys/kernel/slots", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %31s %31s %lu %lu %lu %lu %lu", name, kind, current, &swaps,
			   &rollbacks, &last, &middle, &most) != 8 ||
		    strcmp(name, "block") != 0)
			continue;
		found = strcmp(current, provider) == 0;
		if (say)
			printf("# %lu swaps, %lu rolled back, pause: median %lu us, most %lu us\n",
			       swaps, rollbacks, middle, most);
	}
	if (f)
		fclose(f);
	return found;
}

static struct tern_self_heal component(void)
{
	struct tern_self_heal h = {};

	for (uint32_t i = 0;; i++) {
		h = (struct tern_self_heal){.size = sizeof(h), .op = TERN_HEAL_STATUS, .index = i};
		if (syscall(TERN_NR_SELF_HEAL, &h) != 0 || strcmp(h.name, "ram0") == 0)
			return h;
	}
}

static long heal(uint32_t op, const char *name, const char *what, uint32_t times)
{
	struct tern_self_heal h = {.size = sizeof(h), .op = op, .times = times};

	strcpy(h.name, name);
	strcpy(h.what, what);
	return syscall(TERN_NR_SELF_HEAL, &h);
}

/* ---- The disk as a file ---- */

static void disk(void)
{
	uint8_t out[10000], in[sizeof(out)];
	uint64_t size = 0;
	struct stat st;
	int fd = open(DISK, O_RDWR | O_CLOEXEC);

	check(fd >= 0, "open");
	check(fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == 0x100, "a block device");
	check(ioctl(fd, GET_SIZE, &size) == 0 && size == 4 << 20, "BLKGETSIZE64");
	check(lseek(fd, 0, SEEK_END) == (off_t)size, "seek to the end");
	check(read(fd, in, 10) == 0, "read at the end");
	check(write(fd, in, 10) == -1 && errno == ENOSPC, "write at the end");
	check(lseek(fd, 1, SEEK_END) == -1 && errno == EINVAL, "seek behind the end");
	check(ioctl(fd, 0x1234, 0) == -1 && errno == ENOTTY, "an unknown ioctl");
	check(pread(fd, in, sizeof(in), (off_t)size - 100) == 100,
	      "a read that reaches over the end");
	memset(out, 1, sizeof(out));
	check(pread(fd, in, sizeof(in), (off_t)size / 2) == sizeof(in),
	      "read what was never written");
	for (size_t i = 0; i < sizeof(out); i++) {
		if (in[i])
			shared->wrong++;
		out[i] = (uint8_t)(i * 7 + 3);
	}
	check(shared->wrong == 0, "it is zeroes");
	off_t at = 5 * 65536 - 4711; /* over a stripe, no block whole at the ends */
	check(pwrite(fd, out, sizeof(out), at) == sizeof(out), "write");
	check(pread(fd, in, sizeof(in), at) == sizeof(in) && memcmp(in, out, sizeof(in)) == 0,
	      "read it again");
	check(pread(fd, in, 1, at - 1) == 1 && in[0] == 0, "the byte before is as it was");
	check(pread(fd, in, 1, at + (off_t)sizeof(out)) == 1 && in[0] == 0, "the byte behind too");
	check(fsync(fd) == 0, "fsync");
	check(pread(fd, (void *)8, 100, 0) == -1 && errno == EFAULT, "read to nowhere");
	check(pwrite(fd, (void *)8, 100, 0) == -1 && errno == EFAULT, "write from nowhere");
	close(fd);
}

/* ---- Workers ---- */

static uint32_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

/* Reads and writes at any place of a region of its own, whose bytes it knows. */
static void worker(unsigned number)
{
	static uint8_t mirror[REGION], got[32768];
	uint64_t seed = number + 1;
	off_t base = (off_t)number * REGION + (1 << 20);
	int fd = open(DISK, O_RDWR);

	if (pwrite(fd, mirror, REGION, base) != REGION)
		shared->failed++;
	while (!shared->stop) {
		size_t size = 1 + next(&seed) % sizeof(got), at = next(&seed) % (REGION - size);
		if (next(&seed) % 3 == 0) {
			for (size_t i = 0; i < size; i++)
				mirror[at + i] = (uint8_t)(next(&seed));
			if (pwrite(fd, mirror + at, size, base + (off_t)at) != (ssize_t)size)
				shared->failed++;
			shared->writes++;
			continue;
		}
		if (pread(fd, got, size, base + (off_t)at) != (ssize_t)size)
			shared->failed++;
		else if (memcmp(got, mirror + at, size) != 0)
			shared->wrong++;
		shared->reads++;
	}
	close(fd);
}

static void workers_start(pid_t pids[WORKERS])
{
	shared->stop = false;
	fflush(stdout);
	for (unsigned i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			worker(i);
			_exit(0);
		}
	}
}

static void workers_end(pid_t pids[WORKERS])
{
	shared->stop = true;
	for (unsigned i = 0; i < WORKERS; i++)
		status_of(pids[i]);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* They have done `count` more reads; false: not within twenty seconds. */
static bool progress(uint64_t count)
{
	uint64_t goal = shared->reads + count;

	for (double end = seconds() + 20; shared->reads < goal && seconds() < end;)
		usleep(1000);
	return shared->reads >= goal;
}

/* ---- The tests ---- */

static void swaps(void)
{
	pid_t pids[WORKERS];
	unsigned done = 0;

	check(module_load("ramqueue", "") == 0, "the other driver");
	workers_start(pids);
	check(progress(20), "the workers work");
	for (unsigned i = 0; i < SWAPS; i++) {
		done += swap("block queued") == 0;
		progress(1);
		done += swap("block direct") == 0;
		progress(1);
	}
	workers_end(pids);
	check(done == 2 * SWAPS, "%u swaps there and back", SWAPS);
	check(provider_is("direct", true), "the first driver is back");
	check(shared->failed == 0 && shared->wrong == 0, "no request was lost, no byte is wrong");
	printf("# %lu reads, %lu writes\n", (unsigned long)shared->reads,
	       (unsigned long)shared->writes);
}

static bool reads_a_block(void)
{
	static uint8_t block[4096];
	int fd = open(DISK, O_RDONLY | O_CLOEXEC);

	return pread(fd, block, sizeof(block), 0) == sizeof(block);
}

/* What a driver has forgotten goes to the next one at the swap, not when the limits are looked at, twice a second. */
static void handed_over(void)
{
	unsigned done = 0, late = 0;

	for (unsigned i = 0; i < HANDOVERS; i++) {
		bool begun =
			swap("block queued") == 0 && heal(TERN_HEAL_INJECT, "ram0", "lost", 1) == 0;
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			_exit(!reads_a_block());
		usleep(20000);
		double start = seconds();
		bool swapped = swap("block direct") == 0;
		done += begun && swapped && status_of(pid) == 0;
		late += seconds() - start > 0.2;
	}
	check(done == HANDOVERS, "%u forgotten requests are done by the next driver", HANDOVERS);
	check(late <= HANDOVERS / 4, "at once (%u were late)", late);
}

/* One fault, with everybody at work: it is healed by a restart. Who swaps meanwhile waits for the healer. */
static void one(const char *what)
{
	struct tern_self_heal before = component(), after = before;
	unsigned refused = 0;

	check(heal(TERN_HEAL_INJECT, "ram0", what, 1) == 0, "%s: asked for", what);
	for (double end = seconds() + 15; after.restarts == before.restarts && seconds() < end;) {
		usleep(1000);
		refused += swap("block queued") != 0;
		after = component();
	}
	check(refused == 0, "%s: no swap is refused because of the healer", what);
	check(after.failures > before.failures && after.restarts > before.restarts,
	      "%s: found, and the driver restarted", what);
	if (!progress(20)) {
		check(false, "%s: requests go on", what);
		_exit(1); /* the workers would be waited for without end */
	}
	check(shared->failed == 0 && shared->wrong == 0, "%s: no call failed, no byte is wrong",
	      what);
	check(provider_is("queued", false), "%s: the same driver", what);
	after = component();
	printf("# %s: %s; healed within %lu us\n", what, after.why,
	       (unsigned long)(after.repair_last_ns / 1000));
	check(heal(TERN_HEAL_RESET, "ram0", "", 0) == 0, "%s: forgotten", what);
}

/* It breaks again and again: another driver takes over. */
static void many(void)
{
	struct tern_self_heal before = component(), after = before;

	check(heal(TERN_HEAL_INJECT, "ram0", "crash", 1000000) == 0, "always: asked for");
	for (double end = seconds() + 30; after.swaps == before.swaps && seconds() < end;) {
		usleep(1000);
		after = component();
	}
	check(after.swaps > before.swaps, "always: %lu restarts, then another driver",
	      (unsigned long)(after.restarts - before.restarts));
	check(progress(20), "always: requests go on");
	check(provider_is("direct", false), "always: with the other driver");
	check(shared->failed == 0 && shared->wrong == 0,
	      "always: no call failed, no byte is wrong");
	check(swap("block queued") == -1 && errno == ENODEV,
	      "the one that failed is not taken again");
	check(syscall(SYS_delete_module, "ramqueue", O_NONBLOCK) == 0, "its module goes");
	check(module_load("ramqueue", "") == 0 && swap("block queued") == 0,
	      "and comes again, as new");
	check(progress(20), "it works");
}

/* ---- The ladder, rung by rung ---- */

static struct tern_self_heal last_event(void)
{
	struct tern_self_heal h = {}, next;

	for (;;) {
		next = (struct tern_self_heal){
			.size = sizeof(next), .op = TERN_HEAL_EVENT, .number = h.number};
		if (syscall(TERN_NR_SELF_HEAL, &next) != 0)
			return h;
		h = next;
	}
}

/* The first event after `h` that is about the disk; false: none. */
static bool next_event(struct tern_self_heal *h)
{
	do
		*h = (struct tern_self_heal){
			.size = sizeof(*h), .op = TERN_HEAL_EVENT, .number = h->number};
	while (syscall(TERN_NR_SELF_HEAL, h) == 0 && strcmp(h->name, "ram0") != 0);
	return strcmp(h->name, "ram0") == 0;
}

static bool reaches(uint64_t *counter, uint64_t from, struct tern_self_heal *h)
{
	size_t offset = (size_t)((char *)counter - (char *)h);

	for (double end = seconds() + 30; seconds() < end; usleep(1000)) {
		*h = component();
		if (*(uint64_t *)((char *)h + offset) > from)
			return true;
	}
	return false;
}

/* The driver that breaks, loaded anew. It need not be there, nor whole. */
static bool load_queued(void)
{
	(void)swap("block direct");
	(void)syscall(SYS_delete_module, "ramqueue", O_NONBLOCK);
	return module_load("ramqueue", "") == 0 && swap("block queued") == 0;
}

/* Three restarts, the second and third after a time that doubles up to its limit, then the other driver. */
static void backoff(void)
{
	static const char *const what[] = {"failed", "restart", "failed", "restart",
					   "failed", "restart", "failed", "swap"};
	static const unsigned wait_ms[] = {0, 0, 0, 100, 0, 150, 0, 0};
	struct tern_self_heal h = component(), first, at;
	unsigned wrong = 0, early = 0;
	uint64_t before_ns = 0;

	check(load_queued() && heal(TERN_HEAL_RESET, "ram0", "", 0) == 0, "backoff: the driver");
	check(limit("ram0 restarts=3 swaps=1 window=600000 backoff=100 backoff-max=150\n") == 0,
	      "backoff: its limits");
	first = at = last_event();
	check(heal(TERN_HEAL_INJECT, "ram0", "crash", 1000000) == 0, "backoff: broken for good");
	check(reaches(&h.swaps, h.swaps, &h), "backoff: another driver takes over");
	for (unsigned i = 0; i < 8; i++) {
		if (!next_event(&at) || strcmp(at.what, what[i]) != 0) {
			printf("# event %u: %s %s, not %s\n", i, at.what, at.why, what[i]);
			wrong++;
			break;
		}
		early += wait_ms[i] && at.time_ns - before_ns < wait_ms[i] * 1000000ul;
		before_ns = at.time_ns;
	}
	check(wrong == 0, "backoff: three restarts and a swap, in this order");
	check(early == 0, "backoff: 100 ms before the second restart, 150 before the third");
	check(strstr(at.why, "works again with direct"), "backoff: the history says who works");
	check(progress(20) && shared->failed == 0 && shared->wrong == 0,
	      "backoff: no call failed, no byte is wrong");
	check(first.number > 0, "backoff: there was a history before");
}

/* No swap is allowed: after one restart the disk is given up, which says so, and comes back whole. */
static void isolate(void)
{
	static char out[8192], in[sizeof(out)];
	struct tern_self_heal h = component();
	int fd = open(DISK, O_RDWR | O_CLOEXEC);

	memset(out, 'i', sizeof(out));
	check(load_queued() && heal(TERN_HEAL_RESET, "ram0", "", 0) == 0, "isolate: the driver");
	check(limit("ram0 restarts=1 swaps=0") == 0, "isolate: its limits");
	check(pwrite(fd, out, sizeof(out), 0) == sizeof(out), "isolate: something is written");
	check(heal(TERN_HEAL_INJECT, "ram0", "crash", 1000000) == 0, "isolate: broken for good");
	check(pread(fd, in, sizeof(in), 0) == -1 && errno == EIO, "isolate: the call ends");
	uint64_t restarts = h.restarts;
	check(reaches(&h.isolations, h.isolations, &h) && strcmp(h.what, "isolated") == 0 &&
		      h.restarts == restarts + 1,
	      "isolate: one restart, then given up");
	check(pwrite(fd, out, sizeof(out), 0) == -1 && errno == EIO, "isolate: so do later ones");
	check(in_child(_exit(7)) == 7, "isolate: the kernel goes on");
	check(swap("block direct") == 0 && pread(fd, in, sizeof(in), 0) == -1 && errno == EIO,
	      "isolate: nobody uses it until it is reset");
	check(heal(TERN_HEAL_RESET, "ram0", "", 0) == 0 && strcmp(component().what, "good") == 0,
	      "isolate: reset");
	check(pread(fd, in, sizeof(in), 0) == sizeof(in) && memcmp(in, out, sizeof(in)) == 0,
	      "isolate: what was written is there");
	close(fd);
}

/* A write that failed may have been done or not: either is read, and nobody is blamed for it. */
static void half_written(void)
{
	static char out[8192], in[sizeof(out)];
	int fd = open(DISK, O_RDWR | O_CLOEXEC);

	check(load_queued() && heal(TERN_HEAL_RESET, "ram0", "", 0) == 0,
	      "failed write: the driver");
	memset(out, 'j', sizeof(out));
	check(pwrite(fd, out, sizeof(out), 0) == sizeof(out), "failed write: one that does not");
	struct tern_self_heal h = component();
	memset(out, 'k', sizeof(out));
	check(heal(TERN_HEAL_INJECT, "ram0", "bug", 1000000) == 0 &&
		      pwrite(fd, out, sizeof(out), 0) == -1 && errno == EIO &&
		      reaches(&h.isolations, h.isolations, &h),
	      "failed write: EIO");
	check(swap("block direct") == 0 && heal(TERN_HEAL_RESET, "ram0", "", 0) == 0,
	      "failed write: a driver that works");
	uint64_t failures = component().failures;
	check(pread(fd, in, sizeof(in), 0) == sizeof(in) && (in[0] == 'j' || in[0] == 'k'),
	      "failed write: the disk is read");
	check(component().failures == failures, "failed write: its driver is not accused");
	close(fd);
}

/* Before its rung is due somebody exchanges what failed: that stays. */
static void by_hand(void)
{
	struct tern_self_heal h = component();
	bool gone = false;

	check(load_queued() && heal(TERN_HEAL_RESET, "ram0", "", 0) == 0, "by hand: the driver");
	check(limit("ram0 restarts=3 swaps=1 window=600000 backoff=2000 backoff-max=2000") == 0 &&
		      heal(TERN_HEAL_INJECT, "ram0", "crash", 2) == 0,
	      "by hand: two failures");
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(!reads_a_block());
	check(reaches(&h.restarts, h.restarts, &h), "by hand: a restart");
	for (double end = seconds() + 1; strcmp(h.what, "waiting") != 0 && seconds() < end;)
		h = component();
	check(swap("block direct") == 0 && status_of(pid) == 0, "by hand: another driver");
	for (double end = seconds() + 10; !gone && seconds() < end; usleep(1000))
		gone = strcmp(last_event().what, "gone") == 0;
	check(gone && component().restarts == h.restarts && provider_is("direct", false),
	      "by hand: nothing is done to it");
}

static void bad_limits(void)
{
	static const char *const bad[] = {"ram0 restarts=9",
					  "ram0 restarts=",
					  "ram0 nix=1",
					  "ram0 swaps=1x",
					  "ram0 required=2",
					  "ram0 restarts",
					  ""};
	unsigned taken = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		taken += limit(bad[i]) == 0 || errno != EINVAL;
	check(taken == 0, "limits that make no sense");
	check(limit("nix restarts=1") == -1 && errno == ENOENT, "limits of nothing");
	check(in_child(int fd = open("/sys/kernel/heal", O_WRONLY); if (setuid(65534)) _exit(9);
		       _exit(write(fd, "ram0 swaps=1", 12) >= 0 || errno != EPERM)) == 0,
	      "limits: not for everybody");
}

static void injections(void)
{
	static const char *const ways[] = {"crash", "hang",  "lost", "nomem",
					   "wild",  "wrong", "bug"};
	pid_t pids[WORKERS];

	check(swap("block queued") == 0, "the driver that breaks");
	workers_start(pids);
	check(progress(20), "the workers work");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		one(ways[i]);
	many();
	backoff();
	workers_end(pids);
	check(shared->failed == 0 && shared->wrong == 0, "no call failed, no byte is wrong");
	check(strcmp(component().what, "good") == 0, "the component is good");
	isolate();
	half_written();
	by_hand();
	check(limit("ram0 restarts=3 swaps=2 window=10000 backoff=10 backoff-max=500") == 0 &&
		      syscall(SYS_delete_module, "ramqueue", O_NONBLOCK) == 0,
	      "everything as before");
}

static void bad_calls(void)
{
	struct tern_self_heal h = {.size = sizeof(h), .op = 99};
	char line[256];
	bool found = false;

	check(syscall(TERN_NR_SELF_HEAL, 0) == -1 && errno == EFAULT, "502 without a structure");
	check(syscall(TERN_NR_SELF_HEAL, &h) == -1 && errno == EINVAL, "502: an unknown operation");
	h = (struct tern_self_heal){.size = 8};
	check(syscall(TERN_NR_SELF_HEAL, &h) == -1 && errno == EINVAL, "502: too small");
	h = (struct tern_self_heal){.size = sizeof(h), .index = 1000};
	check(syscall(TERN_NR_SELF_HEAL, &h) == -1 && errno == ENOENT, "502: no component 1000");
	h = (struct tern_self_heal){.size = sizeof(h), .op = TERN_HEAL_RESET};
	memset(h.name, 'x', sizeof(h.name));
	check(syscall(TERN_NR_SELF_HEAL, &h) == -1 && errno == EINVAL, "502: a name without end");
	check(heal(TERN_HEAL_RESET, "nix", "", 0) == -1 && errno == ENOENT,
	      "502: no such component");
	check(heal(TERN_HEAL_CHECK, "", "", 0) == 0, "502: check all");
	check(heal(TERN_HEAL_INJECT, "nix", "crash", 1) == -1 && errno == ENODEV,
	      "502: no such device");
	check(heal(TERN_HEAL_INJECT, "ram0", "nix", 1) == -1 && errno == EINVAL,
	      "502: no such fault");
	check(heal(TERN_HEAL_INJECT, "ram0", "crash", 1) == -1 && errno == EOPNOTSUPP,
	      "502: a driver that does not break");
	check(in_child(_exit(setuid(1000) || heal(TERN_HEAL_CHECK, "", "", 0) != -1 ||
			     errno != EPERM || heal(TERN_HEAL_INJECT, "ram0", "crash", 1) != -1 ||
			     errno != EPERM)) == 0,
	      "502: not for everybody");
	FILE *f = fopen("/sys/kernel/heal", "r");
	while (f && fgets(line, sizeof(line), f))
		found |= strncmp(line, "ram0 ", 5) == 0;
	if (f)
		fclose(f);
	check(found, "/sys/kernel/heal");
	bad_limits();
}

int main(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	disk();
	bad_calls();
	swaps();
	handed_over();
	injections();
	return tap_end();
}
