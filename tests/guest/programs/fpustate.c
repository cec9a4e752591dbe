/*
 * Every register of the unit (vector registers, control, status) stays a thread's own across system
 * calls that switch, move, interrupt, copy and end it; and the lazy unit saves the registers only
 * when another thread needs it: the figures in /proc/PID/sched.
 *
 * keep() loads all registers, makes system calls without touching any, and stores all.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

struct call {
	long number, args[3], result;
};

#if defined(__x86_64__)
#define VECTORS 16
#define VECTOR_SIZE 32
#elif defined(__aarch64__)
#define VECTORS 32
#define VECTOR_SIZE 16
#else
#define VECTORS 32
#define VECTOR_SIZE 8
#endif

struct state {
	_Alignas(64) uint8_t vectors[VECTORS][VECTOR_SIZE];
	uint64_t control, status; /* x86_64: MXCSR, x87's control word */
};

#define EACH_16(X)                                                                                 \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH_32(X)                                                                                 \
	EACH_16(X)                                                                                 \
	X(16)                                                                                      \
	X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

#if defined(__x86_64__)
static int has_avx;

#define LOAD_XMM(n) "movups " #n "*32(%[in]), %%xmm" #n "\n\t"
#define SAVE_XMM(n) "movups %%xmm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_YMM(n) "vmovups " #n "*32(%[in]), %%ymm" #n "\n\t"
#define SAVE_YMM(n) "vmovups %%ymm" #n ", " #n "*32(%[out])\n\t"
#define CLOBBER(n) , "xmm" #n

static __attribute__((noinline)) void keep(const struct state *in, struct state *out,
					   struct call *calls, long count)
{
	const uint32_t mxcsr = 0x1f80;
	const uint16_t word = 0x37f;
	struct call *call = calls;

	asm volatile(
		"test %[avx], %[avx]\n\t"
		"jz 1f\n\t" EACH_16(
			LOAD_YMM) "jmp 2f\n"
				  "1:\t" EACH_16(
					  LOAD_XMM) "2:\tldmxcsr 512(%[in])\n\t"
						    "fldcw 520(%[in])\n"
						    "3:\ttest %[count], %[count]\n\t"
						    "jz 4f\n\t"
						    "mov (%[call]), %%rax\n\t"
						    "mov 8(%[call]), %%rdi\n\t"
						    "mov 16(%[call]), %%rsi\n\t"
						    "mov 24(%[call]), %%rdx\n\t"
						    "xor %%r10d, %%r10d\n\t"
						    "xor %%r8d, %%r8d\n\t"
						    "syscall\n\t"
						    "mov %%rax, 32(%[call])\n\t"
						    "add $40, %[call]\n\t"
						    "dec %[count]\n\t"
						    "jmp 3b\n"
						    "4:\tstmxcsr 512(%[out])\n\t"
						    "fnstcw 520(%[out])\n\t"
						    "test %[avx], %[avx]\n\t"
						    "jz 5f\n\t" EACH_16(
							    SAVE_YMM) "vzeroupper\n\tjmp 6f\n"
								      "5:\t" EACH_16(
									      SAVE_XMM) "6:"
											"\tldmxcsr "
											"%[mxcsr]"
											"\n\t"
											"fldcw "
											"%[word]"
											"\n\t"
		: [call] "+r"(call), [count] "+r"(count)
		: [in] "r"(in), [out] "r"(out), [avx] "r"(has_avx), [mxcsr] "m"(mxcsr),
		  [word] "m"(word)
		: "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r10",
		  "r11" EACH_16(CLOBBER));
}
#elif defined(__aarch64__)
#define LOAD_Q(n) "ldr q" #n ", [%[in], #" #n "*16]\n\t"
#define SAVE_Q(n) "str q" #n ", [%[out], #" #n "*16]\n\t"
#define CLOBBER(n) , "v" #n

static __attribute__((noinline)) void keep(const struct state *in, struct state *out,
					   struct call *calls, long count)
{
	struct call *call = calls;

