/* The pool of explicit huge pages, for mm/space/hugetlb.c. Blocks are 512 frames. */
#pragma once

#include <mm/frame.h>
#include <mm/huge.h>

#define HUGEPOOL_ORDER 9u
#define HUGEPOOL_FRAMES (1u << HUGEPOOL_ORDER)

/* Promises `count` blocks. KERR_NOMEM. Thread context, as all here but hugepool_frame_back. */
enum kerr hugepool_reserve(uint64_t count);
void hugepool_unreserve(uint64_t count);
/* A block, `reserved`: one that was promised (there is one); references 1 each, old contents. Null:
 * none is left. */
struct frame *hugepool_take(bool reserved);
/* One that nobody has used, back. */
void hugepool_give(struct frame *head, bool reserved);
/* The last reference of a FRAME_POOLED frame went. Any context. */
void hugepool_frame_back(struct frame *f);
