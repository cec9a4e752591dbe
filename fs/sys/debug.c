/*
 * /sys/kernel/debug/memory (DB-1): a question is written, the answer read.
 *
 *	mem              what memory there is and who has it
 *	dump_pt ADDRESS  the walk of the page tables, level by level: for a user address those of the
 *	                 process that reads, else the kernel's
 *
 * and, in debug builds, /sys/kernel/debug/locks: each lock's name and kind, how often it was taken and how
 * often somebody waited for it.
 *
 * One question for all: it is kept until the next one (question_lock). Only for the privileged.
 */
#include "sysfs.h"

#include <core/lock_stat.h>
#include <core/wait.h>
#include <lib/format.h>
#include <mm/heap.h>
#include <mm/huge.h>
#include <mm/kmap.h>
#include <mm/memory.h>
#include <mm/pressure.h>
#include <mm/tlb_stats.h>

enum question { ASK_MEM, ASK_WALK };

static struct mutex question_lock = MUTEX_INIT(question_lock);
static enum question question; /* (question_lock) */
static vaddr_t walk_address;   /* (question_lock) */

static void print_frames(struct text *t, const char *name, uint64_t frames)
{
	text_print(t, "%-16s %10lu frames %10lu KiB\n", name, (unsigned long)frames,
		   (unsigned long)(frames * (PAGE_SIZE / 1024)));
}

static void show_flushes(struct text *t)
{
	struct tlb_stats f = tlb_stats();
	struct huge_stats h;

	huge_stats(&h);
	text_print(
		t,
		"huge: %lu frames mapped, %lu faults, %lu fallbacks, %lu splits, %lu collapses\n",
		(unsigned long)h.mapped, (unsigned long)h.faults, (unsigned long)h.fallbacks,
		(unsigned long)h.splits, (unsigned long)h.collapses);
	text_print(
		t,
		"flushes: %lu of a page, %lu of ranges, %lu of address spaces, %lu of everything; "
		"%lu pages\n",
		(unsigned long)f.modes[TLB_PAGE], (unsigned long)f.modes[TLB_RANGE],
		(unsigned long)f.modes[TLB_SPACE], (unsigned long)f.modes[TLB_FULL],
		(unsigned long)f.pages);
	text_print(t,
		   "flush interrupts: %lu sent by %lu flushes, %lu saved by stale tags, %lu lazy "
		   "CPUs let go, %lu generations of tags\n",
		   (unsigned long)f.interrupts, (unsigned long)f.interrupting,
		   (unsigned long)f.saved_stale, (unsigned long)f.lazy_drops,
		   (unsigned long)f.rollovers);
}

static void show_mem(struct text *t)
{
	struct memory_stats m;
	struct heap_stats h = heap_stats();
	struct shrinker_info s;
	struct zone_info z;
	const char *name;
	vaddr_t start, end;

	memory_stats(&m);
	text_print(t, "frame allocator: %s\n", frame_allocator_name());
	print_frames(t, "total", m.total);
	print_frames(t, "free", m.free);
	print_frames(t, "reserved", m.reserved);
	print_frames(t, "anonymous", m.anonymous);
	print_frames(t, "objects", m.cached);
	print_frames(t, "page tables", m.page_tables);
	print_frames(t, "kernel stacks", m.kernel_stacks);
	print_frames(t, "slab", m.slab);
	print_frames(t, "kmap", m.kmap);
	print_frames(t, "committed", m.committed);
	text_print(t, "heap: %s, %zu bytes, %zu used, %lu allocations, %lu deallocations\n",
		   heap_name(), h.total, h.used, (unsigned long)h.allocations,
		   (unsigned long)h.deallocations);
	for (size_t i = 0; kernel_area_get(i, &name, &start, &end); i++)
		text_print(t, "area %#lx-%#lx %s\n", (unsigned long)start, (unsigned long)end,
			   name);
	show_flushes(t);
	text_print(t, "pressure: %lu events\n", (unsigned long)pressure_events());
	for (size_t i = 0; shrinker_get(i, &s); i++)
		text_print(t, "shrinker %s: %lu now, %lu given\n", s.name, (unsigned long)s.count,
			   (unsigned long)s.given);
	for (size_t i = 0; zone_info(i, &z); i++)
		text_print(t,
			   "node %u zone %s: %lu free of %lu, watermarks %lu %lu %lu, "
			   "%lu allocated, %lu freed, %lu small, %lu large\n",
			   z.node, z.name, (unsigned long)z.free, (unsigned long)z.managed,
			   (unsigned long)z.watermark_min, (unsigned long)z.watermark_low,
			   (unsigned long)z.watermark_high, (unsigned long)z.allocated,
			   (unsigned long)z.freed, (unsigned long)z.small, (unsigned long)z.large);
}