	asm volatile(EACH_32(LOAD_Q) "add x11, %[in], #512\n\t"
				     "ldp x9, x10, [x11]\n\t"
				     "msr fpcr, x9\n\t"
				     "msr fpsr, x10\n"
				     "1:\tcbz %[count], 2f\n\t"
				     "ldp x8, x0, [%[call]]\n\t"
				     "ldp x1, x2, [%[call], #16]\n\t"
				     "mov x3, xzr\n\t"
				     "mov x4, xzr\n\t"
				     "svc #0\n\t"
				     "str x0, [%[call], #32]\n\t"
				     "add %[call], %[call], #40\n\t"
				     "sub %[count], %[count], #1\n\t"
				     "b 1b\n"
				     "2:\tmrs x9, fpcr\n\t"
				     "mrs x10, fpsr\n\t"
				     "add x11, %[out], #512\n\t"
				     "stp x9, x10, [x11]\n\t" EACH_32(SAVE_Q) "msr fpcr, xzr\n\t"
									      "msr fpsr, xzr\n\t"
		     : [call] "+r"(call), [count] "+r"(count)
		     : [in] "r"(in), [out] "r"(out)
		     : "memory", "cc", "x0", "x1", "x2", "x3", "x4", "x8", "x9", "x10",
		       "x11" EACH_32(CLOBBER));
}
#else
#define LOAD_F(n) "fld f" #n ", " #n "*8(%[in])\n\t"
#define SAVE_F(n) "fsd f" #n ", " #n "*8(%[out])\n\t"
#define CLOBBER(n) , "f" #n

static __attribute__((noinline)) void keep(const struct state *in, struct state *out,
					   struct call *calls, long count)
{
	struct call *call = calls;

	asm volatile(EACH_32(LOAD_F) "ld t0, 256(%[in])\n\t"
				     "fscsr t0\n"
				     "1:\tbeqz %[count], 2f\n\t"
				     "ld a7, 0(%[call])\n\t"
				     "ld a0, 8(%[call])\n\t"
				     "ld a1, 16(%[call])\n\t"
				     "ld a2, 24(%[call])\n\t"
				     "li a3, 0\n\t"
				     "li a4, 0\n\t"
				     "ecall\n\t"
				     "sd a0, 32(%[call])\n\t"
				     "addi %[call], %[call], 40\n\t"
				     "addi %[count], %[count], -1\n\t"
				     "j 1b\n"
				     "2:\tfrcsr t0\n\t"
				     "sd t0, 256(%[out])\n\t" EACH_32(SAVE_F) "fscsr zero\n\t"
		     : [call] "+r"(call), [count] "+r"(count)
		     : [in] "r"(in), [out] "r"(out)
		     : "memory", "t0", "a0", "a1", "a2", "a3", "a4", "a7" EACH_32(CLOBBER));
}
#endif

/* ---- Patterns ---- */

static void pattern(struct state *s, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15 + 1;

	memset(s, 0, sizeof(*s));
	for (int i = 0; i < VECTORS; i++)
		for (int k = 0; k < VECTOR_SIZE; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			s->vectors[i][k] = (uint8_t)x;
		}
#if defined(__x86_64__)
	for (int i = 0; i < VECTORS && !has_avx; i++)
		memset(&s->vectors[i][16], 0, 16);
	s->control = 0x1f80 | (seed & 3) << 13 | (seed >> 2 & 0x3f);
	s->status = 0x37f | (seed & 3) << 10;
#elif defined(__aarch64__)
	s->control = (seed & 3) << 22;
	s->status = seed >> 2 & 0x1f;
#else
	s->control = (seed & 3) << 5 | (seed >> 2 & 0x1f);
#endif
}

/* All registers through these calls. */
static bool kept(uint64_t seed, struct call *calls, long count)
{
	struct state in, out;

	pattern(&in, seed);
	memset(&out, 0, sizeof(out));
	keep(&in, &out, calls, count);
	return memcmp(&in, &out, sizeof(in)) == 0;
}

static struct call move_to(unsigned long *mask, int cpu)
{
	*mask = 1ul << cpu;
	return (struct call){SYS_sched_setaffinity, {0, sizeof(*mask), (long)mask}, 0};
}

static int cpus;
static _Atomic int wrong;

/* ---- Threads ---- */

static void *yields(void *arg)
{
	struct call calls[20];

	for (int i = 0; i < 20; i++)
		calls[i] = (struct call){SYS_sched_yield, {0}, 0};
	for (uint64_t i = 0; i < 100; i++)
		wrong += !kept((uint64_t)(intptr_t)arg * 1000 + i, calls, 1 + (long)i % 20);
	return NULL;
}

static void *wanders(void *arg)
{
	unsigned long masks[4];
	struct call calls[8];

	for (uint64_t i = 0; i < 100; i++) {
		for (int k = 0; k < 4; k++) {
			calls[2 * k] = move_to(&masks[k], (int)((i + (uintptr_t)arg + (uint64_t)k) %
								(uint64_t)cpus));
			calls[2 * k + 1] = (struct call){SYS_sched_yield, {0}, 0};
		}
		wrong += !kept((uint64_t)(intptr_t)arg * 1000 + i, calls, 1 + (long)i % 8);
	}
	return NULL;
}

