/*
 * Kernel stacks (VM-15): slots of four pages and one that is never mapped, in an area of their own.
 *
 *	| guard | stack 0 (16 KiB) | guard | stack 1 | guard | ...
 *
 * A freed stack keeps its pages: first in a stack of CACHE_MAX per CPU (interrupts off, no lock: the
 * common case of a process that ends and another that starts), then in one list for all. What
 * the list holds is unmapped when memory is short; a slot without pages goes to the list of empty
 * slots.
 * The links lie in the stacks themselves (first word), or in a static word for empty slots: an
 * empty slot is remembered by number in a bitmap.
 *
 * Lock: stack_lock (RANK_HEAP, interrupts off).
 */
#include <mm/kmap.h>

#include "kmap_private.h"
#include "layout.h"

#include <core/cpu.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <mm/heap.h>
#include <mm/pressure.h>

#define SLOT (KSTACK_SIZE + PAGE_SIZE)
#define CACHE_MAX 8
#define EMPTY_WORDS                                                                                \
	1024 /* 65,536 slots can be remembered as empty: more threads than there are pids */

struct stack_cache { /* its CPU, interrupts off */
	uint32_t count;
	void *stacks[CACHE_MAX];
} ALIGNED(64);

static struct stack_cache caches[CPU_MAX];
static struct spinlock stack_lock = SPINLOCK_INIT(RANK_HEAP, "kstack");
static void *idle_stacks;            /* (stack_lock) chained through their first word */
static size_t idle_count;            /* (stack_lock) read by others as a hint */
static size_t slots_used;            /* (stack_lock) slots that ever had pages */
static uint64_t empty[EMPTY_WORDS];  /* (stack_lock) bit: slot below slots_used without pages */
static size_t empty_count;           /* (stack_lock) */
static _Atomic uint64_t stack_frames;

uint64_t kstack_frame_count(void)
{
	return atomic_load_explicit(&stack_frames, memory_order_relaxed);
}

static vaddr_t slot_address(size_t slot)
{
	return kernel_areas[AREA_STACKS].start + slot * SLOT + PAGE_SIZE;
}

static size_t slot_of(vaddr_t stack)
{
	return (stack - kernel_areas[AREA_STACKS].start) / SLOT;
}

/* stack_lock held. A slot without pages; SIZE_MAX: none left. */
static size_t slot_take_locked(void)
{
	if (empty_count) {
		for (size_t w = 0; w < EMPTY_WORDS; w++) {
			if (!empty[w])
				continue;
			size_t slot = w * 64 + (size_t)__builtin_ctzll(empty[w]);
			empty[w] &= empty[w] - 1;
			empty_count--;
			return slot;
		}
	}
	if (slots_used >= EMPTY_WORDS * 64 ||
	    slot_address(slots_used) + SLOT > kernel_areas[AREA_STACKS].end)
		return SIZE_MAX;
	return slots_used++;
}

static void slot_give(size_t slot)
{
	bool on = spin_lock_irq(&stack_lock);
	empty[slot / 64] |= (uint64_t)1 << (slot % 64);
	empty_count++;
	spin_unlock_irq(&stack_lock, on);
}

static NOINLINE void *alloc_slow(void)
{
	bool on = spin_lock_irq(&stack_lock);
	void *stack = idle_stacks;
	size_t slot = SIZE_MAX;
	if (stack) {
		idle_stacks = *(void **)stack;
		idle_count--;
	} else {
		slot = slot_take_locked();
	}
	spin_unlock_irq(&stack_lock, on);
	if (stack || slot == SIZE_MAX)
		return stack;
	if (!kmap_populate(slot_address(slot), KSTACK_SIZE, 0)) {
		slot_give(slot);
		return nullptr;
	}
	atomic_fetch_add_explicit(&stack_frames, KSTACK_SIZE >> PAGE_SHIFT, memory_order_relaxed);
	return (void *)slot_address(slot);
}

void *kstack_alloc(void)
{
	bool on = hal.cpu.irq_save();
	struct stack_cache *c = &caches[cpu_id()];
	void *stack = c->count ? c->stacks[--c->count] : nullptr;
	hal.cpu.irq_restore(on);
	if (likely(stack))
		return stack;
	return alloc_slow();
}

void kstack_free(void *stack)
{
	if (!stack)
		return;
	bool on = hal.cpu.irq_save();
	struct stack_cache *c = &caches[cpu_id()];
	if (likely(c->count < CACHE_MAX)) {
		c->stacks[c->count++] = stack;
		hal.cpu.irq_restore(on);
		return;
	}
	hal.cpu.irq_restore(on);
	on = spin_lock_irq(&stack_lock);
	*(void **)stack = idle_stacks;
	idle_stacks = stack;
	idle_count++;
	spin_unlock_irq(&stack_lock, on);
}

static uint64_t kstack_idle_frames(void)
{
	return READ_ONCE(idle_count) * (KSTACK_SIZE >> PAGE_SHIFT);
}

static uint64_t kstack_trim(uint64_t want)
{
	uint64_t given = 0;
	for (;;) {
		bool on = spin_lock_irq(&stack_lock);
		void *stack = given < want ? idle_stacks : nullptr;
		if (stack) {
			idle_stacks = *(void **)stack;
			idle_count--;
		}
		spin_unlock_irq(&stack_lock, on);
		if (!stack)
			return given;
		kmap_depopulate((vaddr_t)stack, KSTACK_SIZE);
		atomic_fetch_sub_explicit(&stack_frames, KSTACK_SIZE >> PAGE_SHIFT,
					  memory_order_relaxed);
		slot_give(slot_of((vaddr_t)stack));
		given += KSTACK_SIZE >> PAGE_SHIFT;
	}
}

const struct shrinker kstack_shrinker = {
	.name = "kernel stacks", .count = kstack_idle_frames, .scan = kstack_trim};

bool kstack_is_guard(vaddr_t addr)
{
	if (!kernel_area_has(AREA_STACKS, addr))
		return false;
	return (addr - kernel_areas[AREA_STACKS].start) % SLOT < PAGE_SIZE;
}
