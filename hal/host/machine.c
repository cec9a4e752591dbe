/*
 * The machine: RAM, the boot information, and what happens when it breaks.
 *
 *   physical  1 MiB .. 15 MiB     RAM (reachable by old DMA); boot information, kernel image
 *             16 MiB ..           RAM, with a hole of 1 MiB below it
 *             4 GiB ..            the last quarter of RAM
 *
 * All of it is one sparse memfd, mapped twice: at host.ram, where the machine itself looks, and as
 * the direct map at the start of the kernel half, where the kernel looks (pieces of RAM only). The
 * kernel's image is 128 KiB of RAM that nothing was loaded into (image.S names its sections).
 */
#define _GNU_SOURCE /* memfd_create */
#include "machine.h"

#include <lib/format.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB 0x100000ull

struct host_machine host;

struct piece {
	paddr_t start, end;
};
static struct piece pieces[3];

void host_die(const char *fmt, ...)
{
	char text[1536];
	va_list args;

	va_start(args, fmt);
	vformat(text, sizeof(text), fmt, args);
	va_end(args);
	fflush(nullptr);
	dprintf(STDERR_FILENO, "host: %s\n", text);
	abort();
}

const struct host_config *host_config(void)
{
	return &host.config;
}

void *host_ram(paddr_t pa)
{
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		if (pa >= pieces[i].start && pa < pieces[i].end)
			return host.ram + pa;
	return nullptr;
}

/* ---- RAM ---------------------------------------------------------------------------------- */

static void pieces_plan(uint64_t size)
{
	uint64_t low = HOST_RAM_LOW_END - HOST_RAM_LOW, high = ALIGN_DOWN(size / 4, 2 * MIB);

	pieces[0] = (struct piece){HOST_RAM_LOW, HOST_RAM_LOW_END};
	pieces[1] = (struct piece){HOST_RAM_MIDDLE, HOST_RAM_MIDDLE + MAX(size - low - high, MIB)};
	pieces[2] = (struct piece){HOST_RAM_HIGH, HOST_RAM_HIGH + high};
	host.span = HOST_RAM_HIGH + high;
}

static void *map_memory(void *at, size_t size, paddr_t pa)
{
	void *p = mmap(at, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED : 0), host.memfd, (off_t)pa);

	if (p == MAP_FAILED)
		host_die("cannot map %zu bytes of RAM", size);
	return p;
}

static void ram_make(void)
{
	host.memfd = memfd_create("tern-ram", MFD_CLOEXEC);
	if (host.memfd < 0 || ftruncate(host.memfd, (off_t)host.span) != 0)
		host_die("cannot make %lu MiB of RAM", host.span / MIB);
	host.ram = map_memory(nullptr, host.span, 0);
	if (host.config.levels == 3)
		host_mirror_init();
	host.direct_map = host.config.levels == 3 ? HOST_KERNEL_START : (vaddr_t)host.ram;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		size_t size = pieces[i].end - pieces[i].start;
		if (size && host.config.levels == 3)
			map_memory((void *)(host.direct_map + pieces[i].start), size,
				   pieces[i].start);
		if (host.config.ram_dirty)
			memset(host.ram + pieces[i].start, 0xa5, size);
	}
}

/* ---- Boot information ----------------------------------------------------------------------- */

#define BLOCK_SIZE 0x10000ull /* boot information, from the first RAM on */

/* Takes `size` bytes of the block. */
static void *block_take(size_t size)
{
	static size_t used;
	void *p = (void *)(host.direct_map + HOST_RAM_LOW + used);

	used += ALIGN_UP(size, 16);
	if (used > BLOCK_SIZE)
		host_die("no room in the boot information");
	return memset(p, 0, size);
}

static void region_add(struct boot_info *info, paddr_t start, paddr_t end,
		       enum boot_memory_kind kind, const char *name)
{
	if (start < end)
		info->regions[info->region_count++] = (struct boot_region){start, end, kind, name};
}

