/* Takes all memory there is. The end is an error or a kill, never the machine. Only for a guest. */
#define _GNU_SOURCE
#include "tap.h"
#include <sys/mman.h>

#define STEP (4ul << 20)

static char *take(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	return p;
}

static int take_all(void)
{
	size_t got = 0;

	while (take(STEP))
		got++;
	return got > 4 ? 50 : 51;
}

int main(void)
{
	for (int i = 0; i < 3; i++) {
		int end = in_child(_exit(take_all()));
		check(end == 50 || end == 137, "memory runs out in an orderly way (%d)", end);
		check(in_child(_exit(take(2 * STEP) ? 7 : 8)) == 7,
		      "and is there again afterwards");
	}
	return tap_end();
}
