/*
 * Block devices. A driver is one table of operations on an instance; the layer (drivers/block/) has the
 * requests, their queue and their time limits, the nodes in /dev, and what happens when the driver breaks.
 */
#pragma once

#include <core/wait.h>
#include <hal/types.h>
#include <heal/heal.h>
#include <lib/string.h>
#include <module/slot.h>

#define BLOCK_SIZE PAGE_SIZE /* what a request is counted in */
#define BLOCK_REQUESTS 32u /* in flight, of one device */
#define BLOCK_REQUEST_MAX 16u /* blocks of one request */

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

/* What may be wanted of a driver, to see it healed. */
enum block_injection {
	BLOCK_INJECT_NONE,
	BLOCK_INJECT_CRASH, /* reads through a null pointer */
	BLOCK_INJECT_HANG, /* does not come back, interrupts off */
	BLOCK_INJECT_LOST, /* its interrupt does not come */
	BLOCK_INJECT_NOMEM, /* it gets no memory */
	BLOCK_INJECT_WILD, /* writes where it may not */
	BLOCK_INJECT_WRONG, /* gives other bytes than were written */
	BLOCK_INJECT_BUG, /* an assertion of it fails, when it has moved the bytes */
	BLOCK_INJECTIONS,
};

enum block_request_state {
	BLOCK_FREE,
	BLOCK_QUEUED, /* with the layer */
	BLOCK_ISSUED, /* with the driver */
	BLOCK_DONE,
};

struct block_request {
	/* For the driver: */
	enum block_op op;
	uint64_t block;
	uint32_t count;
	uint8_t *data; /* count * BLOCK_SIZE bytes of the kernel */
	/* The layer's: (device lock) */
	enum block_request_state state;
	bool busy; /* a thread is handing it to the driver */
	bool late; /* told that it takes too long */
	enum kerr result;
	uint64_t epoch; /* of the driver that it was given to */
	nsec_t since; /* when */
	struct waitq wait;
};

struct block_ops {
	/* Begins it; may complete it at once. Anything but OK: not begun. */
	enum kerr (*submit)(void *instance, struct block_request *r);
	/* In the device's thread after block_kick(). Null: never. */
	enum kerr (*work)(void *instance);
	/* For tests: so often, what is named is to happen. Null: never. */
	enum kerr (*inject)(void *instance, enum block_injection what, uint32_t times);
};

struct block_device {
	const char *name;
	const char *driver; /* for /proc/devices */
	uint64_t number; /* of the node */
	uint64_t blocks;
	struct slot *slot; /* whose provider's ops are a struct block_ops */
	nsec_t limit; /* a request that takes longer is a fault of the driver */
	/* Before blocks are written, their stripe locked for writing. NOMEM. Null: nothing to do. */
	enum kerr (*prepare)(uint64_t block, uint32_t count);
	/* (stripes) Per block: of what was written, 0 if not known; null: not checked. */
	uint32_t *sums;
	/* block.c's: */
	struct spinlock lock;
	struct block_request requests[BLOCK_REQUESTS];
	struct waitq room; /* of those who wait for a free request */
	struct waitq queue; /* of the thread */
	_Atomic bool kicked, wanted; /* the thread: look; call work */
	_Atomic bool isolated;
	_Atomic uint32_t in_flight;
	struct rwlock stripes[16]; /* by block / BLOCK_REQUEST_MAX: a transfer is whole to others */
	struct heal_component heal;
	_Atomic uint64_t reads, writes, reissued, timeouts, mismatches, stale;
};

/* Makes the device, its thread and its node. The slot is there, and stays. NOMEM, EXIST. */
enum kerr block_device_add(struct block_device *d);
/* Moves whole blocks within one stripe; sleeps. IO: the driver said so, or there is none any more. */
enum kerr block_transfer(struct block_device *d, enum block_op op, uint64_t block, uint32_t count,
			 uint8_t *data);
/* Holds off others' writes (or all) of the stripe of `block` around transfers. */
void block_stripe_lock(struct block_device *d, uint64_t block, bool write);
void block_stripe_unlock(struct block_device *d, uint64_t block, bool write);
struct block_device *block_find(const char *name);
enum kerr block_inject(struct block_device *d, enum block_injection what, uint32_t times);

/* ---- For drivers ---- */

/* It is done. Any context. False: not a request that a driver has (wild, twice, too late); ignored. */
bool block_complete(struct block_request *r, enum kerr result);
/* Have `work` called by the thread of the device; any context. */
void block_kick(const char *device);
/* From import: what the old instance had is given to the new one. */
void block_adopt(const char *device);

/* ---- The RAM disk's memory (ram.c) ---- */

/* The frame of a block in the direct map; null: nothing was written there yet. */
void *ram_block(uint64_t block);

/* What a request asks for, by copying. Here and not in ram.c: a driver's work is done by its own code, in which
 * a fault can be contained. */
static inline void ram_transfer(const struct block_request *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		uint8_t *data = r->data + (size_t)i * BLOCK_SIZE;
		void *medium = ram_block(r->block + i);
		if (r->op == BLOCK_WRITE)
			memcpy(medium, data, BLOCK_SIZE);
		else if (medium)
			memcpy(data, medium, BLOCK_SIZE);
		else
			memset(data, 0, BLOCK_SIZE);
	}
}