/* In the last frames of the piece from 16 MiB on. */
static void initrd_place(struct boot_info *info)
{
	uint64_t size = ALIGN_UP(host.config.initrd_size, PAGE_SIZE);
	paddr_t start = pieces[1].end - size;

	if (size > pieces[1].end - pieces[1].start)
		host_die("the initrd does not fit into RAM");
	memcpy(host.ram + start, host.config.initrd, host.config.initrd_size);
	info->modules = block_take(sizeof(*info->modules));
	info->modules[info->module_count++] =
		(struct boot_module){start, start + host.config.initrd_size, "initrd"};
	region_add(info, start, start + size, BOOT_MEM_BOOTLOADER, "initrd");
}

static struct boot_info *boot_info_make(void)
{
	struct boot_info *info = block_take(sizeof(*info));
	const char *command_line = host.config.command_line ? host.config.command_line : "";

	info->protocol = "host";
	info->command_line = strcpy(block_take(strlen(command_line) + 1), command_line);
	info->regions = block_take(16 * sizeof(*info->regions));
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		region_add(info, pieces[i].start, pieces[i].end, BOOT_MEM_USABLE, "System RAM");
	region_add(info, HOST_RAM_LOW_END, HOST_RAM_MIDDLE, BOOT_MEM_RESERVED, "Hole");
	region_add(info, HOST_IMAGE_PA, HOST_IMAGE_PA + HOST_IMAGE_SIZE, BOOT_MEM_KERNEL,
		   "Kernel image");
	region_add(info, HOST_RAM_LOW, HOST_RAM_LOW + BLOCK_SIZE, BOOT_MEM_BOOTLOADER,
		   "Boot information");
	if (host.config.initrd)
		initrd_place(info);
	info->cpus = block_take(host.config.cpus * sizeof(*info->cpus));
	info->cpu_count = host.config.cpus;
	for (cpu_t i = 0; i < host.config.cpus; i++)
		info->cpus[i] = (struct boot_cpu){.hardware_id = i, .firmware_id = i};
	info->image_start = HOST_IMAGE_PA;
	info->image_end = HOST_IMAGE_PA + HOST_IMAGE_SIZE;
	info->image_base = HOST_IMAGE_BASE;
	info->direct_map = host.direct_map;
	info->early_start = HOST_RAM_LOW;
	info->early_end = pieces[1].end;
	info->machine = "";
	uint64_t *seed = block_take(32);
	for (int i = 0; i < 4; i++)
		seed[i] = host_random();
	info->seed = seed;
	info->seed_size = 32;
	return info;
}

/* ---- Start ---------------------------------------------------------------------------------- */

static void config_take(const struct host_config *config)
{
	host.config = *config;
	if (host.config.cpus == 0)
		host.config.cpus = 1;
	if (host.config.levels == 0)
		host.config.levels = 3;
	if (host.config.ram_size == 0)
		host.config.ram_size = 64 * MIB;
	if (host.config.cpus > CPU_MAX || host.config.levels < 3 || host.config.levels > 5 ||
	    host.config.ram_size < 16 * MIB || host.config.ram_size > 4096 * MIB ||
	    host.config.asid_bits > 16)
		host_die("host_boot: a knob is out of range");
}

struct boot_info *host_boot(const struct host_config *config)
{
	if (host.ram)
		host_die("host_boot: there is a machine already");
	config_take(config);
	host.random = host.config.seed;
	host.time = NSEC_PER_SEC;
	if (!host_is_simulated()) {
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t);
		host.time = (nsec_t)t.tv_sec * NSEC_PER_SEC + (nsec_t)t.tv_nsec;
	}
	for (unsigned i = 0; i < HOST_LINES; i++)
		atomic_store(&host.line_cpu[i], CPU_NONE);
	for (cpu_t i = 0; i < host.config.cpus; i++) {
		host.cpus[i].index = i;
		host.cpus[i].deadline = NSEC_NEVER;
	}
	pieces_plan(host.config.ram_size);
	host_mmu_init();
	host_cpu_stacks_init();
	ram_make();
	host.cpus[0].started = true;
	host_self_set(&host.cpus[0]);
	return boot_info_make();
}

struct host_counters host_counters(void)
{
	struct host_counters sum = {};
	uint64_t *to = (uint64_t *)&sum;

	for (cpu_t i = 0; i < host.config.cpus; i++) {
		const uint64_t *from = (const uint64_t *)&host.cpus[i].counters;
		for (size_t k = 0; k < sizeof(sum) / sizeof(uint64_t); k++)
			to[k] += from[k];
	}
	return sum;
}
