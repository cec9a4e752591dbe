/* What the rest of mm may ask of the frame layer beyond mm/frame.h. */
#pragma once

#include <mm/frame.h>

/* Boot: zones, buddy; retires the bump allocator. frame_table and direct_map are set. */
void frame_init(void);
/* Reserved frames become free ones (init memory, boot modules). */
void frame_release(pfn_t start, pfn_t end);
/* The zones together have just fallen below their low watermark. Any context in which a frame may be
 * allocated. (pressure.c) */
void pressure_event(void);
/* What the thread `reclaim` does then: shrinkers are asked until nothing is missing to the high
 * watermarks, or they have nothing. Thread context. (pressure.c) */
void reclaim_balance(void);
/* How many frames are missing to the high watermarks of all zones together. (frame.c) */
uint64_t frame_shortfall(void);

struct shrinker;
extern const struct shrinker frame_shrinker, kstack_shrinker;