static void print_flags(struct text *t, map_flags_t flags)
{
	static const struct {
		map_flags_t flag;
		const char *name;
	} names[] = {
		{MAP_PRESENT, "present"},   {MAP_WRITABLE, "writable"},     {MAP_USER, "user"},
		{MAP_ACCESSED, "accessed"}, {MAP_DIRTY, "dirty"},           {MAP_HUGE, "huge"},
		{MAP_GLOBAL, "global"},     {MAP_NO_EXECUTE, "no-execute"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			text_print(t, " %s", names[i].name);
	text_print(t, " %s", memory_type_name(flags));
	if (MAP_KEY_OF(flags))
		text_print(t, " key %u", MAP_KEY_OF(flags));
}

static void show_walk(struct text *t, vaddr_t va)
{
	struct page_walk walk;

	memory_walk(current_process()->aspace, va, &walk);
	text_print(t, "%#lx:\n", (unsigned long)va);
	for (unsigned i = 0; i < walk.count; i++) {
		const struct page_walk_step *s = &walk.steps[i];
		text_print(t, "level %u: table %#lx entry %3u: ", s->level, (unsigned long)s->table,
			   s->index);
		if (s->entry.kind == PTE_NONE) {
			text_print(t, "nothing");
		} else if (s->entry.kind == PTE_TABLE) {
			text_print(t, "table %#lx", (unsigned long)s->entry.address);
		} else {
			text_print(t, "page %#lx", (unsigned long)s->entry.address);
			print_flags(t, s->entry.flags);
		}
		text_print(t, "\n");
	}
}

static enum kerr show_answer(struct text *t, const struct proc_subject *s)
{
	mutex_lock(&question_lock);
	enum question q = question;
	vaddr_t va = walk_address;
	mutex_unlock(&question_lock);

	if (q == ASK_MEM)
		show_mem(t);
	else
		show_walk(t, va);
	return KERR_OK;
}

static enum kerr write_question(const char *text, size_t length, const struct proc_subject *s)
{
	static const char walk[] = "dump_pt ";
	const char *end;
	enum question q = ASK_MEM;
	vaddr_t va = 0;

	if (strncmp(text, walk, sizeof(walk) - 1) == 0) {
		const char *number = text + sizeof(walk) - 1;
		q = ASK_WALK;
		va = str_to_u64(number, &end, 0);
		if (end == number)
			return KERR_INVAL;
	} else if (strncmp(text, "mem", 3) == 0) {
		end = text + 3;
	} else {
		return KERR_INVAL;
	}
	if (*end && *end != '\n')
		return KERR_INVAL;
	mutex_lock(&question_lock);
	question = q;
	walk_address = va;
	mutex_unlock(&question_lock);
	return KERR_OK;
}

static enum kerr show_locks(struct text *t, const struct proc_subject *s)
{
	static const char *const kinds[] = {"spin", "mutex", "read", "write"};
	struct lock_stat l;

	if (!lock_stat(0, &l))
		text_print(t, "only debug builds count how often locks are taken\n");
	for (size_t i = 0; lock_stat(i, &l); i++)
		text_print(t, "%s\t%s\t%lu\t%lu\n", l.name, kinds[l.kind], (unsigned long)l.taken,
			   (unsigned long)l.contended);
	return KERR_OK;
}

const struct proc_entry sysfs_debug[] = {
	{.name = "heap",
	 .mode = S_IFREG | 0600,
	 .show = debug_show_heap,
	 .write = debug_write_heap},
	{.name = "locks", .mode = S_IFREG | 0400, .show = show_locks},
	{.name = "memory", .mode = S_IFREG | 0600, .show = show_answer, .write = write_question},
	{},
};
