/*
 * Protection keys: rights by thread, kept over signals, forks and execs, obeyed by the kernel's
 * copies; and the errors where the CPU has none.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define NO_ACCESS 1u
#define NO_WRITE 2u
#define RW (PROT_READ | PROT_WRITE)

static int key_alloc(unsigned long flags, unsigned long rights)
{
	return (int)syscall(SYS_pkey_alloc, flags, rights);
}

static int key_free(int key)
{
	return (int)syscall(SYS_pkey_free, key);
}

static int key_protect(void *p, size_t size, int prot, int key)
{
	return (int)syscall(SYS_pkey_mprotect, p, size, prot, key);
}

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

#if defined(__x86_64__)

static unsigned rights_read(void)
{
	unsigned low, high;

	__asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static void rights_write(unsigned value)
{
	__asm__ volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory");
}

static void set(int key, unsigned denied)
{
	rights_write((rights_read() & ~(3u << 2 * key)) | denied << 2 * key);
}

static unsigned get(int key)
{
	return rights_read() >> 2 * key & 3;
}

/* ---- Faults ---- */

static sigjmp_buf back;
static volatile int fault_code, fault_key;
static void *volatile fault_at;
static volatile unsigned handler_rights;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	handler_rights = rights_read();
	fault_code = info->si_code;
	fault_at = info->si_addr;
	memcpy((void *)&fault_key, (char *)info + 32, sizeof(fault_key));
	siglongjmp(back, 1);
}

static bool reads(volatile char *p)
{
	unsigned rights = rights_read();
	if (sigsetjmp(back, 1)) {
		rights_write(rights);
		return false;
	}
	(void)*p;
	return true;
}

static bool writes(volatile char *p)
{
	unsigned rights = rights_read();
	if (sigsetjmp(back, 1)) {
		rights_write(rights);
		return false;
	}
	*p = 1;
	return true;
}

static void catch (void (*fn)(int, siginfo_t *, void *), int signo)
{
	struct sigaction a = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaction(signo, &a, NULL);
}

static void test_rights(char *p, int key)
{
	check(get(0) == 0, "key 0 gives all");
	check(get(key) == 0 && reads(p) && writes(p), "a new key gives what was asked");
	set(key, NO_WRITE);
	check(reads(p) && !writes(p), "not to be written");
	check(fault_code == 4 && fault_key == key && fault_at == p,
	      "SEGV_PKUERR with the key and the address");
	check(handler_rights == 0x55555554, "the handler has key 0 alone");
	set(key, NO_ACCESS);
	check(!reads(p) && fault_code == 4 && !writes(p), "no access");
	check(reads(p + 2 * PAGE) && writes(p + 2 * PAGE), "the next region is free of it");
	set(key, 0);
	check(reads(p) && writes(p), "all again");
	char *q = map(1);
	set(key, NO_ACCESS);
	check(key_protect(q, PAGE, RW, key) == 0 && !reads(q) && fault_code == 4,
	      "a page that nobody touched");
	check(key_protect(q, PAGE, RW, 0) == 0 && reads(q) && writes(q), "key 0 again");
	*q = 5;
	check(key_protect(q, PAGE, PROT_READ, key) == 0, "a key and fewer rights");
	set(key, 0);
	check(reads(q) && *q == 5 && !writes(q) && fault_code == SEGV_ACCERR,
	      "what the region forbids is no fault of the key");
	check(mprotect(q, PAGE, RW) == 0 && writes(q), "mprotect");
	set(key, NO_ACCESS);
	check(!reads(q), "leaves the key");
	set(key, 0);
	munmap(q, PAGE);
}

