/*
 * Initialisation as data (IN-1 to IN-5). A subsystem registers one record; core sorts the records
 * by phase, dependencies and priority at boot and starts each when everything it requires has been
 * provided. A cycle or a missing name stops the boot, by name; so does the failure of a subsystem
 * that is not optional, after those that run have been stopped, the last one first.
 */
#pragma once

#include <hal/boot_info.h>
#include <lib/compiler.h>
#include <lib/kerr.h>

enum init_phase { INIT_BOOT, INIT_EARLY, INIT_CORE, INIT_LATE, INIT_RUNTIME };

/* Capabilities (IN-2), as bits. */
#define INIT_CONSOLE (1u << 0)
#define INIT_HEAP (1u << 1)
#define INIT_MEMORY (1u << 2)
#define INIT_INTERRUPTS (1u << 3)
#define INIT_SCHEDULER (1u << 4)
#define INIT_TIMERS (1u << 5)
#define INIT_IPC (1u << 6)
#define INIT_DRIVERS (1u << 7)
#define INIT_FILESYSTEM (1u << 8)
#define INIT_USERSPACE (1u << 9)
#define INIT_NETWORK (1u << 10)
#define INIT_SECURITY (1u << 11)
#define INIT_MODULES (1u << 12)
#define INIT_HOT_RELOAD (1u << 13)
#define INIT_DEBUG (1u << 14)

enum init_state {
	INIT_REGISTERED,
	INIT_INITIALIZING,
	INIT_RUNNING,
	INIT_STOPPING,
	INIT_STOPPED,
	INIT_FAILED,
	INIT_RECOVERING,
};

struct init_ops {
	enum kerr (*init)(const struct boot_info *info);
	enum kerr (*start)(void);        /* may be null: nothing more to do */
	enum kerr (*stop)(void);         /* may be null: cannot be stopped */
	enum kerr (*health_check)(void); /* may be null: not watched */
};

struct init_status { /* (boot CPU until INIT_RUNTIME, then atomic reads) */
	enum init_state state;
	enum kerr error;
	uint32_t order;
	uint64_t started, took; /* ns */
};

struct init_record {
	const char *name;
	enum init_phase phase;
	int priority;             /* among those that are free to start: lower first */
	bool optional;
	uint32_t provides; /* INIT_* bits */
	uint32_t
		requires; /* the same */
	const char *const *depends;  /* names, ended by null; may be null */
	const struct init_ops *ops;
	struct init_status *status;
};

/* INIT_SUBSYSTEM(memory, .phase = INIT_EARLY, .provides = INIT_MEMORY, .init = mm_init); */
#define INIT_SUBSYSTEM(id, ...)                                                                    \
	static struct init_status init_status_##id;                                                \
	static const struct init_record init_record_##id = {                                       \
		.name = #id, .status = &init_status_##id, __VA_ARGS__};                            \
	KEEP static const struct init_record *const init_pointer_##id                              \
		__attribute__((section(".init_records"))) = &init_record_##id
/* clang-format off */
#define INIT_DEPENDS(...) .depends = (const char *const[]){__VA_ARGS__, nullptr}
/* clang-format on */

#define INIT_RECORDS_MAX 64u

/* A set of records and how far it has come. The kernel has one; tests make others. One caller at a time. */
struct init_graph {
	const struct init_record *const *records; /* (const) */
	size_t count;
	bool checked; /* nothing is wrong with the records */
	uint32_t started;
	const struct init_record *order[INIT_RECORDS_MAX]; /* as they were started */
	bool (*inject)(const char *name); /* test: this one's start fails; may be null */
	char why[200]; /* what is wrong, after an error */
};

/* Starts all that is due up to and including `last`. EXIST, NOENT, LOOP, INVAL, TOOBIG: the records are
 * wrong, nothing has started; otherwise the error of the required one that failed: those that ran
 * have been stopped. g->why says it in words, and which those are. */
enum kerr init_graph_run(struct init_graph *g, enum init_phase last, const struct boot_info *info);
/* Stops a running one, those that need it first. NOENT: it does not run; OPNOTSUPP, BUSY: it, or one
 * that needs it, cannot be stopped (those that could have been). */
enum kerr init_graph_stop(struct init_graph *g, const char *name);
/* Stops it if it runs, and starts it and those again that were stopped for it. */
enum kerr init_graph_recover(struct init_graph *g, const char *name, const struct boot_info *info);
/* Stops all that can be stopped, the last started first. */
void init_graph_stop_all(struct init_graph *g);
/* "SCHEDULER IPC"; like format(). */
size_t init_capability_names(uint32_t bits, char *buf, size_t size);

/* Runs all phases up to and including `last`; on the boot CPU. Panics if a required one fails. */
void init_run(enum init_phase last, const struct boot_info *info);
/* The end of the machine: stops what can be stopped. Once, thread context. */
void init_shutdown(void);
/* Stops a subsystem and starts it again, with those that need it. Thread context, one caller (the healer). */
enum kerr init_recover(const char *name);
/* Record number `index` in start order, null past the end; for /sys/kernel/init. */
const struct init_record *init_get(size_t index);
const char *init_state_name(enum init_state state);

/* Times of the boot, as time_now() counts: the kernel's first instruction, and the first of a
 * program (0: not yet). */
uint64_t boot_time_entered(void);
uint64_t boot_time_user(void);
/* A program is about to start; the first call counts. */
void boot_user_starts(void);
