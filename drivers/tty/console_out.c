/*
 * What the console terminal writes goes out in one of two ways, which are the providers of the slot `console`
 * (RL-2):
 *
 *	direct     at once, by who writes, with the terminal's lock held: a write returns when the UART has it
 *	buffered   into a ring of 16 KiB; a thread of its own feeds the UART, a writer waits only for room
 *
 *	write --> direct: console_write()
 *	      \-> buffered: ring --(thread, `out` held)--> console_write()
 *
 * Swap. State, version 1: the bytes that were written and have not gone out. Writers pass the slot's gate (with
 * the terminal's lock held, so one at a time); when it is closed and empty, `handover` stops the thread, and `out`
 * says that no byte is on its way: each is either out or in the ring, and goes over to the new one's ring
 * with the order kept. `direct` sends what it took over when the swap is done, or before the next byte that is
 * written. Until the switch the old ring is untouched, so going back is only to open again. The pause is the
 * time between having it quiet and opening; while a write is waited for the UART works.
 *
 * The kernel's own log does not come through here. What a panic finds in the ring is not shown.
 *
 * Locks: tty.lock (mutex), the gate, `out` (mutex). The thread takes only `out`. Rejected: closing with the
 * terminal's lock (writers that take it over and over leave the swap no turn on one CPU); a spinlock round
 * the ring (the UART is slow, and is written with it held); letting `direct` send while the swap is quiet
 * (a screenful is some milliseconds).
 */
#include "console_out.h"

#include <core/log.h>
#include <core/time.h>
#include <exec/thread.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <module/slot.h>

#define RING 16384u
#define PIECE 256u
#define STATE_VERSION 1u

struct console_out {
	bool buffered;         /* const */
	char *ring;            /* (quiet) */
	_Atomic uint32_t head; /* (tty lock, inside the gate) */
	_Atomic uint32_t tail; /* (out) */
};

static struct console_out direct, buffered = {.buffered = true};
static struct slot slot;
static _Atomic bool handover; /* the thread is to leave the ring alone */
static struct mutex out = MUTEX_INIT(out);
static struct waitq queue = WAITQ_INIT(queue); /* bytes for the thread; room for a writer */
static struct thread *feeder;                  /* (slot.swapping) */
static nsec_t quiet_since, pause;              /* (slot.swapping) */

static uint32_t pending(const struct console_out *o)
{
	return atomic_load_explicit(&o->head, memory_order_acquire) -
	       atomic_load_explicit(&o->tail, memory_order_acquire);
}

/* `out` held. The next bytes go to the UART; false: there are none. */
static bool send_locked(struct console_out *o)
{
	uint32_t count = pending(o), tail = o->tail;

	if (!count)
		return false;
	count = MIN(count, MIN(PIECE, RING - tail % RING));
	console_write(o->ring + tail % RING, count);
	atomic_store_explicit(&o->tail, tail + count, memory_order_release);
	return true;
}

/* One at a time. There is room for it. */
static void put_locked(struct console_out *o, const char *bytes, uint32_t count)
{
	uint32_t head = o->head, first = MIN(count, RING - head % RING);

	memcpy(o->ring + head % RING, bytes, first);
	memcpy(o->ring, bytes + first, count - first);
	atomic_store_explicit(&o->head, head + count, memory_order_release);
}

static void flush(struct console_out *o)
{
	mutex_lock(&out);
	while (send_locked(o))
		;
	mutex_unlock(&out);
}

static void put_all(struct console_out *o, const char *bytes, size_t count)
{
	while (count) {
		(void)wait_until(&queue, pending(o) < RING, WAIT_IO, false, NSEC_NEVER);
		size_t room = RING - pending(o); /* the thread makes it larger meanwhile */
		uint32_t n = (uint32_t)MIN(count, room);
		put_locked(o, bytes, n);
		wake_all(&queue);
		bytes += n;
		count -= n;
	}
}

void console_out_write(const char *bytes, size_t count)
{
	unsigned in = slot_enter(&slot);
	struct console_out *o = slot.instance;

	if (unlikely(o->buffered)) {
		put_all(o, bytes, count);
	} else {
		if (unlikely(pending(o)))
			flush(o);
		console_write(bytes, count);
	}
	slot_leave(&slot, in);
}

uint32_t console_out_unsent(void)
{
	unsigned in = slot_enter(&slot);
	uint32_t count = pending(slot.instance);

	slot_leave(&slot, in);
	return count;
}

void console_out_drain(void)
{
	unsigned in = slot_enter(&slot);

	flush(slot.instance);
	slot_leave(&slot, in);
}

