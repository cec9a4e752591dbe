/* poll(2), ppoll, select(2), pselect6. */
#include "gate.h"
#include <core/time.h>
#include <exec/signal.h>
#include <fs/poll.h>
#include <lib/string.h>
#include <mm/heap.h>

#define ITEMS_SMALL 16

/* struct pollfd has the same shape as struct poll_item. */
static_assert(sizeof(struct poll_item) == 8 && offsetof(struct poll_item, found) == 6);

/* The caller's array in, the answers that are new out. KERR_INTR as it is. */
static long poll_array(vaddr_t array, unsigned long count, nsec_t deadline)
{
	struct poll_item small[ITEMS_SMALL], *items = small;
	struct poll_result result = {};

	if (count > process_limit(RLIMIT_NOFILE))
		return KERR_INVAL;
	if (count > ITEMS_SMALL) {
		items = heap_alloc(count * sizeof(*items));
		if (!items)
			return KERR_NOMEM;
	}
	enum kerr err = user_read(items, array, count * sizeof(*items));
	if (err == KERR_OK)
		err = fd_poll(items, count, deadline, &result);
	/* Nothing but revents is written: other threads may change the rest meanwhile. */
	for (unsigned long i = result.first; err == KERR_OK && i < result.end; i++)
		err = user_write(array + i * sizeof(*items) + offsetof(struct poll_item, found),
				 &items[i].found, sizeof(items[i].found));
	if (items != small)
		heap_free(items);
	return err == KERR_OK ? (long)result.ready : err;
}

SYSCALL(poll)
{
	struct thread *t = current_thread();
	int timeout = (int)a2;
	nsec_t deadline = timeout < 0 ? NSEC_NEVER : 0;

	if (timeout > 0)
		deadline = t->restart_deadline ? t->restart_deadline
					       : deadline_after((nsec_t)timeout * NSEC_PER_MSEC);
	t->restart_deadline = 0;
	long result = poll_array(a0, (unsigned)a1, deadline);
	if (result != KERR_INTR)
		return result;
	if (timeout < 0)
		return KERR_RESTART_NOHAND;
	t->restart_deadline = deadline;
	return KERR_RESTART_BLOCK;
}

/* ---- with a mask and a timespec ---- */

static enum kerr begin_wait(vaddr_t timeout, bool timeval, vaddr_t mask, uint64_t mask_size,
			    nsec_t *deadline)
{
	nsec_t span;
	uint64_t set;
	enum kerr err = KERR_OK;

	*deadline = NSEC_NEVER;
	if (timeout) {
		err = timeval ? timeval_read(timeout, &span) : timespec_read(timeout, &span);
		if (err != KERR_OK)
			return err;
		*deadline = span ? deadline_after(span) : 0;
	}
	if (mask) {
		if (mask_size != sizeof(set))
			return KERR_INVAL;
		err = user_read(&set, mask, sizeof(set));
		if (err == KERR_OK)
			signal_set_temporary_mask(set);
	}
	return err;
}

/* Puts the mask back unless a handler must see the temporary one, and tells what time is left. */
static long end_wait(long result, vaddr_t timeout, bool timeval, nsec_t deadline)
{
	if (result != KERR_INTR)
		signal_restore_mask();
	if (timeout) {
		nsec_t now = time_now(), left = deadline > now ? deadline - now : 0;
		/* A constant that cannot be written to is fine. */
		enum kerr err =
			timeval ? timeval_write(timeout, left) : timespec_write(timeout, left);
		(void)err;
	}
	return result == KERR_INTR ? KERR_RESTART_NOHAND : result;
}

SYSCALL(ppoll)
{
	nsec_t deadline;
	enum kerr err = begin_wait(a2, false, a3, a4, &deadline);

	if (err != KERR_OK)
		return err;
	return end_wait(poll_array(a0, (unsigned)a1, deadline), a2, false, deadline);
}

/* ---- select: bitmaps ---- */

#define SELECT_MAX 1024
#define SELECT_WORDS (SELECT_MAX / 64)

