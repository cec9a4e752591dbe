/* What the rest of mm may ask of the frame layer beyond mm/frame.h. */
#pragma once

#include <mm/frame.h>

/* Boot: zones, buddy; retires the bump allocator. frame_table and direct_map are set. */
void frame_init(void);
/* Reserved frames become free ones (init memory, boot modules). */
void frame_release(pfn_t start, pfn_t end);
/* Asks heap and stacks for what they keep in stock; true: some frames came back. (heap/slab.c) */
bool frame_trim_heap(void);
