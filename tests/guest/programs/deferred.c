/*
 * What is freed later (after a grace period) must not pile up: four programs open and close files as fast
 * as they can, and the kernel's slabs stay small.
 */
#include "numbers.h"
#include "tap.h"
#include <fcntl.h>
#include <signal.h>

#define CHILDREN 4
#define MOST                                                                                       \
	98304 /* KiB more than before: as much as comes while a CPU stands still; 230 MiB without limit */

int main(void)
{
	pid_t children[CHILDREN];
	long before = number_in("/proc/meminfo", "Slab:"), most = 0;

	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		for (; children[i] == 0;)
			close(open("/dev/null", O_RDONLY));
	}
	for (int i = 0; i < 30; i++) {
		usleep(100000);
		long now = number_in("/proc/meminfo", "Slab:");
		most = now > most ? now : most;
	}
	for (int i = 0; i < CHILDREN; i++) {
		kill(children[i], SIGKILL);
		status_of(children[i]);
	}
	check(before > 0 && most > 0 && most - before < MOST, "%s", "slabs stay small");
	printf("# %ld KiB before, %ld at most\n", before, most);
	return tap_end();
}
