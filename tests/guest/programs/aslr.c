/*
 * Address space layout: runs itself some hundred times and counts the bits of page numbers that differ.
 * Then with randomize_va_space 1 and 0, and with the personality that setarch -R sets: there nothing may.
 *
 * What Linux gives by default, in bits: mmap and PIE 28 (x86_64) or 18 (aarch64, riscv64), stack 22 or 18,
 * brk 13 or 18. Tern gives 28, 22 and 18; where user addresses have 38 bits (Sv39) 24, 18 and 18. A sum of
 * random numbers can differ in one bit more.
 */
#define _GNU_SOURCE
#include "numbers.h"
#include "tap.h"
#include <elf.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#define RUNS 200
#define SETTING "/proc/sys/kernel/randomize_va_space"

enum { STACK, MMAP, PROGRAM, HEAP, PLACES };
static const char *const names[PLACES] = {"stack", "mmap", "program", "heap"};

extern char end[];

/* What one run says of itself. */
static int report(char **argv)
{
	unsigned long at[PLACES] = {
		[STACK] = (unsigned long)argv,
		[MMAP] = (unsigned long)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					     0),
		[PROGRAM] = (unsigned long)&report,
		/* From the end of the program: that is its own randomness. */
		[HEAP] = (unsigned long)syscall(SYS_brk, 0) - (unsigned long)end,
	};

	return write(1, at, sizeof(at)) != sizeof(at);
}

static bool run_once(unsigned long at[PLACES])
{
	int fds[2];

	if (pipe(fds))
		return false;
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(fds[1], 1);
		close(fds[0]);
		execl("/proc/self/exe", "aslr", "report", NULL);
		_exit(9);
	}
	close(fds[1]);
	bool good = read(fds[0], at, PLACES * sizeof(*at)) == (ssize_t)(PLACES * sizeof(*at));
	close(fds[0]);
	return status_of(pid) == 0 && good;
}

/* Bits of page numbers that differ between runs. */
static bool measure(unsigned runs, unsigned bits[PLACES])
{
	unsigned long first[PLACES], at[PLACES], differ[PLACES] = {};

	if (!run_once(first))
		return false;
	for (unsigned i = 1; i < runs; i++) {
		if (!run_once(at))
			return false;
		for (unsigned k = 0; k < PLACES; k++)
			differ[k] |= at[k] ^ first[k];
	}
	for (unsigned k = 0; k < PLACES; k++)
		bits[k] = (unsigned)__builtin_popcountl(differ[k] >> 12);
	return true;
}

static bool is_pie(void)
{
	Elf64_Ehdr h;
	int fd = open("/proc/self/exe", O_RDONLY);
	bool pie = read(fd, &h, sizeof(h)) == sizeof(h) && h.e_type == ET_DYN;

	close(fd);
	return pie;
}

static bool nothing_differs(void)
{
	unsigned bits[PLACES];

	return measure(8, bits) && bits[STACK] + bits[MMAP] + bits[PROGRAM] + bits[HEAP] == 0;
}

int main(int argc, char **argv)
{
	bool wide = (unsigned long)&argc >> 40, pie = is_pie();
	const unsigned least[PLACES] = {wide ? 22 : 18, wide ? 28 : 24,
					!pie   ? 0
					: wide ? 28
					       : 24,
					18};
	unsigned bits[PLACES] = {};

	if (argc > 1)
		return report(argv);
	check(number_in(SETTING, "") == 2, "randomize_va_space is 2");
	check(measure(RUNS, bits), "%d runs", RUNS);
	for (unsigned k = 0; k < PLACES; k++)
		check(bits[k] >= least[k] && (least[k] || !bits[k]), "%s: %u bits, at least %u",
		      names[k], bits[k], least[k]);
	check(write_number(SETTING, 1) && measure(16, bits) && bits[HEAP] == 0 && bits[STACK] &&
		      bits[MMAP],
	      "1: all but the heap");
	check(write_number(SETTING, 0) && nothing_differs(), "0: nothing is random");
	check(!write_number(SETTING, 3) && write_number(SETTING, 2), "there is no 3; back to 2");
	check(personality(0xffffffff) == 0, "an ordinary personality");
	check(personality(ADDR_NO_RANDOMIZE) == 0 && personality(0xffffffff) == ADDR_NO_RANDOMIZE &&
		      nothing_differs(),
	      "ADDR_NO_RANDOMIZE: nothing is random");
	check(personality(0) == ADDR_NO_RANDOMIZE && measure(16, bits) && bits[MMAP],
	      "and without it, it is again");
	return tap_end();
}