static void run_threads(void *(*first)(void *), void *(*second)(void *))
{
	pthread_t t[8];

	for (intptr_t i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, i % 2 ? second : first, (void *)(i + 1)))
			exit(1);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
}

/* ---- Signals: the handler has registers of its own, and may move ---- */

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	unsigned long mask;
	struct call calls[1] = {move_to(&mask, handled % cpus)};

	wrong += !kept(77 + (uint64_t)handled, calls, handled % 2);
	handled++;
}

static void *interrupted(void *arg)
{
	unsigned long mask;
	struct call calls[3];

	for (uint64_t i = 0; i < 100; i++) {
		calls[0] = move_to(&mask, (int)(i % (uint64_t)cpus));
		calls[1] = calls[2] =
			(struct call){SYS_tgkill, {getpid(), syscall(SYS_gettid), SIGUSR1}, 0};
		wrong += !kept(i + 5000 * (uint64_t)(intptr_t)arg, &calls[i % 3], 3 - (long)i % 3);
	}
	return NULL;
}

/* ---- Processes ---- */

/* Forks with the registers in use, on another CPU than where they are. */
static bool forks(uint64_t seed)
{
	unsigned long mask;
	struct call calls[3] = {move_to(&mask, (int)(seed % (uint64_t)cpus)),
				{SYS_clone, {SIGCHLD}, 0},
				{SYS_sched_yield, {0}, 0}};
	bool good = kept(seed, &calls[seed % 2], 3 - (long)(seed % 2));

	if (calls[1].result == 0)
		_exit(good ? 0 : 3);
	return calls[1].result > 0 && status_of((pid_t)calls[1].result) == 0 && good;
}

/* Somebody moves it while it forks, also to where its registers are. */
static _Atomic int forking; /* its number, once it runs */
static atomic_bool forked_all;

static void *moves_it(void *arg)
{
	unsigned long mask;

	for (uint64_t i = 0; !forked_all; i++) {
		struct call c = move_to(&mask, (int)(i % (uint64_t)cpus));
		syscall(c.number, forking, c.args[1], c.args[2]);
		for (uint64_t end = now_ns() + i * 7 % 300 * 1000; now_ns() < end;)
			;
	}
	return NULL;
}

static void *forks_often(void *arg)
{
	unsigned long mask;
	struct call calls[2] = {{0}, {SYS_clone, {SIGCHLD}, 0}};
	struct call yield = {SYS_sched_yield, {0}, 0}, later[] = {yield, yield, yield};

	forking = (int)syscall(SYS_gettid);
	for (uint64_t i = 0; i < 100; i++) {
		calls[0] = move_to(&mask, (int)(i % (uint64_t)cpus));
		bool good = kept(i, calls, 2);
		if (calls[1].result == 0)
			_exit(good ? 0 : 3);
		wrong += !good;
		wrong += !kept(i + 1000, later, 3); /* as they are now, not as they were then */
		wrong += calls[1].result <= 0 || status_of((pid_t)calls[1].result) != 0;
	}
	forked_all = true;
	return NULL;
}

static void *competes(void *arg)
{
	struct call yield = {SYS_sched_yield, {0}, 0};

	for (uint64_t i = 0; !forked_all; i++)
		wrong += !kept(i, &yield, 1);
	return NULL;
}

static void moved_in_fork(void)
{
	pthread_t t[6];

	for (int i = 0; i < 6; i++) {
		if (pthread_create(&t[i], NULL,
				   i == 0   ? forks_often
				   : i == 1 ? moves_it
					    : competes,
				   NULL))
			exit(1);
		while (i == 0 && !forking)
			sched_yield();
	}
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
}

/* Ends, or becomes a new program, likewise. */
static int leaves(uint64_t seed, char **argv)
{
	unsigned long mask;
	struct call calls[2] = {move_to(&mask, (int)(seed % (uint64_t)cpus)),
				{SYS_exit_group, {0}, 0}};
	char *words[] = {argv[0], "fresh", NULL}, *none[] = {NULL};

	if (seed % 2)
		calls[1] = (struct call){SYS_execve, {(long)argv[0], (long)words, (long)none}, 0};
	return in_child(kept(seed, calls, 2); _exit(9));
}

/* A program begins with nothing of what was in the registers. */
static int fresh(void)
{
	uint32_t bad = 0;
#if defined(__x86_64__)
	uint32_t mxcsr;
	uint16_t word;
	asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(word));
	bad = (mxcsr & 0xffc0) != 0x1f80 || word != 0x37f;