static void feed(void *arg)
{
	for (;;) {
		enum kerr err = wait_until(&queue, pending(&buffered) && !atomic_load(&handover),
					   WAIT_IO, true, NSEC_NEVER);
		if (err != KERR_OK)
			continue;
		mutex_lock(&out);
		if (!atomic_load(&handover))
			(void)send_locked(&buffered);
		mutex_unlock(&out);
		wake_all(&queue);
	}
}

/* ---- The slot ---- */

static enum kerr ring_new(struct console_out *o, void **instance)
{
	*instance = o;
	o->ring = heap_alloc(RING);
	return o->ring ? KERR_OK : KERR_NOMEM;
}

static enum kerr direct_begin(void **instance)
{
	return ring_new(&direct, instance);
}

/* The one of the boot has nothing to take over. */
static enum kerr first_begin(void **instance)
{
	*instance = &direct;
	return KERR_OK;
}

static enum kerr buffered_begin(void **instance)
{
	enum kerr err = ring_new(&buffered, instance);

	if (err == KERR_OK && !feeder)
		err = kthread_create("console output", PRIORITY_HIGH, feed, nullptr, &feeder);
	if (err != KERR_OK) {
		heap_free(buffered.ring);
		buffered.ring = nullptr;
	}
	return err;
}

/* The old one's end, or that of one that did not come to be. */
static void out_end(void *instance)
{
	struct console_out *o = instance;

	mutex_lock(&out);
	char *ring = o->ring;
	o->ring = nullptr;
	o->head = o->tail = 0;
	mutex_unlock(&out);
	heap_free(ring);
	if (!((struct console_out *)slot.instance)->buffered)
		flush(slot.instance); /* what it took over */
}

static enum kerr out_export(void *instance, struct slot_state *state)
{
	struct console_out *o = instance;
	uint32_t count = pending(o), at = o->tail % RING, first = MIN(count, RING - at);
	enum kerr err = slot_state_put(state, &count, sizeof(count));

	if (err == KERR_OK && count)
		err = slot_state_put(state, o->ring + at, first);
	if (err == KERR_OK && count > first)
		err = slot_state_put(state, o->ring, count - first);
	return err;
}

static enum kerr out_import(void *instance, const struct slot_state *state)
{
	struct console_out *o = instance;
	uint32_t count;
	size_t at = 0;
	enum kerr err = slot_state_take(state, &at, &count, sizeof(count));

	if (err == KERR_OK && (count > RING || state->size - at != count))
		err = KERR_INVAL;
	if (err == KERR_OK)
		put_locked(o, (const char *)state->bytes + at, count);
	return err;
}

static enum kerr out_prepare(struct slot *s, const struct slot_provider *to,
			     struct slot_state *room)
{
	return slot_state_reserve(room, sizeof(uint32_t) + RING);
}

static enum kerr out_close(struct slot *s)
{
	enum kerr err = slot_gate_close(s);

	if (err != KERR_OK)
		return err;
	atomic_store(&handover, true);
	mutex_lock(&out);
	quiet_since = time_now();
	return KERR_OK;
}

static void out_open(struct slot *s)
{
	pause = time_now() - quiet_since;
	mutex_unlock(&out);
	atomic_store(&handover, false);
	slot_gate_open(s);
	wake_all(&queue);
}

static void out_turn(struct slot *s, const struct slot_provider *to, void *instance)
{
	struct console_out *old = s->instance;

	old->tail = old->head; /* the new one has them */
}

static nsec_t out_pause(struct slot *s)
{
	return pause;
}

static const struct slot_quiet quiet = {.prepare = out_prepare,
					.close = out_close,
					.open = out_open,
					.turn = out_turn,
					.pause = out_pause};
static struct slot slot = {.name = "console", .kind = SLOT_DRIVER, .quiet = &quiet};

static struct slot_provider providers[] = {
	{
		.name = "direct",
		.version = STATE_VERSION,
		.oldest = STATE_VERSION,
		.init = first_begin,
		.fini = out_end,
		.export = out_export,
		.import = out_import,
	},
	{
		.name = "buffered",
		.version = STATE_VERSION,
		.oldest = STATE_VERSION,
		.init = buffered_begin,
		.fini = out_end,
		.export = out_export,
		.import = out_import,
	},
};

enum kerr console_out_init(void)
{
	enum kerr err = slot_add(&slot, &providers[0]);
	if (err != KERR_OK)
		return err;
	providers[0].init = direct_begin;
	return slot_provider_add(slot.name, &providers[1]);
}