static void test_copies(char *p, int key)
{
	int fd = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY), ends[2];
	char c = 'x';

	check(pipe(ends) == 0, "a pipe");
	p[0] = 'p';
	set(key, NO_WRITE);
	check(read(fd, p, 10) == -1 && errno == EFAULT, "read(2) does not write there");
	check(write(ends[1], p, 1) == 1 && read(ends[0], &c, 1) == 1 && c == 'p',
	      "write(2) may read");
	set(key, NO_ACCESS);
	check(write(ends[1], p, 1) == -1 && errno == EFAULT, "write(2) does not read there");
	check(open(p, O_RDONLY) == -1 && errno == EFAULT, "nor does open(2)");
	set(key, 0);
	check(read(fd, p, 10) == 10, "with rights it goes");
	close(fd);
	close(null);
	close(ends[0]);
	close(ends[1]);
}

/* ---- Threads, signals, children ---- */

struct view {
	int key;
	char *page;
	unsigned at_start, later;
	bool good;
};

static void *thread(void *arg)
{
	struct view *v = arg;

	v->at_start = get(v->key);
	v->good = true;
	for (int i = 0; i < 2000; i++) {
		unsigned want = (unsigned)i % 3;
		set(v->key, want);
		if (i % 50 == 0)
			sched_yield();
		v->good &= get(v->key) == want;
	}
	set(v->key, NO_ACCESS);
	return NULL;
}

static void test_threads(char *p, int key)
{
	struct view v[4];
	pthread_t t[4];

	set(key, NO_WRITE);
	for (int i = 0; i < 4; i++) {
		v[i] = (struct view){.key = key, .page = p};
		pthread_create(&t[i], NULL, thread, &v[i]);
	}
	bool inherited = true, good = true, mine = true;
	for (int i = 0; i < 2000; i++)
		mine &= get(key) == NO_WRITE;
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		inherited &= v[i].at_start == NO_WRITE;
		good &= v[i].good;
	}
	check(inherited, "threads begin with their maker's rights");
	check(good && mine && get(key) == NO_WRITE, "each has its own");
	set(key, 0);
}

static volatile unsigned in_handler;
static int handled_key;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	in_handler = rights_read();
	set(handled_key, 0);
}

static void on_touch(int signo, siginfo_t *info, void *context)
{
	volatile char here[64] = {1};

	in_handler = (unsigned)here[0];
}

static void test_signals(char *p, int key)
{
	stack_t stack = {.ss_sp = map(8), .ss_size = 8 * PAGE};

	handled_key = key;
	catch (on_signal, SIGUSR1);
	set(key, NO_WRITE);
	raise(SIGUSR1);
	check(in_handler == 0x55555554, "a handler begins with key 0");
	check(get(key) == NO_WRITE, "what it gives itself ends with it");
	set(key, 0);
	sigaltstack(&stack, NULL);
	key_protect(stack.ss_sp, 8 * PAGE, RW, key);
	set(key, NO_ACCESS);
	check(in_child(raise(SIGUSR1)) == 0,
	      "the frame is laid and taken whatever the key of the stack");
	check(in_child(catch (on_touch, SIGUSR1); raise(SIGUSR1)) == 128 + SIGSEGV,
	      "but the handler has no rights to it");
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	set(key, 0);
	munmap(stack.ss_sp, 8 * PAGE);
}

/* The saved rights lie in the frame's XSAVE area, where CPUID says. */
static void on_edit(int signo, siginfo_t *info, void *context)
{
	unsigned a = 13, b, c = 9, d;
	char *area = (char *)((ucontext_t *)context)->uc_mcontext.fpregs;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	memcpy((void *)&in_handler, area + b, sizeof(in_handler));
	unsigned all = 0;
	memcpy(area + b, &all, sizeof(all));
	*(unsigned long *)(area + 512) |= 0x200;
}

static void test_frame(char *p, int key)
{
	catch (on_edit, SIGUSR2);
	set(key, NO_ACCESS);
	unsigned before = rights_read();
	raise(SIGUSR2);
	check(in_handler == before, "the frame tells the rights");
	check(rights_read() == 0, "and gives those that a handler writes into it");
	set(key, 0);
	rights_write(0x55555554);
	set(key, 0);
}

