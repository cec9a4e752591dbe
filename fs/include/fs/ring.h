/*
 * A ring of page slots: the bytes in a pipe or waiting at a socket. The caller's mutex guards it;
 * it is held while bytes are copied, because user memory may fault.
 *
 *      tail                head          both count bytes; slot = position / 4096 % slots
 *       v                   v
 *   [ ..xxxx | xxxx | xxxx | xx.. | null | null ]
 *
 * Pages appear as bytes are written and go when they have been read, but for the last: an emptied
 * ring starts again at the beginning of that page, so small messages use one page for ever.
 */
#pragma once

#include <fs/file.h>

#define RING_SLOTS 16u /* of a new ring: 64 KiB */

struct ring {
	uint64_t head, tail; /* (caller) bytes written, read */
	uint32_t slots;      /* (caller) a power of two */
	uint8_t **pages;     /* (caller) slots of them; null: not there */
	uint8_t *first_pages[RING_SLOTS];
};

void ring_init(struct ring *r); /* r is zeroed */
/* Frees the pages: ring_clear leaves a ring for further use. */
void ring_clear(struct ring *r);
void ring_destroy(struct ring *r);

static inline uint64_t ring_used(const struct ring *r)
{
	return r->head - r->tail;
}
/* A slot is not written again before all of its page has been read: head never laps tail's page. */
static inline uint64_t ring_room(const struct ring *r)
{
	return (r->tail / PAGE_SIZE + r->slots) * PAGE_SIZE - r->head;
}

/* Copies `size` <= ring_room() bytes in, b's from `at` on. KERR_FAULT, KERR_NOMEM: only *done went
 * in. */
enum kerr ring_put(struct ring *r, const struct io_buffer *b, size_t at, size_t size, size_t *done);
/* Takes back what was put since head was `head`. */
void ring_unput(struct ring *r, uint64_t head);
/* Copies `size` bytes from `position` on to b's byte `at`; gives the number moved, smaller only if user
 * memory is not there. They stay. */
size_t ring_peek(const struct ring *r, uint64_t position, const struct io_buffer *b, size_t at,
		 size_t size);
/* Drops the oldest `size` bytes. */
void ring_consume(struct ring *r, size_t size);
/* Gives the ring `slots` slots (a power of two). KERR_BUSY: what is in it needs more; KERR_NOMEM. */
enum kerr ring_resize(struct ring *r, uint32_t slots);
