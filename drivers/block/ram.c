/*
 * /dev/ram0, a disk of frames: ramdisk=SIZE in MiB on the command line, 4 by default. A frame is taken when its
 * block is first written, and kept. The frames stand for the disk's medium: they belong to no driver, so that they
 * outlive each of them.
 *
 * Two drivers for it: "direct", here, copies in the caller's thread; "queued" (modules/ramqueue.c) has a queue and
 * works in the device's thread, as a driver of hardware does.
 */
#include "block.h"

#include <core/cmdline.h>
#include <core/init.h>
#include <core/log.h>
#include <lib/export.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>

#define MEGABYTES_DEFAULT 4u
#define MEGABYTES_MAX 1024u

static void *_Atomic *frames; /* by block; an entry is set once */
static uint64_t blocks; /* (const) */

void *ram_block(uint64_t block)
{
	return block < blocks ? atomic_load_explicit(&frames[block], memory_order_acquire)
			      : nullptr;
}
EXPORT_SYMBOL(ram_block);

/* For each block there will be memory. */
static enum kerr ram_prepare(uint64_t block, uint32_t count)
{
	for (uint64_t b = block; b < block + count; b++) {
		if (b >= blocks || ram_block(b))
			continue;
		struct frame *f = frame_alloc(0, FRAME_ZEROED);
		if (!f)
			return KERR_NOMEM;
		atomic_store_explicit(&frames[b], frame_data(f), memory_order_release);
	}
	return KERR_OK;
}

/* ---- The driver "direct" ---- */

static enum kerr direct_submit(void *instance, struct block_request *r)
{
	ram_transfer(r);
	block_complete(r, KERR_OK);
	return KERR_OK;
}

static enum kerr direct_import(void *instance, const struct slot_state *in)
{
	block_adopt("ram0");
	return KERR_OK;
}

static const struct block_ops direct_ops = {.submit = direct_submit};
static struct slot_provider direct = {
	.name = "direct",
	.version = 1,
	.oldest = 1,
	.ops = &direct_ops,
	.import = direct_import,
};

static struct slot slot = {.name = "block", .kind = SLOT_DRIVER};
static struct block_device ram0 = {
	.name = "ram0",
	.driver = "ramdisk",
	.prepare = ram_prepare,
	.number = (uint64_t)1 << 8,
	.slot = &slot,
	.limit = NSEC_PER_SEC,
};

static enum kerr ram_start(void)
{
	uint64_t megabytes = cmdline_u64("ramdisk", MEGABYTES_DEFAULT);

	if (megabytes == 0 || megabytes > MEGABYTES_MAX) {
		log_warn("ramdisk: give 1 to %u (MiB)", MEGABYTES_MAX);
		megabytes = MEGABYTES_DEFAULT;
	}
	blocks = ram0.blocks = megabytes * ((1u << 20) / BLOCK_SIZE);
	frames = heap_alloc_zeroed(blocks * sizeof(*frames));
	ram0.sums = heap_alloc_zeroed(blocks * sizeof(*ram0.sums));
	enum kerr err = frames && ram0.sums ? slot_add(&slot, &direct) : KERR_NOMEM;
	if (err == KERR_OK)
		err = block_device_add(&ram0);
	return err;
}

static const struct init_ops ops = {.start = ram_start};
INIT_SUBSYSTEM(block, .phase = INIT_LATE, .priority = 30, .optional = true,
	       .requires = INIT_FILESYSTEM | INIT_SCHEDULER | INIT_MODULES, INIT_DEPENDS("drivers"),
	       .ops = &ops);
