/* Processes and what they say to each other. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB64 65536ul
#define MIB 1048576ul

static int ping[2], pong[2], out, in;
static pid_t partner;
static char buffer[KIB64];

static int pipe_self_setup(void)
{
	return pipe(ping) != 0 ? errno : 0;
}

static void pipe_self_end(void)
{
	close(ping[0]);
	close(ping[1]);
}

static int pipe_self(unsigned long n)
{
	char c = 0;

	while (n--)
		if (write(ping[1], &c, 1) != 1 || read(ping[0], &c, 1) != 1)
			return errno;
	return 0;
}

/* The partner answers every `size` bytes with one. */
static void answer(int from, int to, size_t size)
{
	ssize_t got;

	for (size_t left = size; (got = read(from, buffer, left)) > 0;) {
		left -= (size_t)got;
		if (left)
			continue;
		if (write(to, buffer, 1) != 1)
			break;
		left = size;
	}
	_exit(0);
}

static int pipes_setup(size_t size)
{
	if (pipe(ping) != 0 || pipe(pong) != 0)
		return errno;
	partner = fork();
	if (partner < 0)
		return errno;
	if (partner == 0) {
		close(ping[1]);
		close(pong[0]);
		answer(ping[0], pong[1], size);
	}
	close(ping[0]);
	close(pong[1]);
	out = ping[1];
	in = pong[0];
	return 0;
}

static int pipe_byte_setup(void)
{
	return pipes_setup(1);
}

static int pipe_bulk_setup(void)
{
	return pipes_setup(KIB64);
}

static int sockets_setup(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ping) != 0)
		return errno;
	partner = fork();
	if (partner < 0)
		return errno;
	if (partner == 0) {
		close(ping[1]);
		answer(ping[0], ping[0], 1);
	}
	close(ping[0]);
	out = in = ping[1];
	return 0;
}

static int exchange(unsigned long n, size_t size)
{
	char c;

	while (n--) {
		for (size_t left = size; left;) {
			ssize_t put = write(out, buffer, left);
			if (put <= 0)
				return errno;
			left -= (size_t)put;
		}
		if (read(in, &c, 1) != 1)
			return errno;
	}
	return 0;
}

static int round_trip(unsigned long n)
{
	return exchange(n, 1);
}

static int bulk(unsigned long n)
{
	return exchange(n, KIB64);
}

static void exchange_end(void)
{
	if (partner <= 0)
		return;
	close(out);
	if (in != out)
		close(in);
	waitpid(partner, NULL, 0);
	partner = 0;
}

static int fork_exit(unsigned long n)
{
	while (n--) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		int err = reap(pid);
		if (err)
			return err;
	}
	return 0;
}

/* The same with memory that the parent has written to. */
static int fork_dirty(unsigned long n, size_t size, int advice)
{
	bench_pause();
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return errno;
	madvise(area, size, advice);
	for (size_t i = 0; i < size; i += PAGE)
		((volatile char *)area)[i] = 1;
	bench_resume();
	int err = fork_exit(n);
	bench_pause();
	munmap(area, size);
	bench_resume();
	return err;
}

static int fork_1m(unsigned long n)
{
	return fork_dirty(n, MIB, MADV_NOHUGEPAGE);
}

static int fork_64m(unsigned long n)
{
	return fork_dirty(n, 64 * MIB, MADV_NOHUGEPAGE);
}

static int fork_64m_huge(unsigned long n)
{
	return fork_dirty(n, 64 * MIB, MADV_HUGEPAGE);
}

static int fork_256m_huge(unsigned long n)
{
	return fork_dirty(n, 256 * MIB, MADV_HUGEPAGE);
}

static int become(void *unused)
{
	static char *const argv[] = {"bench", "--exit", NULL};

	execve("/proc/self/exe", argv, (char *const[]){NULL});
	_exit(127);
}

static int fork_exec(unsigned long n)
{
	while (n--) {
		pid_t pid = fork();
		if (pid == 0)
			become(NULL);
		int err = reap(pid);
		if (err)
			return err;
	}
	return 0;
}

/* What vfork does, on a stack of the child's own: the vfork of some C libraries is a fork. */
static int vfork_exec(unsigned long n)
{
	static char stack[16384] __attribute__((aligned(16)));

	while (n--) {
		int err = reap(clone(become, stack + sizeof(stack),
				     CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
		if (err)
			return err;
	}
	return 0;
}

static int spawn(unsigned long n)
{
	static char *const argv[] = {"bench", "--exit", NULL};

	while (n--) {
		pid_t pid;
		int err = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv,
				      (char *const[]){NULL});
		if (!err)
			err = reap(pid);
		if (err)
			return err;
	}
	return 0;
}

static const struct benchmark table[] = {
	{"pipe_self", "1 byte through a pipe to itself", 5000, pipe_self_setup, pipe_self,
	 pipe_self_end},
	{"pipe_round_trip", "1 byte by pipe to another process and back", 1000, pipe_byte_setup,
	 round_trip, exchange_end},
	{"unix_round_trip", "1 byte by UNIX socket to another process and back", 1000,
	 sockets_setup, round_trip, exchange_end},
	{"pipe_64k", "64 KiB through a pipe, 1 byte back", 100, pipe_bulk_setup, bulk,
	 exchange_end},
	{"fork_exit_wait", "fork, exit, wait", 60, NULL, fork_exit, NULL},
	{"fork_1m_exit_wait", "the same with 1 MiB dirty", 30, NULL, fork_1m, NULL},
	{"fork_64m_exit_wait", "the same with 64 MiB dirty", 3, NULL, fork_64m, NULL},
	{"fork_64m_huge", "the same in huge pages", 3, NULL, fork_64m_huge, NULL},
	{"fork_256m_huge", "with 256 MiB in huge pages", 3, NULL, fork_256m_huge, NULL},
	{"fork_exec_wait", "fork, exec, exit, wait", 30, NULL, fork_exec, NULL},
	{"vfork_exec_wait", "vfork, exec, exit, wait", 30, NULL, vfork_exec, NULL},
	{"spawn_exec_wait", "posix_spawn, exit, wait", 30, NULL, spawn, NULL},
};
const struct group process_group = {table, sizeof(table) / sizeof(table[0])};
