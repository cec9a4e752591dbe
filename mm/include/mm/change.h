/*
 * Exchanging the frame allocator while it is used: what the slots `frames` and `heap` (exec/slots) are
 * made of. One change at a time, which the slot sees to; thread context.
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>
#include <mm/heap.h>

/* ---- Frames (mm/frames/change.c) ---- */

struct frame_allocator_ops;

#define FRAME_POLICY_VERSION 1u /* of what one policy hands the next: a bit a free frame */

/* The index-th policy; null: no more. */
const struct frame_allocator_ops *frame_policy_get(size_t index);
const char *frame_policy_name(const struct frame_allocator_ops *policy);
const struct frame_allocator_ops *frame_policy_current(void);
/* What a change to `next` and back needs. NOMEM; OPNOTSUPP: it would lose what is freed. */
enum kerr frame_policy_prepare(const struct frame_allocator_ops *next);
/* Gives back what prepare took, but what the policy in use needs. */
void frame_policy_release(void);
/* Zone by zone, block by block, all free frames go to `next`: to that of frame_policy_prepare, or back. Cannot fail. */
void frame_policy_change(const struct frame_allocator_ops *next);
/* Whether the last change gave each zone's policy as many frames as were counted. */
bool frame_policy_audit(void);
/* The longest for which one zone was locked by the last change. */
nsec_t frame_policy_pause(void);

/* ---- The heap (mm/heap/heap.c) ---- */

struct heap_ops;

/* The index-th provider; null: no more. */
const struct heap_ops *heap_provider_get(size_t index);
const struct heap_ops *heap_provider(void);
const char *heap_provider_name(const struct heap_ops *p);
struct heap_stats heap_provider_stats(const struct heap_ops *p);
/* Whether it gives and takes blocks, and knows them again. OPNOTSUPP: it keeps what is freed. */
enum kerr heap_provider_check(const struct heap_ops *next);
/* From here on blocks are `next`'s; those of others stay theirs until they are freed. Any context. */
void heap_provider_use(const struct heap_ops *next);
/* Gives back what has no block in use. May sleep. */
void heap_provider_trim(const struct heap_ops *p);
