/* Signals: handlers, masks, restart, alternate stacks, fault addresses, stop and continue, timers. */
#define _GNU_SOURCE
#include "tap.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>

static volatile sig_atomic_t seen, seen_value;
static void *volatile fault_address;
static volatile int fault_code;
static sigjmp_buf back;
static char *volatile handler_stack;
static volatile char *volatile nowhere = (char *)8;

static void note(int sig)
{
	seen++;
	seen_value = sig;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	char here;

	fault_address = info->si_addr;
	fault_code = info->si_code;
	handler_stack = &here;
	seen_value = sig;
	siglongjmp(back, 1);
}

static void on_info(int sig, siginfo_t *info, void *context)
{
	seen++;
	seen_value = info->si_value.sival_int;
}

static void install(int sig, void (*handler)(int), int flags)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = flags};

	sigaction(sig, &a, NULL);
}

static void test_handlers(void)
{
	sigset_t set, old, pending;

	install(SIGUSR1, note, 0);
	raise(SIGUSR1);
	check(seen == 1 && seen_value == SIGUSR1, "a handler runs");

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	raise(SIGUSR1);
	sigpending(&pending);
	check(seen == 1 && sigismember(&pending, SIGUSR1), "a blocked signal waits");
	sigprocmask(SIG_SETMASK, &old, NULL);
	check(seen == 2, "and comes once when unblocked");

	struct sigaction a = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
	sigaction(SIGRTMIN, &a, NULL);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, &old);
	seen = 0;
	for (int i = 0; i < 3; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 40 + i});
	sigprocmask(SIG_SETMASK, &old, NULL);
	check(seen == 3 && seen_value == 42, "real-time signals queue, with values");

	install(SIGUSR2, note, SA_RESETHAND);
	raise(SIGUSR2);
	check(in_child(raise(SIGUSR2)) == 128 + SIGUSR2, "SA_RESETHAND");
	install(SIGUSR1, SIG_IGN, 0);
	check(raise(SIGUSR1) == 0, "an ignored signal does nothing");
	check(kill(getpid(), 0) == 0 && kill(-12345, 0) < 0 && errno == ESRCH, "kill asks");
}

/* A read that a signal interrupts after 20 ms, and that data ends after 60 ms. */
static ssize_t interrupted_read(int flags)
{
	int p[2];
	char c;

	install(SIGALRM, note, flags);
	if (pipe(p))
		return -2;
	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(20);
		kill(getppid(), SIGALRM);
		sleep_ms(40);
		_exit(write(p[1], "x", 1) != 1);
	}
	errno = 0;
	ssize_t n = read(p[0], &c, 1);
	int err = errno;
	status_of(pid);
	close(p[0]);
	close(p[1]);
	errno = err;
	return n;
}

static void test_interrupted(void)
{
	sigset_t set;
	struct timespec wait = {0, 50000000};

	check(interrupted_read(SA_RESTART) == 1, "SA_RESTART goes on reading");
	check(interrupted_read(0) == -1 && errno == EINTR, "without it the read is interrupted");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(20);
		_exit(kill(getppid(), SIGUSR2));
	}
	siginfo_t info;
	check(sigwaitinfo(&set, &info) == SIGUSR2 && info.si_pid == pid,
	      "sigwaitinfo names the sender");
	status_of(pid);
	check(sigtimedwait(&set, &info, &wait) < 0 && errno == EAGAIN, "sigtimedwait gives up");

	seen = 0;
	install(SIGALRM, note, 0);
	struct itimerval t = {{0, 10000}, {0, 10000}};
	setitimer(ITIMER_REAL, &t, NULL);
	sigset_t none;
	sigemptyset(&none);
	while (seen < 3)
		sigsuspend(&none);
	t = (struct itimerval){};
	setitimer(ITIMER_REAL, &t, NULL);
	check(seen >= 3, "an interval timer repeats");
}

static bool faults(volatile char *at, bool write_to, int code)
{
	seen_value = 0;
	if (sigsetjmp(back, 1) == 0) {
		if (write_to)
			*at = 1;
		else
			(void)*at;
		return false;
	}
	return seen_value == SIGSEGV && fault_address == (void *)at && fault_code == code;
}

