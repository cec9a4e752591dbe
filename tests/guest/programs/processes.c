/* Processes: fork, exec, wait, groups, sessions, vfork, exit, resource use, the auxiliary vector. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

extern char **environ;
static char self[200];
static char *volatile nowhere = (char *)8;

static char vfork_stack[16384] __attribute__((aligned(16)));

static int set_five(void *where)
{
	sleep_ms(20);
	*(volatile int *)where = 5;
	_exit(9);
}

static void test_fork_and_wait(void)
{
	int status;

	check(in_child(_exit(42)) == 42, "a child's status");
	check(in_child(raise(SIGTERM)) == 143, "a child's signal");
	check(waitpid(-1, &status, 0) < 0 && errno == ECHILD, "no child: ECHILD");
	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		_exit(1);
	}
	check(waitpid(pid, &status, WNOHANG) == 0, "WNOHANG does not wait");
	siginfo_t info = {};
	check(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == pid &&
		      info.si_status == 1 && info.si_code == CLD_EXITED,
	      "waitid looks");
	check(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 1,
	      "and the child is still there");
	int sum = 0;
	for (int i = 0; i < 50; i++)
		if (fork() == 0)
			_exit(i);
	for (int i = 0; i < 50; i++)
		sum += wait(&status) > 0 ? WEXITSTATUS(status) : 10000;
	check(sum == 49 * 25, "fifty children");
	check(in_child({
		      pid_t p = getpid();
		      _exit(in_child(_exit(getppid() == p && getpid() != p)));
	      }) == 1,
	      "getppid");
	volatile int where = 0;
	pid = clone(set_five, vfork_stack + sizeof(vfork_stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
		    (void *)&where);
	check(where == 5 && status_of(pid) == 9, "CLONE_VFORK shares until exit");
}

static void test_exec(void)
{
	char *args[] = {"name", "exec-check", "two words", "", NULL};
	char *env[] = {"A=1", "B=x y", NULL};

	check(in_child(execve(self, args, env)) == 77, "execve passes arguments and environment");
	check(in_child({
		      int fd = open("/dev/null", O_RDONLY);
		      dup3(fd, 60, O_CLOEXEC);
		      dup2(fd, 61);
		      char *a[] = {"name", "fd-check", NULL};
		      execve(self, a, env);
	      }) == 78,
	      "close-on-exec closes");
	check(in_child({
		      signal(SIGUSR1, SIG_IGN);
		      signal(SIGUSR2, (void (*)(int))test_exec);
		      char *a[] = {"name", "signal-check", NULL};
		      execve(self, a, env);
	      }) == 79,
	      "handlers are reset, ignored signals stay");
	check(execve("/no/such", args, env) < 0 && errno == ENOENT, "ENOENT");
	check(execve("/", args, env) < 0 && errno == EACCES, "a folder: EACCES");
	int fd = open("not-a-program", O_CREAT | O_WRONLY, 0755);
	check(write(fd, "garbage garbage", 15) == 15 && close(fd) == 0 &&
		      execve("not-a-program", args, env) < 0 && errno == ENOEXEC,
	      "ENOEXEC");
	chmod("not-a-program", 0644);
	check(execve("not-a-program", args, env) < 0 && errno == EACCES, "no x bit: EACCES");
	unlink("not-a-program");
	check(execve(nowhere, args, env) < 0 && errno == EFAULT, "EFAULT");
	char **many = calloc(70001, sizeof(char *));
	for (int i = 0; i < 70000; i++)
		many[i] = "an argument that is repeated so often that no system can take them all, "
			  "ever";
	check(execve(self, many, env) < 0 && errno == E2BIG, "E2BIG");
	free(many);
}

static int after_exec(char **argv)
{
	if (strcmp(argv[1], "exec-check") == 0)
		return strcmp(argv[2], "two words") == 0 && argv[3][0] == 0 && !argv[4] &&
				       strcmp(getenv("A"), "1") == 0 &&
				       strcmp(getenv("B"), "x y") == 0 && !environ[2]
			       ? 77
			       : 1;
	if (strcmp(argv[1], "fd-check") == 0)
		return fcntl(60, F_GETFD) < 0 && fcntl(61, F_GETFD) == 0 ? 78 : 1;
	struct sigaction a, b;
	sigaction(SIGUSR1, NULL, &a);
	sigaction(SIGUSR2, NULL, &b);
	return a.sa_handler == SIG_IGN && b.sa_handler == SIG_DFL ? 79 : 1;
}

static void test_groups(void)
{
	check(in_child({
		      setpgid(0, 0);
		      _exit(getpgrp() == getpid());
	      }) == 1,
	      "a group of its own");
	check(in_child(_exit(setsid() == getpid() && getsid(0) == getpid() && setsid() < 0)) == 1,
	      "a session of its own");
	int p[2];
	char c;
	if (pipe(p))
		return;
	pid_t leader = fork();
	if (leader == 0) {
		setpgid(0, 0);
		for (int i = 0; i < 3; i++)
			if (fork() == 0)
				break;
		close(p[0]);
		if (write(p[1], "x", 1) == 1)
			for (;;)
				sleep_ms(1000);
		_exit(1);
	}
	close(p[1]);
	int got = 0;
	while (got < 4 && read(p[0], &c, 1) == 1)
		got++;
	check(got == 4 && kill(-leader, SIGKILL) == 0, "a signal to a group");
	check(read(p[0], &c, 1) == 0, "ends all its members");
	close(p[0]);
	check(status_of(leader) == 137, "the leader too");
}

static void test_identity(void)
{
	struct utsname name;
	struct rusage usage;
	char comm[16] = "";

	check(uname(&name) == 0 && name.sysname[0] && name.release[0], "uname (%s %s)",
	      name.sysname, name.release);
	check(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_RANDOM) && getauxval(AT_PHDR) &&
		      getauxval(AT_ENTRY) && getauxval(AT_CLKTCK) == 100,
	      "the auxiliary vector");
	check((getauxval(AT_UID) | 1) == ((unsigned long)getuid() | 1) && !getauxval(AT_SECURE),
	      "AT_UID");
	check(prctl(PR_SET_NAME, "renamed") == 0 && prctl(PR_GET_NAME, comm) == 0 &&
		      strcmp(comm, "renamed") == 0,
	      "PR_SET_NAME");
	volatile unsigned long spin = 0;
	uint64_t start = now_ns();
	while (now_ns() - start < 60000000)
		spin++;
	check(getrusage(RUSAGE_SELF, &usage) == 0 &&
		      usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec +
				      usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec >
			      10000,
	      "time is charged");
	struct timespec a, b;
	check(clock_gettime(CLOCK_REALTIME, &a) == 0 && a.tv_sec > 1500000000, "the date is sane");
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 10000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &b);
		if (b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec))
			break;
		a = b;
	}
	check(a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec, "the clock never goes back");
	cpu_set_t set;
	check(sched_getaffinity(0, sizeof(set), &set) == 0 &&
		      CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN),
	      "the CPUs");
	check(syscall(9999) < 0 && errno == ENOSYS, "an unknown call: ENOSYS");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return after_exec(argv);
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	check(n > 0, "/proc/self/exe");
	test_fork_and_wait();
	test_exec();
	test_groups();
	test_identity();
	return tap_end();
}
