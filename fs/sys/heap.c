/*
 * /sys/kernel/debug/heap (HP-6): the heap's debug mode. Reading gives a line of figures and, for the
 * sites that hold most, what was allocated there since the mark and is still in use. Written:
 *
 *	mark   from now on count only what is allocated later
 *	leaks  take stock: what the next reads show
 *	sweep  look for damage in all blocks; reports go to the log
 *
 * stock_lock: one takes stock or reads it at a time.
 */
#include "sysfs.h"

#include <core/panic.h>
#include <core/wait.h>
#include <mm/heap.h>
#include <mm/heap_debug.h>

#define SITES_SHOWN 40

static struct mutex stock_lock = MUTEX_INIT(stock_lock);

static void show_site(struct text *t, const struct heap_site *s)
{
	char name[160];

	text_print(t, "%zu bytes in %zu blocks:\n", s->bytes, s->blocks);
	for (size_t i = 0; i < HEAP_CHAIN && s->chain[i]; i++) {
		symbol_format(s->chain[i] - 1, name, sizeof(name));
		text_print(t, "  %s\n", name);
	}
}

enum kerr debug_show_heap(struct text *t, const struct proc_subject *s)
{
	struct heap_debug_figures f;
	struct heap_site site;

	if (!heap_debug_on()) {
		text_print(t, "%s, without the debug mode (heap_debug)\n", heap_name());
		return KERR_OK;
	}
	heap_debug_figures(&f);
	text_print(t,
		   "%s, debug mode: %zu blocks in use, %zu bytes, %zu in quarantine, %lu reports\n",
		   heap_name(), f.blocks, f.bytes, f.quarantined, (unsigned long)f.reports);
	mutex_lock(&stock_lock);
	for (size_t i = 0; i < SITES_SHOWN && heap_debug_site(i, &site); i++)
		show_site(t, &site);
	mutex_unlock(&stock_lock);
	return KERR_OK;
}

enum kerr debug_write_heap(const char *text, size_t length, const struct proc_subject *s)
{
	char line[16];
	enum kerr err = KERR_OK;

	if (!heap_debug_on() || !text_line(text, length, line, sizeof(line)))
		return KERR_INVAL;
	mutex_lock(&stock_lock);
	if (strcmp(line, "mark") == 0)
		heap_debug_mark();
	else if (strcmp(line, "leaks") == 0)
		heap_debug_leaks();
	else if (strcmp(line, "sweep") == 0)
		heap_debug_sweep();
	else
		err = KERR_INVAL;
	mutex_unlock(&stock_lock);
	return err;
}