static int recurse(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	if (n < 0)
		return 0;
	return recurse(n + 1) + room[0];
}

static void test_faults(void)
{
	static char other[65536];
	stack_t stack = {.ss_sp = other, .ss_size = sizeof(other)};
	struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &a, NULL);
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(faults((char *)0x10, false, SEGV_MAPERR), "reading near null tells the address");
	check(faults(page + 5, true, SEGV_ACCERR), "writing a read-only page tells it too");
	check(faults((char *)0xffffffff80000000ul, false, SEGV_MAPERR) || seen_value == SIGSEGV,
	      "the kernel cannot be read");
	if (sigsetjmp(back, 1) == 0)
		recurse(0);
	check(seen_value == SIGSEGV && handler_stack > other &&
		      handler_stack < other + sizeof(other),
	      "endless recursion ends on the alternate stack");
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	install(SIGSEGV, SIG_DFL, 0);
	check(in_child(*nowhere = 1) == 139, "the default is death");
	check(in_child(recurse(0)) == 139, "also for endless recursion");
	check(in_child(__builtin_trap()) > 128, "an illegal instruction kills");
	check(in_child(((void (*)(void))page)()) == 139, "data cannot be executed");
	check(in_child(((void (*)(void))nowhere)()) == 139, "nor can nothing");
	check(in_child(abort()) == 134, "abort");
}

static void test_stop(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			sleep_ms(1000);
	kill(pid, SIGSTOP);
	check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) &&
		      WSTOPSIG(status) == SIGSTOP,
	      "a stop is reported");
	kill(pid, SIGCONT);
	check(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status),
	      "a continuation too");
	kill(pid, SIGSTOP);
	kill(pid, SIGKILL);
	check(status_of(pid) == 137, "a stopped process can be killed");

	install(SIGCHLD, note, 0);
	seen = 0;
	pid = fork();
	if (pid == 0)
		_exit(3);
	check(status_of(pid) == 3 && seen == 1, "SIGCHLD comes");
	install(SIGCHLD, SIG_IGN, 0);
	pid = fork();
	if (pid == 0)
		_exit(0);
	check(waitpid(pid, &status, 0) < 0 && errno == ECHILD, "ignored children need no wait");
	install(SIGCHLD, SIG_DFL, 0);
}

/* ---- One alarm, set by many threads at once, and by processes that end ---- */

static atomic_bool enough;

static void *sets_alarms(void *arg)
{
	uint64_t x = (uint64_t)(intptr_t)arg;

	while (!enough) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		long span = (long)(x >> 33) % 200;
		struct itimerval t = {{0, span % 3 ? span : 0}, {0, span}};
		setitimer(ITIMER_REAL, &t, NULL);
	}
	return NULL;
}

/* Whatever became of the alarms, every thread that sleeps wakes up. */
static void test_alarms(void)
{
	struct itimerval often = {{0, 20}, {0, 20}}, none = {{0, 0}, {0, 0}};
	pthread_t t[4];
	int good = 0;

	install(SIGALRM, note, SA_RESTART);
	for (intptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, sets_alarms, (void *)(i + 1));
	for (uint64_t end = now_ns() + 500000000; now_ns() < end;)
		sleep_ms(1);
	enough = true;
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &none, NULL);
	sig_atomic_t before = seen;
	sleep_ms(20);
	check(before > 0 && seen == before, "one alarm, set by four threads (%d signals)",
	      (int)before);
	for (int i = 0; i < 200; i++)
		good += in_child(setitimer(ITIMER_REAL, &often, NULL);
				 for (int k = 0; k < i * 20; k++) getppid(); _exit(5)) == 5;
	check(good == 200, "processes end with an alarm running (%d of 200)", good);
}

int main(void)
{
	test_handlers();
	test_interrupted();
	test_faults();
	test_stop();
	test_alarms();
	install(SIGPIPE, SIG_IGN, 0);
	int p[2];
	check(pipe(p) == 0 && close(p[0]) == 0 && write(p[1], "x", 1) < 0 && errno == EPIPE,
	      "EPIPE");
	return tap_end();
}
