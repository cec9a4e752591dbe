/* Tern's own calls, 500 to 504: figures that must be true, and structures that must be refused. */
#include "tap.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <tern/domain.h>
#include <tern/tern.h>

static void sched_stats(void)
{
	struct tern_sched_stats all = {.size = sizeof(all), .cpu = TERN_ALL_CPUS}, one, later;
	uint64_t switches = 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	check(syscall(TERN_NR_SCHED_STATS, &all) == 0, "500 answers");
	check(all.size == sizeof(all) && all.cpus == cpus && all.scheduler[0], "500 fills in");
	for (uint32_t cpu = 0; cpu < all.cpus; cpu++) {
		one = (struct tern_sched_stats){.size = sizeof(one), .cpu = cpu};
		check(syscall(TERN_NR_SCHED_STATS, &one) == 0 && one.cpu == cpu, "500 of CPU %u",
		      cpu);
		switches += one.switches;
	}
	usleep(50000);
	later = (struct tern_sched_stats){.size = sizeof(later), .cpu = TERN_ALL_CPUS};
	check(syscall(TERN_NR_SCHED_STATS, &later) == 0 && later.switches > all.switches,
	      "a sleep is a switch");
	check(switches >= all.switches && switches <= later.switches, "the CPUs add up");
	check(later.user_ns + later.system_ns + later.idle_ns >
		      all.user_ns + all.system_ns + all.idle_ns,
	      "time passes");
	one.cpu = 63;
	check(syscall(TERN_NR_SCHED_STATS, &one) == -1 && errno == EINVAL, "no CPU 63");
	one.cpu = 1u << 31;
	check(syscall(TERN_NR_SCHED_STATS, &one) == -1 && errno == EINVAL, "no CPU 2^31");
}

static void reserved(void)
{
	check(syscall(TERN_NR_HOT_RELOAD, 0) == -1 && errno == EFAULT, "501 wants a structure");
	check(syscall(TERN_NR_SELF_HEAL, 0) == -1 && errno == EFAULT, "502 wants a structure");
	check(syscall(507, 0) == -1 && errno == ENOSYS, "507 is nothing");
}

static void benchmark(void)
{
	struct tern_benchmark b, list;
	unsigned count = 0;
	int last;

	for (;; count++) {
		list = (struct tern_benchmark){.size = sizeof(list), .index = count};
		if (syscall(TERN_NR_BENCHMARK, &list) != 0) {
			last = errno;
			break;
		}
		b = (struct tern_benchmark){.size = sizeof(b), .rounds = 20};
		memcpy(b.name, list.name, sizeof(b.name));
		check(syscall(TERN_NR_BENCHMARK, &b) == 0 && b.rounds == 20 && b.total_ns > 0 &&
			      strcmp(b.what, list.what) == 0,
		      "503 runs %s", list.name);
	}
	check(last == ENOENT && count >= 8, "503 lists");
	b = (struct tern_benchmark){.size = sizeof(b), .name = "clock"};
	check(syscall(TERN_NR_BENCHMARK, &b) == 0 && b.rounds > 100, "503 chooses the rounds");
	struct tern_benchmark more = {
		.size = sizeof(more), .name = "clock", .rounds = b.rounds * 50};
	check(syscall(TERN_NR_BENCHMARK, &more) == 0 && more.total_ns > b.total_ns,
	      "more rounds take longer");
	b = (struct tern_benchmark){.size = sizeof(b), .name = "nonsense"};
	check(syscall(TERN_NR_BENCHMARK, &b) == -1 && errno == ENOENT, "503 without such a name");
	b = (struct tern_benchmark){.size = sizeof(b), .name = "clock", .rounds = 1000001};
	check(syscall(TERN_NR_BENCHMARK, &b) == -1 && errno == EINVAL, "503 with too many rounds");
	memset(b.name, 'x', sizeof(b.name));
	b.rounds = 1;
	check(syscall(TERN_NR_BENCHMARK, &b) == -1 && errno == EINVAL,
	      "503 with a name without end");
}

static void info(void)
{
	struct tern_info i = {.size = sizeof(i)};
	struct utsname u;

	uname(&u);
	check(syscall(TERN_NR_INFO, &i) == 0 && i.size == sizeof(i), "504 answers");
	check(strcmp(i.release, u.release) == 0 && strcmp(i.machine, u.machine) == 0,
	      "504 agrees with uname");
	check((i.features & TERN_FEATURE_INFO) && (i.features & TERN_FEATURE_HOT_RELOAD) &&
		      (i.features & TERN_FEATURE_SELF_HEAL),
	      "504 tells what is there");
	check(i.boot_ns > 0 && i.version[0] && i.frames[0] && i.compiler[0] &&
		      i.cpus == sysconf(_SC_NPROCESSORS_ONLN),
	      "504 fills in");
}

/* What is wrong with a structure, on each of the calls that are there. */
static void hostile(long number, size_t first)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t *size = (uint32_t *)map;

	mprotect(map + page, (size_t)page, PROT_NONE);
	check(syscall(number, NULL) == -1 && errno == EFAULT, "%ld: null", number);
	check(syscall(number, -4096L) == -1 && errno == EFAULT, "%ld: kernel address", number);
	*size = 0;
	check(syscall(number, map) == -1 && errno == EINVAL, "%ld: size 0", number);
	*size = (uint32_t)first - 1;
	check(syscall(number, map) == -1 && errno == EINVAL, "%ld: a byte short", number);
	*size = (uint32_t)page + 1;
	check(syscall(number, map) == -1 && errno == E2BIG, "%ld: more than a page", number);
	*size = UINT32_MAX;
	check(syscall(number, map) == -1 && errno == E2BIG, "%ld: size 2^32-1", number);
	*size = (uint32_t)page;
	check(syscall(number, map) == 0 && *size == first, "%ld: larger than known", number);
	memset(map, 0, (size_t)page);
	*size = (uint32_t)first + 8;
	map[first + 3] = 1;
	check(syscall(number, map) == -1 && errno == E2BIG, "%ld: an unknown field is set", number);
	memset(map, 0, (size_t)page);
	char *end = map + page - first;
	*(uint32_t *)end = (uint32_t)first;
	check(syscall(number, end) == 0, "%ld: up to the end of memory", number);
	end += 8;
	*(uint32_t *)end = (uint32_t)first;
	check(syscall(number, end) == -1 && errno == EFAULT, "%ld: over the end of memory", number);
	memset(map, 0, (size_t)page);
	*(uint32_t *)(map + page - first) = (uint32_t)first;
	mprotect(map, (size_t)page, PROT_READ);
	check(syscall(number, map + page - first) == -1 && errno == EFAULT, "%ld: read-only memory",
	      number);
	munmap(map, 2 * (size_t)page);
}

int main(void)
{
	sched_stats();
	reserved();
	benchmark();
	info();
	hostile(TERN_NR_SCHED_STATS, TERN_SCHED_STATS_FIRST);
	hostile(TERN_NR_BENCHMARK, TERN_BENCHMARK_FIRST);
	hostile(TERN_NR_INFO, TERN_INFO_FIRST);
	hostile(TERN_NR_SELF_HEAL, TERN_SELF_HEAL_FIRST);
	hostile(TERN_NR_INTENT, TERN_INTENT_FIRST);
	hostile(TERN_NR_DOMAIN, TERN_DOMAIN_FIRST);
	return tap_end();
}
