/* What the files of the block layer share. */
#pragma once

#include <drivers/block.h>

/* device.c */
enum kerr block_node_add(struct block_device *d);
/* heal.c */
void block_heal_add(struct block_device *d);
/* block.c: the driver of `epoch` did wrong; nothing happens if it is gone already. */
void block_accuse(struct block_device *d, uint64_t epoch, const char *why);
/* No driver any more: what is in flight ends with IO. */
void block_fail_all(struct block_device *d);
