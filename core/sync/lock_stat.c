/*
 * Lock statistics of debug builds: a table of names for all CPUs, each with a counter per CPU.
 *
 * A lock is known by its name, so that all regions' locks are one row. Rows are claimed by
 * compare-and-swap and never go. Counters are atomic only against interrupts of their own CPU.
 * When the table is full, what is left counts as "other".
 *
 * A name of the kernel image is found by its address. One of a module goes with the module, and another one may come
 * to lie there: it is found by its text. Each row has a copy.
 *
 * Rejected: counters in each lock (the locks of regions, pipes and inodes come and go, and with
 * them their counts); release builds (a counter would cost as much as the lock).
 */
#include <core/lock_stat.h>

#if defined(TERN_DEBUG)

#include <core/task.h>
#include <hal/image.h>
#include <hal/types.h>
#include <lib/string.h>

#define ROWS 256u
#define NAME_SIZE 32u

static struct {
	_Atomic uintptr_t key; /* of name and kind; 0: free */
	_Atomic bool named; /* the rest is there, and stays */
	enum lock_kind kind;
	char name[NAME_SIZE];
} rows[ROWS] = {[ROWS - 1] = {.named = true, .name = "other"}};
static struct {
	_Atomic uint64_t taken, contended;
} counters[CPU_MAX][ROWS];

static uintptr_t hash(const char *name)
{
	uintptr_t h = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < NAME_SIZE - 1 && name[i]; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3;
	return h;
}

static uintptr_t key_of(const char *name, enum lock_kind kind)
{
	bool stays = name >= __image_start && name < __image_end;

	/* Names are kernel addresses: the top bits say nothing. */
	return (likely(stays) ? (uintptr_t)name : hash(name)) * 4 + kind;
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
		rows[i].kind = kind;
		strlcpy(rows[i].name, name, NAME_SIZE);
		atomic_store_explicit(&rows[i].named, true, memory_order_release);
		return i;
	}
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

static bool is_named(size_t row)
{
	return atomic_load_explicit(&rows[row].named, memory_order_acquire);
}

static bool is_same(size_t a, size_t b)
{
	return rows[a].kind == rows[b].kind && strcmp(rows[a].name, rows[b].name) == 0;
}

/* The first row with the same text and kind: names of equal text may lie at two addresses. */
static bool is_first(size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (is_named(i) && is_same(i, row))
			return false;
	return true;
}

bool lock_stat(size_t index, struct lock_stat *out)
{
	size_t row = 0;
	while (row < ROWS && !(is_named(row) && is_first(row) && index-- == 0))
		row++;
	if (row == ROWS)
		return false;
	*out = (struct lock_stat){.name = rows[row].name, .kind = rows[row].kind};
	for (size_t i = row; i < ROWS; i++) {
		if (!is_named(i) || !is_same(i, row))
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
