/*
 * /dev/mem: the registers of a device of the emulated machine, mapped by a program. Which device it is
 * and what it must say is the machine's: the HPET of a PC, the clocks of the other two.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096ul

static sigjmp_buf escape;

static void on_bus_error(int signo)
{
	siglongjmp(escape, signo);
}

#if defined(__x86_64__)
#define DEVICE 0xfed00000ul
#define RAM 0x1000000ul
static bool answers(volatile unsigned *r)
{
	return r[0] >> 16 == 0x8086; /* vendor in the capability register */
}
#elif defined(__aarch64__)
#define DEVICE 0x09010000ul
#define RAM 0x41000000ul
static bool answers(volatile unsigned *r)
{
	return (r[0xfe0 / 4] & 0xff) == 0x31; /* PL031: first identification register */
}
#else
#define DEVICE 0x101000ul
#define RAM 0x81000000ul
static bool answers(volatile unsigned *r)
{
	unsigned low = r[0]; /* latches the high half: nanoseconds since 1970 */
	return r[1] > (1500000000ull * 1000000000ull) >> 32 && low != r[0];
}
#endif

int main(void)
{
	int fd = open("/dev/mem", O_RDWR);

	check(fd >= 0, "/dev/mem opens");
	char c;
	check(read(fd, &c, 1) == -1 && errno == EINVAL, "it cannot be read");
	volatile unsigned *r =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)DEVICE);
	check(r != MAP_FAILED && answers(r), "the device answers");
	check(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, (off_t)DEVICE) == MAP_FAILED &&
		      errno == EINVAL,
	      "no private copy of registers");
	pid_t pid = fork();
	if (pid == 0)
		_exit(answers(r) ? 0 : 1);
	int status;
	check(waitpid(pid, &status, 0) == pid && status == 0, "a child sees it too");
	check(madvise((void *)r, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL && answers(r),
	      "nothing to be dropped");
	check(mprotect((void *)r, PAGE, PROT_NONE) == 0 &&
		      mprotect((void *)r, PAGE, PROT_READ) == 0 && answers(r),
	      "taken away and given back");
	signal(SIGBUS, on_bus_error);
	volatile char *ram = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)RAM);
	int signo = sigsetjmp(escape, 1);
	if (ram != MAP_FAILED && signo == 0)
		c = ram[0];
	check(signo == SIGBUS, "RAM is no device");
	check(munmap((void *)r, PAGE) == 0 && munmap((void *)ram, PAGE) == 0, "unmapped");
	pid = fork();
	if (pid == 0) {
		if (setuid(1000))
			_exit(2);
		_exit(open("/dev/mem", O_RDONLY) == -1 && (errno == EACCES || errno == EPERM) ? 0
											      : 1);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0, "only for the privileged");
	return tap_end();
}