struct bitmaps {
	uint64_t set[3][SELECT_WORDS]; /* read, write, except */
};

static const uint16_t wanted[3] = {POLL_IN, POLL_OUT, POLL_PRI};
/* What counts as ready for each: an end or an error makes reads and writes return at once. */
static const uint16_t counted[3] = {POLL_IN | POLL_HUP | POLL_ERR, POLL_OUT | POLL_ERR, POLL_PRI};

static enum kerr bitmaps_read(struct bitmaps *b, const vaddr_t from[3], size_t bytes)
{
	memset(b, 0, sizeof(*b));
	for (int k = 0; k < 3; k++) {
		enum kerr err = from[k] ? user_read(b->set[k], from[k], bytes) : KERR_OK;
		if (err != KERR_OK)
			return err;
	}
	return KERR_OK;
}

static size_t to_items(const struct bitmaps *b, unsigned n, struct poll_item *items)
{
	size_t count = 0;

	for (unsigned word = 0; word * 64 < n; word++) {
		uint64_t bits = b->set[0][word] | b->set[1][word] | b->set[2][word];
		if (n - word * 64 < 64)
			bits &= ((uint64_t)1 << (n % 64)) - 1;
		for (; bits; bits &= bits - 1) {
			uint16_t events = 0;
			for (int k = 0; k < 3; k++)
				if (b->set[k][word] & (bits & -bits))
					events |= wanted[k];
			items[count++] = (struct poll_item){
				.fd = (int)(word * 64) + __builtin_ctzll(bits), .events = events};
		}
	}
	return count;
}

static long from_items(const struct poll_item *items, size_t count, struct bitmaps *b)
{
	long ready = 0;

	memset(b, 0, sizeof(*b));
	for (size_t i = 0; i < count; i++) {
		unsigned fd = (unsigned)items[i].fd;
		if (items[i].found & POLL_NVAL)
			return KERR_BADF;
		for (int k = 0; k < 3; k++) {
			if (!(items[i].events & wanted[k]) || !(items[i].found & counted[k]))
				continue;
			b->set[k][fd / 64] |= (uint64_t)1 << (fd % 64);
			ready++;
		}
	}
	return ready;
}

static long select_bitmaps(int n, const vaddr_t sets[3], nsec_t deadline)
{
	if (n < 0)
		return KERR_INVAL;
	n = MIN(n, SELECT_MAX);
	size_t bytes = ALIGN_UP((size_t)n, 64) / 8, count;
	struct poll_result found;
	struct bitmaps *b = heap_alloc(sizeof(*b) + (size_t)n * sizeof(struct poll_item));
	if (!b)
		return KERR_NOMEM;
	struct poll_item *items = (struct poll_item *)(b + 1);
	long result = bitmaps_read(b, sets, bytes);
	if (result != KERR_OK)
		goto out;
	count = to_items(b, (unsigned)n, items);
	result = fd_poll(items, count, deadline, &found);
	if (result == KERR_OK)
		result = from_items(items, count, b);
	for (int k = 0; result >= 0 && k < 3; k++)
		if (sets[k] && user_write(sets[k], b->set[k], bytes) != KERR_OK)
			result = KERR_FAULT;
out:
	heap_free(b);
	return result;
}

SYSCALL(select)
{
	const vaddr_t sets[3] = {a1, a2, a3};
	nsec_t deadline;
	enum kerr err = begin_wait(a4, true, 0, 0, &deadline);

	if (err != KERR_OK)
		return err;
	return end_wait(select_bitmaps((int)a0, sets, deadline), a4, true, deadline);
}

SYSCALL(pselect6)
{
	const vaddr_t sets[3] = {a1, a2, a3};
	uint64_t mask[2] = {};
	nsec_t deadline;
	enum kerr err = a5 ? user_read(mask, a5, sizeof(mask)) : KERR_OK;

	if (err == KERR_OK)
		err = begin_wait(a4, false, mask[0], mask[1], &deadline);
	if (err != KERR_OK)
		return err;
	return end_wait(select_bitmaps((int)a0, sets, deadline), a4, false, deadline);
}