static void test_children(char *p, int key, const char *self)
{
	set(key, NO_WRITE);
	check(in_child({
		      if (get(key) != NO_WRITE || writes(p) || key_free(key) || key_free(key) == 0)
			      _exit(1);
	      }) == 0,
	      "a child has rights and keys of its own");
	check(in_child(execl(self, self, "rights", NULL)) == 0, "a new program has key 0 alone");
	set(key, 0);
}

static void test_numbers(void)
{
	int keys[16], count = 0;

	while (count < 16 && (keys[count] = key_alloc(0, 0)) > 0)
		count++;
	int error = errno;
	check(count == 15 && error == ENOSPC, "15 keys besides 0");
	for (int i = 0; i < count; i++)
		key_free(keys[i]);
	check(key_alloc(1, 0) == -1 && errno == EINVAL, "no flags");
	check(key_alloc(0, 4) == -1 && errno == EINVAL, "no such rights");
	check(key_free(3) == -1 && errno == EINVAL, "free twice");
	check(key_free(16) == -1 && errno == EINVAL && key_free(-2) == -1, "no such key");
	char *p = map(1);
	check(key_protect(p, PAGE, RW, 3) == -1 && errno == EINVAL, "a key that is not given");
	check(key_protect(p, PAGE, RW, 77) == -1 && errno == EINVAL, "or does not exist");
	check(key_protect(p + 1, PAGE, RW, 0) == -1 && errno == EINVAL, "misaligned");
	check(key_protect(p, 0, RW, 3) == 0, "nothing");
	munmap(p, PAGE);
}

/* ProtectionKey of the region that begins at or holds `at`; -1: not told. */
static int key_in_smaps(const char *at)
{
	char line[300];
	unsigned long start, end;
	bool here = false;
	int key = -1;
	FILE *f = fopen("/proc/self/smaps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, '-'))
			here = (unsigned long)at >= start && (unsigned long)at < end;
		if (here)
			sscanf(line, "ProtectionKey: %d", &key);
	}
	if (f)
		fclose(f);
	return key;
}

static void test_keys(const char *self)
{
	char *p = map(4);
	int key;

	catch (on_fault, SIGSEGV);
	test_numbers();
	key = key_alloc(0, 0);
	check(key > 0 && key_protect(p, 2 * PAGE, RW, key) == 0, "a key for two pages");
	check(key_in_smaps(p) == key && key_in_smaps(p + 2 * PAGE) == 0, "smaps tells it");
	test_rights(p, key);
	test_copies(p, key);
	test_threads(p, key);
	test_signals(p, key);
	test_frame(p, key);
	test_children(p, key, self);
	check(key_free(key) == 0, "given back");
	key = key_alloc(0, NO_ACCESS);
	check(key > 0 && get(key) == NO_ACCESS, "allocated without access");
	munmap(p, 4 * PAGE);
}

static bool rights_are_new(void)
{
	return rights_read() == 0x55555554;
}

#else

static void test_keys(const char *self)
{
	check(false, "there is a key, and this program does not know how to use it");
}

static bool rights_are_new(void)
{
	return false;
}

#endif

/* riscv64 has not the calls at all. */
#if defined(__riscv)
#define NO_KEY ENOSYS
#define NO_CALL(result) ((result) == -1 && errno == ENOSYS)
#else
#define NO_KEY ENOSPC
#define NO_CALL(result) ((result) == 0)
#endif

static void test_without(void)
{
	char *p = map(1);

	check(key_alloc(0, 0) == -1 && errno == NO_KEY, "no key");
	check(key_free(0) == -1 && errno == (NO_KEY == ENOSPC ? EINVAL : ENOSYS), "none to free");
	check(key_protect(p, PAGE, RW, 1) == -1 && errno == (NO_KEY == ENOSPC ? EINVAL : ENOSYS),
	      "none to protect with");
	check(NO_CALL(key_protect(p, PAGE, PROT_READ, -1)), "-1 is mprotect");
	munmap(p, PAGE);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "rights"))
		return !rights_are_new();
	int key = key_alloc(0, 0);
	if (key > 0) {
		key_free(key);
		test_keys(argv[0]);
	} else {
		test_without();
	}
	return tap_end();
}
