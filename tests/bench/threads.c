/* Threads, and signals that the program sends to itself. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUTEX_WAIT_PRIVATE 128 /* of the kernel ABI */
#define FUTEX_WAKE_PRIVATE 129

static pthread_t partner;
static _Atomic int turn; /* whose it is: 0 ours, 1 the partner's, 2 the end */
static sigjmp_buf back;
static char *forbidden;

static void *nothing_to_do(void *unused)
{
	return unused;
}

static int create_join(unsigned long n)
{
	while (n--) {
		pthread_t t;
		int err = pthread_create(&t, NULL, nothing_to_do, NULL);
		if (err)
			return err;
		pthread_join(t, NULL);
	}
	return 0;
}

void turn_start(void)
{
	atomic_store(&turn, 0);
}

void turn_wait(int whose)
{
	while (atomic_load(&turn) == whose)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, whose, NULL, NULL, 0);
}

void turn_give(int whose)
{
	atomic_store(&turn, whose);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void *turn_answer(void *unused)
{
	for (;;) {
		turn_wait(0);
		if (atomic_load(&turn) == 2)
			return unused;
		turn_give(0);
	}
}

static int futex_setup(void)
{
	turn_start();
	return pthread_create(&partner, NULL, turn_answer, NULL);
}

static int futex_round_trip(unsigned long n)
{
	while (n--) {
		turn_give(1);
		turn_wait(1);
	}
	return 0;
}

static void futex_end(void)
{
	turn_give(2);
	pthread_join(partner, NULL);
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

static void jump_back(int signo)
{
	siglongjmp(back, 1);
}

static int fault_setup(void)
{
	/* No mask to restore: the jump out of the handler needs no call. */
	struct sigaction action = {.sa_handler = jump_back, .sa_flags = SA_NODEFER};

	forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (forbidden == MAP_FAILED)
		return errno;
	return sigaction(SIGSEGV, &action, NULL) != 0 ? errno : 0;
}

static int fault_handled(unsigned long n)
{
	volatile unsigned long left = n;

	while (left) {
		if (sigsetjmp(back, 0) == 0)
			*(volatile char *)forbidden = 1;
		left--;
	}
	return 0;
}

static void fault_end(void)
{
	signal(SIGSEGV, SIG_DFL);
	munmap(forbidden, PAGE);
}

static const struct benchmark table[] = {
	{"thread_create_join", "create a thread that ends, join it", 300, NULL, create_join, NULL},
	{"futex_round_trip", "wake another thread and wait for its answer", 1000, futex_setup,
	 futex_round_trip, futex_end},
	{"signal_self", "kill to itself with a handler", 2000, signal_setup, signal_self, NULL},
	{"sigsegv_handler", "forbidden access, handler that jumps out", 2000, fault_setup,
	 fault_handled, fault_end},
};
const struct group thread_group = {table, sizeof(table) / sizeof(table[0])};
