/*
 * The whole kernel as a Linux process: all modules, the real scheduler, the kernel's own tests.
 *
 *	kernel_host [--cpus N] [--mem MIB] [--seed N] [--threads] [--interleave N] [--spurious N]
 *	            [--initrd FILE] [WORD...]
 *	kernel_host --malloc      what the C library's heap costs here, to compare with kbench
 *
 * The WORDs are the kernel's command line ("ktest", "ktest=waitq", "kcrash=bug"). Ends with the
 * kernel's exit status.
 */
#include <hal/upcall.h>
#include <host/host.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *file_read(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	void *data = nullptr;

	if (!f || fseek(f, 0, SEEK_END) != 0) {
		perror(path);
		exit(2);
	}
	*size = (size_t)ftell(f);
	rewind(f);
	data = malloc(*size);
	if (fread(data, 1, *size, f) != *size) {
		perror(path);
		exit(2);
	}
	fclose(f);
	return data;
}

static uint64_t nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* As tests/kernel/bench.c does it: the least of three loops after a first one. */
static void bench_malloc(size_t size)
{
	enum { ROUNDS = 100000 };
	uint64_t best = UINT64_MAX;

	for (int round = 0; round < 4; round++) {
		uint64_t start = nanoseconds();
		for (int i = 0; i < ROUNDS; i++) {
			void *volatile block = malloc(size);
			free(block);
		}
		uint64_t took = nanoseconds() - start;
		if (round > 0 && took < best)
			best = took;
	}
	printf("bench malloc_free_%zu %.1f ns\n", size, (double)best / ROUNDS);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--malloc") == 0) {
		bench_malloc(128);
		bench_malloc(1000);
		return 0;
	}
	static char line[4096];
	struct host_config config = {
		.cpus = 4, .seed = 1, .interleave = 20, .asid_bits = 8, .command_line = line};

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;
		if (strcmp(argv[i], "--cpus") == 0 && more) {
			config.cpus = (cpu_t)atoi(argv[++i]);
		} else if (strcmp(argv[i], "--mem") == 0 && more) {
			config.ram_size = strtoull(argv[++i], nullptr, 0) << 20;
		} else if (strcmp(argv[i], "--seed") == 0 && more) {
			config.seed = strtoull(argv[++i], nullptr, 0);
		} else if (strcmp(argv[i], "--interleave") == 0 && more) {
			config.interleave = (unsigned)atoi(argv[++i]);
		} else if (strcmp(argv[i], "--spurious") == 0 && more) {
			config.spurious = (unsigned)atoi(argv[++i]);
		} else if (strcmp(argv[i], "--initrd") == 0 && more) {
			config.initrd = file_read(argv[++i], &config.initrd_size);
		} else if (strcmp(argv[i], "--threads") == 0) {
			config.mode = HOST_THREADS;
		} else {
			snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s",
				 line[0] ? " " : "", argv[i]);
		}
	}
	if (config.mode == HOST_THREADS)
		config.interleave = config.spurious = 0;
	core_boot_main(host_boot(&config));
}
