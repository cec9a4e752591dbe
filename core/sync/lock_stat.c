/*
 * Lock statistics of debug builds: a table of names for all CPUs, each with a counter per CPU.
 *
 * A lock is known by its name, so that all regions' locks are one row. Rows are claimed by
 * compare-and-swap and never go. Counters are atomic only against interrupts of their own CPU.
 * When the table is full, what is left counts as "other".
 *
 * Rejected: counters in each lock (the locks of regions, pipes and inodes come and go, and with
 * them their counts); release builds (a counter would cost as much as the lock).
 */
#include <core/lock_stat.h>

#if defined(TERN_DEBUG)

#include <core/task.h>
#include <hal/types.h>
#include <lib/string.h>

#define ROWS 256u

static struct {
	_Atomic uintptr_t key; /* of name and kind; 0: free */
	const char *_Atomic name;
	_Atomic uint32_t kind;
} rows[ROWS];
static struct {
	_Atomic uint64_t taken, contended;
} counters[CPU_MAX][ROWS];

static uintptr_t key_of(const char *name, enum lock_kind kind)
{
	return (uintptr_t)name * 4 +
	       kind; /* names are kernel addresses: the top bits say nothing */
}

static size_t row_of(const char *name, enum lock_kind kind)
{
	uintptr_t key = key_of(name, kind);
	size_t first = (size_t)((uint64_t)key * 0x9e3779b97f4a7c15 >> 56);
	for (size_t n = 0; n < ROWS - 1; n++) {
		size_t i = (first + n) % (ROWS - 1);
		uintptr_t seen = atomic_load_explicit(&rows[i].key, memory_order_acquire);
		if (seen == key)
			return i;
		if (seen || !atomic_compare_exchange_strong(&rows[i].key, &seen, key)) {
			if (seen == key)
				return i;
			continue;
		}
		atomic_store_explicit(&rows[i].kind, kind, memory_order_relaxed);
		atomic_store_explicit(&rows[i].name, name, memory_order_release);
		return i;
	}
	atomic_store_explicit(&rows[ROWS - 1].name, "other", memory_order_release);
	return ROWS - 1;
}

void lock_count(const char *name, enum lock_kind kind, bool contended)
{
	size_t row = row_of(name ? name : "unnamed", kind);
	cpu_t cpu = cpu_id(); /* a wrong one after a migration counts as well */
	if (contended)
		atomic_fetch_add_explicit(&counters[cpu][row].contended, 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&counters[cpu][row].taken, 1, memory_order_relaxed);
}

/* The first row with the same text and kind: names of equal text may lie at two addresses. */
static bool is_first(size_t row)
{
	const char *name = atomic_load_explicit(&rows[row].name, memory_order_acquire);
	for (size_t i = 0; i < row; i++) {
		const char *other = atomic_load_explicit(&rows[i].name, memory_order_acquire);
		if (other && rows[i].kind == rows[row].kind && strcmp(name, other) == 0)
			return false;
	}
	return true;
}

bool lock_stat(size_t index, struct lock_stat *out)
{
	size_t row = 0;
	for (; row < ROWS; row++) {
		if (atomic_load_explicit(&rows[row].name, memory_order_acquire) && is_first(row) &&
		    index-- == 0)
			break;
	}
	if (row == ROWS)
		return false;
	*out = (struct lock_stat){.name = rows[row].name, .kind = (enum lock_kind)rows[row].kind};
	for (size_t i = row; i < ROWS; i++) {
		const char *name = atomic_load_explicit(&rows[i].name, memory_order_acquire);
		if (!name || rows[i].kind != rows[row].kind || strcmp(name, out->name) != 0)
			continue;
		for (cpu_t cpu = 0; cpu < CPU_MAX; cpu++) {
			out->taken +=
				atomic_load_explicit(&counters[cpu][i].taken, memory_order_relaxed);
			out->contended += atomic_load_explicit(&counters[cpu][i].contended,
							       memory_order_relaxed);
		}
	}
	return true;
}

#endif
