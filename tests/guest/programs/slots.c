/* Hot swap: who gives the numbers of /dev/counter is exchanged while four readers take them. Each number has to
 * be given once, whatever happens in between. */
#define _GNU_SOURCE
#include "cpus.h"
#include "module.h"
#include "tap.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define READERS 4
#define NUMBERS (64ul << 20)

struct shared {
	_Atomic bool stop;
	_Atomic uint64_t taken, twice, failed;
	_Atomic uint64_t seen[NUMBERS / 64];
};

static struct shared *shared;

static bool fails(long result, int error)
{
	return result < 0 && errno == error;
}

static long load(const char *name)
{
	return module_load(name, "");
}

static long unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK);
}

/* "SLOT PROVIDER [fail=STEP]" */
static long swap(const char *text)
{
	int fd = open("/sys/kernel/slots", O_WRONLY | O_CLOEXEC);
	long result = write(fd, text, strlen(text));
	int error = errno;

	close(fd);
	errno = error;
	return result < 0 ? -1 : 0;
}

/* The line of the slot: provider and figures. */
static bool slot_is(const char *provider, unsigned long *swaps, unsigned long *rollbacks, bool say)
{
	char name[32], kind[32], current[32], line[256];
	unsigned long last, middle, most;
	bool found = false;
	FILE *f = fopen("/sys/kernel/slots", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %31s %31s %lu %lu %lu %lu %lu", name, kind, current, swaps,
			   rollbacks, &last, &middle, &most) != 8 ||
		    strcmp(name, "counter") != 0)
			continue;
		found = strcmp(current, provider) == 0 && strcmp(kind, "driver") == 0;
		if (say)
			printf("# %lu swaps, %lu rolled back, pause: median %lu us, most %lu us\n",
			       *swaps, *rollbacks, middle, most);
	}
	if (f)
		fclose(f);
	return found;
}

static void reader(int cpu)
{
	uint64_t n[4];
	int fd = open("/dev/counter", O_RDONLY);

	keep_on(0, cpu);
	while (!shared->stop) {
		if (shared->taken > NUMBERS / 2)
			usleep(1000); /* they have to last */
		ssize_t got = read(fd, n, sizeof(n));
		if (got <= 0) {
			shared->failed++;
			continue;
		}
		for (size_t i = 0; i < (size_t)got / 8; i++) {
			uint64_t bit = 1ull << (n[i] % 64);
			if (n[i] >= NUMBERS) {
				shared->failed++;
				continue;
			}
			shared->twice += (shared->seen[n[i] / 64] & bit) != 0;
			shared->seen[n[i] / 64] |= bit;
		}
		shared->taken += (uint64_t)got / 8;
	}
	close(fd);
}

static void readers(pid_t pids[READERS])
{
	fflush(stdout);
	for (int i = 0; i < READERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			reader(i);
			_exit(0);
		}
	}
}

/* Every number up to the last one was given. */
static bool complete(void)
{
	for (uint64_t i = 0; i < shared->taken; i++)
		if (!(shared->seen[i / 64] & 1ull << (i % 64)))
			return false;
	return true;
}

/* Waits until the readers have read since. */
static void let_read(void)
{
	for (uint64_t before = shared->taken, i = 0; shared->taken == before && i < 5000; i++)
		usleep(100);
}

static void under_load(void)
{
	static const char *const steps[] = {"init", "quiesce", "export", "import", "switch"};
	unsigned long swaps = 0, rollbacks = 0;
	pid_t pids[READERS];
	/* With one CPU each swap waits for the readers' turns. */
	unsigned rounds = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 100 : 20, failed = 0;
	char text[64];

	readers(pids);
	let_read();
	for (unsigned i = 0; i < rounds; i++) {
		failed += swap("counter locked") != 0;
		let_read();
		failed += swap("counter atomic") != 0;
		let_read();
	}
	check(failed == 0 && slot_is("atomic", &swaps, &rollbacks, true) && swaps == 2 * rounds &&
		      rollbacks == 0,
	      "swapped %u times there and back under load", rounds);
	failed = 0;
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "counter locked fail=%s", steps[i % 5]);
		failed += !fails(swap(text), EIO);
		let_read();
	}
	check(failed == 0 && slot_is("atomic", &swaps, &rollbacks, false) && swaps == 2 * rounds &&
		      rollbacks == 50,
	      "each step failed ten times, and the old one went on");
	shared->stop = true;
	for (int i = 0; i < READERS; i++)
		failed += status_of(pids[i]) != 0;
	printf("# %lu numbers\n", (unsigned long)shared->taken);
	check(failed == 0 && shared->failed == 0 && shared->twice == 0,
	      "no number was given twice");
	check(shared->taken > 0 && complete(), "no number was lost");
}

