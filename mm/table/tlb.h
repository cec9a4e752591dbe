/* Translation caches: which address space a CPU has loaded, and forgetting what changed (VM-7). */
#pragma once

#include <core/cpu.h>
#include <hal/hal.h>
#include <mm/frame.h>
#include <mm/tlb_stats.h>

/* The part of an address space that the caches know. */
struct tlb_context {
	paddr_t root;             /* constant */
	_Atomic cpuset_t active;  /* CPUs that have it loaded (lazy ones too) */
	_Atomic cpuset_t seen;    /* CPUs that may have entries under its tag */
	_Atomic cpuset_t stale;   /* CPUs that must forget its tag when they load it next */
	_Atomic uint64_t asid;    /* generation << bits | tag; 0: none yet */
};

/* Gathers what changed; one flush, then what the entries led to is freed. */
struct tlb_batch {
	struct tlb_context *context; /* null: the kernel's table */
	vaddr_t start, end;          /* covers all ranges; start >= end: nothing */
	bool tables;                 /* entries above leaves changed */
	bool small;                  /* leaves of 4 KiB are among what changed */
	bool take_frames;            /* mapper_unmap_range: gather the frames too */
	struct frame *dead_tables;   /* user tables taken out, chained through link.next */
	struct frame *frames;        /* frames to be put, chained through link.next */
};

static inline void tlb_batch_init(struct tlb_batch *b, struct tlb_context *context)
{
	*b = (struct tlb_batch){.context = context, .start = ~(vaddr_t)0};
}

static inline void tlb_batch_add(struct tlb_batch *b, vaddr_t start, vaddr_t end, unsigned level)
{
	b->small |= level == 0;
	if (start < b->start)
		b->start = start;
	if (end > b->end)
		b->end = end;
}

static inline void tlb_batch_chain(struct frame **chain, struct frame *f)
{
	f->link.next = (struct list *)*chain;
	*chain = f;
}

static inline struct frame *tlb_batch_next(struct frame **chain)
{
	struct frame *f = *chain;
	if (f)
		*chain = (struct frame *)f->link.next;
	return f;
}

/* Forgets and frees. Thread context, interrupts on, no spinlock (unless only this CPU is in it). */
void tlb_batch_finish(struct tlb_batch *b);

/* Forgets [va, va + pages) of `context` on every CPU that may know it; complete on return. Same
 * context as tlb_batch_finish. */
void tlb_flush(struct tlb_context *context, vaddr_t va, size_t pages, bool tables);
void tlb_flush_kernel(vaddr_t va, size_t pages, bool tables);
/* Whether another CPU than this may know anything of `context`. */
bool tlb_elsewhere(const struct tlb_context *context);
/* This CPU alone forgets one page (a fault that the tables do not explain). */
void tlb_flush_local(struct tlb_context *context, vaddr_t va);

/* Loads `context` on this CPU; null: the kernel needs no user half (the old one stays, lazily).
 * Interrupts off. */
void tlb_activate(struct tlb_context *context);
/* After it no CPU has `context` loaded. Nothing runs in it any more. Thread context. */
void tlb_leave(struct tlb_context *context);
/* Boot: tags and the root for CPUs without a user half. */
void tlb_init(paddr_t kernel_root);
