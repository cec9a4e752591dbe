/* addresses BITS: a program can have addresses of so many bits, those above 47 only where it asks. */
#define _GNU_SOURCE
#include "tap.h"
#include <sys/mman.h>

#define SIZE (4ul << 20)

static uintptr_t map_at(uintptr_t hint, int flags)
{
	char *p = mmap((void *)hint, SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		return 0;
	for (size_t i = 0; i < SIZE; i += 4096)
		p[i] = (char)i;
	return (uintptr_t)p;
}

int main(int argc, char **argv)
{
	int bits = argc > 1 ? atoi(argv[1]) : 47;
	uintptr_t end = 1ul << bits, usual = bits > 48 ? 1ul << 47 : end;
	uintptr_t high = end - (64ul << 20), at = map_at(0, 0);
	int local;

	check(at && at < usual && (uintptr_t)&local < usual && (uintptr_t)main < usual,
	      "what nobody asked for lies below");
	at = map_at(high, 0);
	check(bits > 48 ? at == high : at && at < usual, "a high hint");
	at = map_at(high - (64ul << 20), MAP_FIXED_NOREPLACE);
	check(bits > 48 ? at == high - (64ul << 20) : 1, "a high fixed address");
	check(map_at(end, MAP_FIXED) == 0 && errno == ENOMEM, "none beyond the end");
	at = map_at(usual - SIZE / 2, 0);
	check(at && at + SIZE <= usual, "a hint that would cross the usual end is not followed");
	pid_t pid = fork();
	if (pid == 0) {
		*(volatile char *)(bits > 48 ? high : at) = 7;
		_exit(0);
	}
	check(status_of(pid) == 0 && *(volatile char *)(bits > 48 ? high : at) == 0,
	      "fork copies what is high");
	return tap_end();
}
