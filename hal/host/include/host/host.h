/*
 * The simulated machine: its knobs, and what tests may look at. Kernel code never includes this;
 * tests and the program that boots the kernel on the host do.
 *
 * Two modes. HOST_SIMULATED: all CPUs in one host thread; they take turns, and interrupts arrive,
 * at the points where kernel code calls the HAL, as a seed decides; time is virtual. The same seed
 * gives the same run. HOST_THREADS: a host thread for each CPU, real time, for ThreadSanitizer and
 * for measuring; interrupts are taken at the same points.
 */
#pragma once

#include <hal/hal.h>

enum host_mode { HOST_SIMULATED, HOST_THREADS };

/* All zero is one CPU with 64 MiB, no interleaving. */
struct host_config {
	uint64_t seed;
	enum host_mode mode;
	cpu_t cpus;               /* 0: one */
	uint64_t ram_size;        /* bytes, 0: 64 MiB; at least 16 MiB, at most 4 GiB */
	bool ram_dirty;           /* RAM is full of 0xa5, not zero */
	/* SIMULATED: at one in so many points another CPU goes on; 0: only where one waits or spins. */
	unsigned interleave;
	/* SIMULATED: at one in so many points a timer interrupt that nobody asked for; 0: never. */
	unsigned spurious;
	unsigned levels; /* of page tables: 3 (also 0), 4, 5. With 4 and 5 the kernel half is
				     no address of a process, so only tables can be tested */
	unsigned asid_bits; /* 0: no tags */
	bool split_root, broadcast;
	bool software_access; /* MAP_ACCESSED and MAP_DIRTY are not set by the CPU */
	const char *command_line; /* null: "" */
	const void *initrd; /* becomes the module "initrd"; null: none */
	size_t initrd_size;
};

/* Makes the machine and its boot information. The caller goes on as CPU 0, interrupts off; it must
 * call hal.cpu.set_current before anything that needs a current thread. Once in a process. */
struct boot_info *host_boot(const struct host_config *config);
/* What host_boot was given, with defaults filled in. */
const struct host_config *host_config(void);

/* ---- Memory ------------------------------------------------------------------------------ */

/* RAM at `pa`, apart from any page table; null: there is none. */
void *host_ram(paddr_t pa);

struct host_translation {
	bool ok; /* the access is allowed; `pa` is valid */
	bool present; /* of a fault: an entry was there */
	bool key; /* of a fault: its protection key did not allow the access */
	paddr_t pa;
	map_flags_t flags;
};
/* What `cpu` would do now: by its TLB, then the tables. Changes TLB and accessed bits as it would. */
struct host_translation host_translate(cpu_t cpu, vaddr_t va, enum trap_access access, bool user);

/* A cached translation that grants what the tables do not. */
struct host_stale {
	cpu_t cpu;
	vaddr_t va;
	unsigned level, asid;
	bool table; /* a cached table entry */
	struct pte_parts cached, actual;
};
/* Compares the TLB of each CPU with the tables it uses now; the number of stale entries, the first
 * one in *first (may be null). To be called where every invalidation is reported complete. */
size_t host_tlb_check(struct host_stale *first);
/* Fault injection: the n-th hal.mmu.flush from now on does nothing. 0: off. */
void host_drop_flush(unsigned n);

/* ---- Interrupts, time, console ------------------------------------------------------------- */

void host_irq_raise(unsigned line);
void host_time_advance(nsec_t time); /* SIMULATED */
/* Bytes that a person typed: core_console_input on CPU 0. */
void host_console_type(const char *bytes, size_t count);
/* Also keeps what goes to the console (the last 64 KiB); and does not show it if `quiet`. */
void host_console_capture(bool quiet);
/* What was captured, with an end mark. */
const char *host_console_text(void);
/* Called instead of ending the process; must not return. */
void host_power_hook(void (*hook)(enum hal_power how, int status));

/* ---- Counters ------------------------------------------------------------------------------ */

struct host_counters {
	uint64_t flushes, flushed_pages, publishes, activations, code_syncs;
	uint64_t tlb_hits, tlb_misses, faults;
	uint64_t ipis, interrupts, switches, points, cpu_changes;
};
struct host_counters host_counters(void);