#elif defined(__aarch64__)
	uint64_t control;
	asm volatile("mrs %0, fpcr" : "=r"(control));
	bad = control != 0;
#else
	uint64_t control;
	asm volatile("frcsr %0" : "=r"(control));
	bad = (control & 0xe0) != 0;
#endif
	return bad ? 4 : 0;
}

/* ---- The figures ---- */

struct figures {
	long switches, saves, loads, traps;
};

static long figure(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? atol(at + strlen(name) + 3) : -1;
}

static struct figures figures_now(void)
{
	char text[1024] = "";
	int fd = open("/proc/self/sched", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	return (struct figures){figure(text, "nr_switches"), figure(text, "fpu_saves"),
				figure(text, "fpu_loads"), figure(text, "fpu_traps")};
}

#define SWITCHES 40 /* at least; a policy may let a thread go on that yields */

/* Computes beside three processes that all stay on this CPU and do the same or touch no register. */
static struct figures beside(bool computing)
{
	struct call yield = {SYS_sched_yield, {0}, 0};
	pid_t child[3];

	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		for (uint64_t k = 0; child[i] == 0; k++)
			if (!computing)
				syscall(SYS_sched_yield);
			else if (!kept(k, &yield, 1))
				_exit(1);
	}
	for (int i = 0; i < 20; i++) /* they have all begun */
		syscall(SYS_sched_yield);
	struct figures before = figures_now(), after;
	uint64_t i = 0;
	do {
		for (uint64_t end = i + 100; i < end; i++)
			wrong += !kept(i, &yield, 1);
		after = figures_now();
	} while (after.switches - before.switches < SWITCHES && i < 4000);
	for (int i = 0; i < 3; i++) {
		kill(child[i], SIGKILL);
		wrong += status_of(child[i]) != 128 + SIGKILL;
	}
	return (struct figures){after.switches - before.switches, after.saves - before.saves,
				after.loads - before.loads, after.traps - before.traps};
}

static void count(void)
{
	unsigned long mask;
	struct call here = move_to(&mask, 0);

	if (figures_now().traps < 0)
		return; /* not this kernel */
	kept(1, &here, 1);
	struct figures alone = beside(false);
	check(alone.switches >= SWITCHES && alone.saves <= 5 && alone.loads <= 5 &&
		      alone.traps <= 5,
	      "beside threads that do not compute: %ld switches, %ld saves, %ld loads, %ld traps",
	      alone.switches, alone.saves, alone.loads, alone.traps);
	struct figures many = beside(true);
	check(many.switches >= SWITCHES && many.saves >= many.switches / 2 &&
		      many.loads >= many.switches / 2 && many.traps <= many.switches / 10,
	      "beside threads that compute: %ld switches, %ld saves, %ld loads, %ld traps",
	      many.switches, many.saves, many.loads, many.traps);
	check(wrong == 0, "with the right registers");
}

int main(int argc, char **argv)
{
	struct sigaction a = {.sa_handler = handler};
	cpu_set_t all;
	int good;

	if (argc > 1 && !strcmp(argv[1], "fresh"))
		return fresh();
#if defined(__x86_64__)
	has_avx = __builtin_cpu_supports("avx") != 0;
#endif
	sched_getaffinity(0, sizeof(all), &all);
	cpus = CPU_COUNT(&all);
	check(kept(1, NULL, 0), "registers are what they were set to");
	run_threads(yields, yields);
	check(wrong == 0, "eight threads give way to each other");
	run_threads(wanders, wanders);
	check(wrong == 0, "eight threads move between %d CPUs", cpus);
	sigaction(SIGUSR1, &a, NULL);
	interrupted(NULL);
	check(wrong == 0 && handled >= 100, "handlers have their own registers");
	run_threads(wanders, interrupted);
	check(wrong == 0, "threads are interrupted and moved");
	good = 0;
	for (uint64_t i = 0; i < 40; i++)
		good += forks(i);
	check(good == 40, "children have their parent's registers (%d of 40)", good);
	if (cpus > 1) {
		moved_in_fork();
		check(wrong == 0, "who forks is moved to where its registers are");
	}
	good = 0;
	for (uint64_t i = 0; i < 40; i++)
		good += leaves(i, argv) == 0;
	check(good == 40, "processes end and become others (%d of 40)", good);
	run_threads(wanders, yields);
	check(wrong == 0, "nothing is left of them");
	sched_setaffinity(0, sizeof(all), &all);
	count();
	return tap_end();
}
