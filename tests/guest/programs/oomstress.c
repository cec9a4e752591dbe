/*
 * A machine at the edge of its memory (64 MiB, see machines.py): who dies, who does not, and that
 * nothing is lost. Takers that are killed, writers into tmpfs, forks, on all CPUs at once.
 * Argument: seconds of stress.
 */
#define _GNU_SOURCE
#include "numbers.h"
#include "tap.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define MIB (1ul << 20)

static bool adjust(const char *name, int value)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/%s", name);
	return write_number(path, value);
}

/* Touches up to `size` bytes of fresh memory. */
static bool take(size_t size, int kind)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	for (size_t i = 0; i < size; i += PAGE)
		p[i] = 1;
	return true;
}

static void take_all(void)
{
	while (take(MIB, MAP_PRIVATE))
		;
	_exit(9);
}

static pid_t child(void (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid;
}

/* ---- Scores --------------------------------------------------------------------------------- */

static void test_files(void)
{
	const char *score = "/proc/self/oom_score", *adj = "/proc/self/oom_score_adj";

	check(number_in(adj, "") == 0 && number_in(score, "") >= 666, "no adjustment, some score");
	check(adjust("oom_score_adj", 1000) && number_in("/proc/self/oom_adj", "") == 15 &&
		      number_in(score, "") >= 1333,
	      "the highest");
	check(in_child(_exit(number_in(adj, "") == 1000)) == 1, "a child inherits it");
	check(adjust("oom_score_adj", -1000) && number_in(score, "") == 0 &&
		      number_in("/proc/self/oom_adj", "") == -17,
	      "never: no score");
	check(!adjust("oom_score_adj", 1001) && !adjust("oom_score_adj", -1001) &&
		      number_in(adj, "") == -1000,
	      "out of range: refused");
	check(adjust("oom_adj", 0) && number_in(adj, "") == 0, "the older file does the same");
	check(in_child(_exit(setuid(1000) == 0 && adjust("oom_score_adj", 300) &&
			     adjust("oom_score_adj", 0) && !adjust("oom_score_adj", -1))) == 1,
	      "who is not root may go up, and down again, but not below");
}

static int ready[2];

static void small_and_first(void)
{
	adjust("oom_score_adj", 1000);
	take(MIB, MAP_PRIVATE);
	write(ready[1], "", 1);
	pause();
}

static void large_and_never(void)
{
	adjust("oom_score_adj", -1000);
	take(16 * MIB, MAP_PRIVATE);
	write(ready[1], "", 1);
	pause();
}

static void test_choice(void)
{
	char c[2];

	pipe(ready);
	pid_t first = child(small_and_first), never = child(large_and_never);
	for (int got = 0; got < 2;)
		got += read(ready[0], c, 1) == 1;
	pid_t taker = child(take_all);
	int taken = status_of(taker), status = 0;
	pid_t gone = 0;
	for (int i = 0; i < 100 && (gone = waitpid(first, &status, WNOHANG)) == 0; i++)
		sleep_ms(20); /* it was told to end before the other was */
	check(gone == first && WIFSIGNALED(status), "the one with +1000 dies first");
	check(taken == 137, "then the one that takes all");
	kill(first, SIGKILL);
	check(kill(never, 0) == 0 && waitpid(never, NULL, WNOHANG) == 0,
	      "the one with -1000 lives");
	kill(never, SIGKILL);
	check(status_of(never) == 137, "until it is told to end");
	close(ready[0]);
	close(ready[1]);
}

static void share_all(void)
{
	while (take(MIB, MAP_SHARED))
		;
	_exit(9);
}

static void test_shared(void)
{
	check(status_of(child(share_all)) == 137, "who takes shared memory is found, too");
	check(in_child(_exit(take(8 * MIB, MAP_PRIVATE))) == 1, "and gives it back");
}

/* ---- Full filesystems ----------------------------------------------------------------------- */

static int fill(const char *path)
{
	static char block[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
		;
	int err = errno;
	close(fd);
	return err;
}

static void test_full_files(void)
{
	check(fill("/tmp/oom") == ENOSPC, "/tmp to the brim");
	check(fill("/oom") == ENOSPC, "and /");
	check(system("ls -l / >/dev/null && cat /proc/meminfo | grep -q MemFree") == 0,
	      "a shell, ls, cat and a pipe work");
	check(in_child(_exit(take(MIB, MAP_PRIVATE))) == 1, "a program gets 1 MiB");
	char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED,
		       open("/tmp/oom2", O_RDWR | O_CREAT, 0600), 0);
	check(truncate("/tmp/oom2", MIB) == 0 && in_child(p[5] = 1) == 128 + SIGBUS,
	      "a page of a file that cannot be had is SIGBUS");
	munmap(p, MIB);
	check(system("rm /tmp/oom /tmp/oom2 /oom") == 0, "rm makes room");
}

/* ---- Stress --------------------------------------------------------------------------------- */

static uint64_t stress_end;

static bool more(void)
{
	return now_ns() < stress_end;
}

static void taker(void)
{
	adjust("oom_score_adj", 300); /* before the ones that look after them */
	for (size_t n = 1; more(); n++)
		if (!take(n * 64 * 1024 % (2 * MIB) + PAGE, n % 4 ? MAP_PRIVATE : MAP_SHARED))
			sleep_ms(1);
}

static void keep_taking(void)
{
	while (more()) {
		pid_t pid = child(taker);
		if (pid > 0)
			status_of(pid);
		else
			sleep_ms(5);
	}
}

static void keep_writing(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/stress%d", getpid());
	while (more()) {
		int err = fill(path);
		if (err != ENOSPC && err != ENOMEM && err != EFAULT)
			_exit(3);
		unlink(path);
	}
}

static void keep_forking(void)
{
	while (more()) {
		pid_t all[8];
		for (int i = 0; i < 8; i++) {
			all[i] = fork();
			if (all[i] == 0) {
				take(256 * 1024, MAP_PRIVATE);
				_exit(0);
			}
		}
		for (int i = 0; i < 8; i++)
			if (all[i] > 0)
				status_of(all[i]);
	}
}

static void (*const jobs[])(void) = {keep_taking,  keep_taking,  keep_taking,
				     keep_writing, keep_writing, keep_forking};
#define JOBS (sizeof(jobs) / sizeof(jobs[0]))

static int stress(long seconds)
{
	pid_t pids[JOBS];
	int worst = 0;

	stress_end = now_ns() + (uint64_t)seconds * 1000000000u;
	for (unsigned i = 0; i < JOBS; i++)
		pids[i] = child(jobs[i]);
	for (unsigned i = 0; i < JOBS; i++) {
		int status = pids[i] > 0 ? status_of(pids[i]) : 0;
		if (status && status != 137)
			worst = status;
	}
	system("rm -f /tmp/stress*");
	return worst;
}

static long settled(const char *name, long wanted, long slack)
{
	long value = 0;

	for (int i = 0; i < 100; i++) {
		value = number_in("/proc/meminfo", name);
		if (labs(value - wanted) <= slack)
			break;
		sleep_ms(30);
	}
	return value;
}

int main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 20;

	test_files();
	adjust("oom_score_adj", -1000);
	if (in_child(adjust("oom_score_adj", 0); test_choice(); test_shared(); test_full_files();
		     fflush(stdout); _exit(tap_failed)))
		tap_failed++;
	in_child(adjust("oom_score_adj", 0); stress(1)); /* caches and stacks have their size */
	long free = number_in("/proc/meminfo", "MemFree:");
	long anonymous = number_in("/proc/meminfo", "AnonPages:");
	long cached = number_in("/proc/meminfo", "Cached:");
	long committed = number_in("/proc/meminfo", "Committed_AS:");
	int worst = in_child(adjust("oom_score_adj", 0); _exit(stress(seconds)));
	check(worst == 0 || worst == 137, "%ld seconds at the edge (%d)", seconds, worst);
	long now = settled("AnonPages:", anonymous, 0);
	check(now == anonymous, "private pages as before (%ld, %ld kB)", anonymous, now);
	now = settled("Cached:", cached, 0);
	check(now == cached, "pages of files as before (%ld, %ld kB)", cached, now);
	now = settled("Committed_AS:", committed, 0);
	check(now == committed, "promises as before (%ld, %ld kB)", committed, now);
	now = settled("MemFree:", free, 256);
	check(now >= free - 256, "free memory as before (%ld, %ld kB)", free, now);
	return tap_end();
}
