/*
 * Rings of page slots (fs/ring.h).
 *
 * Positions only grow while the ring holds bytes; when it empties they go back to the start of the
 * last page. A resize keeps positions and gives each page the slot that its position has in the new
 * array.
 *
 * Costs: a byte in is one slot lookup and a copy; a byte out the same and a comparison. Rejected: going
 * back to position 0 (the kept page would have to change slots), and a list of buffers of the size of
 * each message (an allocation a message, and two copies' worth of headers for streams of small ones).
 */
#include <fs/ring.h>

#include <mm/frame.h>
#include <mm/heap.h>

static uint8_t **slot_of(const struct ring *r, uint64_t position)
{
	return &r->pages[position / PAGE_SIZE & (r->slots - 1)];
}

static void slot_free(uint8_t **slot)
{
	if (*slot)
		frame_free(frame_of(*slot), 0);
	*slot = nullptr;
}

void ring_init(struct ring *r)
{
	r->slots = RING_SLOTS;
	r->pages = r->first_pages;
}

void ring_clear(struct ring *r)
{
	for (uint32_t i = 0; i < r->slots; i++)
		slot_free(&r->pages[i]);
	r->head = r->tail = 0;
}

static void array_free(struct ring *r)
{
	if (r->pages != r->first_pages)
		heap_free(r->pages);
}

void ring_destroy(struct ring *r)
{
	ring_clear(r);
	array_free(r);
}

static uint8_t *page_new(void)
{
	struct frame *f = frame_alloc(0, FRAME_USER);

	return f ? frame_data(f) : nullptr;
}

enum kerr ring_put(struct ring *r, const struct io_buffer *b, size_t at, size_t size, size_t *done)
{
	*done = 0;
	while (*done < size) {
		uint8_t **slot = slot_of(r, r->head);
		size_t offset = r->head % PAGE_SIZE;
		size_t n = MIN(size - *done, PAGE_SIZE - offset);
		if (!*slot && !(*slot = page_new()))
			return KERR_NOMEM;
		size_t moved = io_from_buffer(b, at + *done, *slot + offset, n);
		r->head += moved;
		*done += moved;
		if (moved < n)
			return KERR_FAULT;
	}
	return KERR_OK;
}

void ring_unput(struct ring *r, uint64_t head)
{
	/* The page of `head` stays, as it does in an emptied ring. */
	for (uint64_t i = head / PAGE_SIZE + 1; i * PAGE_SIZE < r->head; i++)
		slot_free(slot_of(r, i * PAGE_SIZE));
	r->head = head;
}

size_t ring_peek(const struct ring *r, uint64_t position, const struct io_buffer *b, size_t at,
		 size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t offset = (position + done) % PAGE_SIZE;
		size_t n = MIN(size - done, PAGE_SIZE - offset);
		size_t moved = io_to_buffer(b, at + done, *slot_of(r, position + done) + offset, n);
		done += moved;
		if (moved < n)
			break;
	}
	return done;
}

void ring_consume(struct ring *r, size_t size)
{
	uint64_t page = r->tail / PAGE_SIZE;

	if (size == 0)
		return;
	r->tail += size;
	uint64_t keep = (r->head == r->tail ? r->head - 1 : r->tail) / PAGE_SIZE;
	for (; page < keep; page++)
		slot_free(slot_of(r, page * PAGE_SIZE));
	if (r->head == r->tail)
		r->head = r->tail = keep * PAGE_SIZE;
}

enum kerr ring_resize(struct ring *r, uint32_t slots)
{
	uint64_t first = r->tail / PAGE_SIZE, last = (r->head + PAGE_SIZE - 1) / PAGE_SIZE;

	if (last - first > slots)
		return KERR_BUSY;
	uint8_t **pages = heap_alloc_zeroed(slots * sizeof(*pages));
	if (!pages)
		return KERR_NOMEM;
	for (uint64_t i = first; i < last; i++) {
		uint8_t **from = slot_of(r, i * PAGE_SIZE);
		pages[i & (slots - 1)] = *from;
		*from = nullptr;
	}
	for (uint32_t i = 0; i < r->slots; i++)
		slot_free(&r->pages[i]);
	array_free(r);
	r->pages = pages;
	r->slots = slots;
	return KERR_OK;
}