/* Two that swap at once: one of them may be told to come again. */
static void in_the_middle(void)
{
	unsigned long swaps, rollbacks;
	unsigned failed = 0;
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 200; i++)
			if (swap(i % 2 ? "counter atomic" : "counter locked") && errno != EBUSY)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 200; i++)
		failed += swap(i % 2 ? "counter locked" : "counter atomic") && errno != EBUSY;
	check(failed == 0 && status_of(pid) == 0, "two that swap at once");
	check(swap("counter atomic") == 0 && slot_is("atomic", &swaps, &rollbacks, false),
	      "the slot is whole");
}

/* Somebody stays inside for longer than a swap waits: it is told so, and the old one goes on. */
static void never_quiet(void)
{
	unsigned long swaps, rollbacks;
	uint64_t n = 0;

	check(module_load("counter", "linger=2500 first=100") == 0 && load("countlock") == 0,
	      "a provider that does not become quiet");
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open("/dev/counter", O_RDONLY);
		_exit(read(fd, &n, sizeof(n)) != sizeof(n) || n != 100);
	}
	usleep(500000);
	pid_t other = fork();
	if (other == 0) {
		usleep(500000);
		_exit(!fails(swap("counter locked"), EBUSY));
	}
	check(fails(swap("counter locked"), ETIMEDOUT), "a swap gives up after a second");
	check(status_of(other) == 0, "a swap in the middle of it is refused");
	check(slot_is("atomic", &swaps, &rollbacks, false) && swaps == 0 && rollbacks == 1 &&
		      status_of(pid) == 0,
	      "who was inside got its number");
	check(in_child(int fd = open("/dev/counter", O_RDONLY);
		       _exit(read(fd, &n, sizeof(n)) != sizeof(n) || n != 101)) == 0,
	      "the state is intact");
	check(swap("counter locked") == 0 && swap("counter atomic") == 0,
	      "later it can be swapped");
	check(unload("countlock") == 0 && unload("counter") == 0, "and unloaded");
}

int main(void)
{
	unsigned long swaps, rollbacks;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	check(load("counter") == 0 && slot_is("atomic", &swaps, &rollbacks, false),
	      "a driver brings a slot");
	check(fails(swap("counter locked"), ENOENT), "there is no such provider yet");
	check(load("countlock") == 0, "another module brings it");
	check(fails(swap("nothing locked"), ENOENT), "there is no such slot");
	check(fails(swap("counter"), EINVAL) && fails(swap("counter locked fail=never"), EINVAL),
	      "nonsense is refused");
	check(in_child(int fd = open("/sys/kernel/slots", O_WRONLY); if (setuid(65534)) _exit(9);
		       _exit(write(fd, "counter locked", 14) >= 0 || errno != EPERM)) == 0,
	      "swapping is for the privileged");
	under_load();
	in_the_middle();
	check(swap("counter locked") == 0 && fails(unload("countlock"), EAGAIN),
	      "the module of the current provider stays");
	check(fails(unload("counter"), EAGAIN), "so does that of the slot");
	check(swap("counter atomic") == 0 && unload("countlock") == 0 && unload("counter") == 0,
	      "they go when they are not used");
	check(!slot_is("atomic", &swaps, &rollbacks, false), "the slot went too");
	never_quiet();
	return tap_end();
}
