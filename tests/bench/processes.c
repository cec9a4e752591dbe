/* Processes and what they say to each other. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int ping[2], pong[2];
static pid_t partner;

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

static int round_trip_setup(void)
{
	if (pipe(ping) != 0 || pipe(pong) != 0)
		return errno;
	partner = fork();
	if (partner < 0)
		return errno;
	if (partner == 0) {
		char c;
		close(ping[1]);
		close(pong[0]);
		while (read(ping[0], &c, 1) == 1)
			if (write(pong[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	close(ping[0]);
	close(pong[1]);
	return 0;
}

static int round_trip(unsigned long n)
{
	char c = 0;

	while (n--)
		if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
			return errno;
	return 0;
}

static void round_trip_end(void)
{
	close(ping[1]);
	close(pong[0]);
	waitpid(partner, NULL, 0);
}

static int reap(pid_t pid)
{
	int status;

	if (pid < 0)
		return errno;
	if (waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ECHILD;
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

static int start_self(pid_t (*start)(void))
{
	static char *const argv[] = {"bench", "--exit", NULL};
	pid_t pid = start();

	if (pid == 0) {
		execve("/proc/self/exe", argv, (char *const[]){NULL});
		_exit(127);
	}
	return reap(pid);
}

static int fork_exec(unsigned long n)
{
	while (n--) {
		int err = start_self(fork);
		if (err)
			return err;
	}
	return 0;
}

static int vfork_exec(unsigned long n)
{
	static char *const argv[] = {"bench", "--exit", NULL};

	while (n--) {
		pid_t pid = vfork();
		if (pid == 0) {
			execve("/proc/self/exe", argv, (char *const[]){NULL});
			_exit(127);
		}
		int err = reap(pid);
		if (err)
			return err;
	}
	return 0;
}

static void nothing(int signo)
{
}

static int signal_setup(void)
{
	return signal(SIGUSR1, nothing) == SIG_ERR ? errno : 0;
}

static int signal_self(unsigned long n)
{
	pid_t self = getpid();

	while (n--)
		if (kill(self, SIGUSR1) != 0)
			return errno;
	return 0;
}

const struct benchmark process_benchmarks[] = {
	{"pipe_self", "1 byte through a pipe to itself", 5000, pipe_self_setup, pipe_self, pipe_self_end},
	{"pipe_round_trip", "1 byte to another process and back", 2000, round_trip_setup, round_trip,
	 round_trip_end},
	{"fork_exit_wait", "fork, exit, wait", 100, NULL, fork_exit, NULL},
	{"fork_exec_wait", "fork, exec, exit, wait", 60, NULL, fork_exec, NULL},
	{"vfork_exec_wait", "vfork, exec, exit, wait", 60, NULL, vfork_exec, NULL},
	{"signal_self", "kill to itself with a handler", 2000, signal_setup, signal_self, NULL},
};
const size_t process_benchmark_count = sizeof(process_benchmarks) / sizeof(process_benchmarks[0]);
