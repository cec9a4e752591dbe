/*
 * What is freed later (after a grace period) must not pile up: on each CPU a program opens and closes files as
 * fast as it can, the kernel's slabs stay small, and who watches them gets its turns.
 */
#include "numbers.h"
#include "tap.h"
#include <fcntl.h>
#include <signal.h>

#define CHILDREN_MAX 64
#define MOST                                                                                       \
	98304 /* KiB more than before: as much as comes while a CPU stands still; 230 MiB without limit */

int main(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN),
	     count = cpus > CHILDREN_MAX ? CHILDREN_MAX : cpus;
	pid_t children[CHILDREN_MAX];
	long before = number_in("/proc/meminfo", "Slab:"), most = 0;

	for (long i = 0; i < count; i++) {
		children[i] = fork();
		for (; children[i] == 0;)
			close(open("/dev/null", O_RDONLY));
	}
	for (int i = 0; i < 30; i++) {
		usleep(100000);
		long now = number_in("/proc/meminfo", "Slab:");
		most = now > most ? now : most;
	}
	for (long i = 0; i < count; i++) {
		kill(children[i], SIGKILL);
		status_of(children[i]);
	}
	check(before > 0 && most > 0 && most - before < MOST, "%s", "slabs stay small");
	printf("# %ld KiB before, %ld at most\n", before, most);
	return tap_end();
}
