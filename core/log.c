/*
 * The kernel log and the console.
 *
 * The ring holds records {header, text} back to back; a record never wraps (the tail of the ring is
 * skipped when it does not fit). Writers append under a lock that is innermost of all, so anything may log;
 * the oldest records go when room is needed. Sequence numbers let readers notice what they missed.
 *
 * A record below the console level is also written to the console, outside the ring's lock. With
 * `console=framed` on the command line log lines travel as out-of-band records between ESC _ and
 * ESC \ (ECMA-48 APC), so that a program's output on the same line stays byte-exact.
 *
 * Rejected: a console thread (the last lines before a crash would be missing).
 */
#include "core_private.h"
#include <core/cmdline.h>
#include <core/log.h>
#include <core/spinlock.h>
#include <core/time.h>
#include <hal/upcall.h>
#include <lib/format.h>
#include <lib/string.h>

#define RING_SIZE 65536u
#define TEXT_MAX 256

struct record {
	uint64_t sequence;
	nsec_t time;
	uint16_t length; /* of the text; 0xffff: skip to the start of the ring */
	uint8_t level;
};

#define RECORD_SIZE(length) ALIGN_UP(sizeof(struct record) + (length), alignof(struct record))
#define SKIP 0xffff

static struct spinlock ring_lock = SPINLOCK_INIT(RANK_LOG, "log");
static uint8_t ring[RING_SIZE] ALIGNED(8); /* (ring_lock) */
static uint32_t head, tail;                /* (ring_lock) byte positions: next write, oldest */
static uint64_t next_sequence, first_sequence; /* (ring_lock) */

static struct spinlock console_lock = SPINLOCK_INIT(RANK_CONSOLE, "console");
static bool console_seized; /* a panic owns it */
static enum log_level console_level = LOG_DEBUG;
static bool framed;
static bool time_ready;
static void (*_Atomic input)(const char *bytes, size_t count);

void log_time_ready(void)
{
	time_ready = true;
}

void log_configure(void)
{
	char value[32];

	framed = cmdline_get("console", value, sizeof(value)) && strcmp(value, "framed") == 0;
	if (cmdline_has("quiet"))
		console_level = LOG_WARN;
	if (cmdline_has("loglevel"))
		console_level = (enum log_level)MIN(cmdline_u64("loglevel", LOG_DEBUG), 8u);
}

void log_set_console_level(enum log_level below)
{
	WRITE_ONCE(console_level, below);
}

static void drop_oldest_locked(void)
{
	const struct record *r = (const struct record *)(ring + tail);

	if (tail + sizeof(*r) > RING_SIZE || r->length == SKIP) {
		tail = 0;
		return;
	}
	tail += (uint32_t)RECORD_SIZE(r->length);
	first_sequence++;
}

/* Room for `size` bytes at head, which stay free of the oldest records. */
static void make_room_locked(uint32_t size)
{
	if (head + size > RING_SIZE) {
		while (first_sequence != next_sequence && tail >= head)
			drop_oldest_locked();
		if (head + sizeof(struct record) <= RING_SIZE)
			((struct record *)(ring + head))->length = SKIP;
		head = 0;
		if (first_sequence == next_sequence)
			tail = 0;
	}
	while (first_sequence != next_sequence && tail >= head && tail < head + size)
		drop_oldest_locked();
}

static nsec_t append(enum log_level level, const char *text, size_t length)
{
	nsec_t now = time_ready ? time_now() : 0;
	bool on = spin_lock_irq(&ring_lock);
	uint32_t size = (uint32_t)RECORD_SIZE(length);

	make_room_locked(size);
	struct record *r = (struct record *)(ring + head);
	*r = (struct record){next_sequence++, now, (uint16_t)length, (uint8_t)level};
	memcpy(r + 1, text, length);
	head += size;
	spin_unlock_irq(&ring_lock, on);
	return now;
}

static int format_time(char *buf, size_t size, nsec_t time)
{
	return format(buf, size, "[%5lu.%06lu] ", (unsigned long)(time / NSEC_PER_SEC),
		      (unsigned long)(time % NSEC_PER_SEC / NSEC_PER_USEC));
}

/* Writes a line to the console, framed as `kind` or followed by a line end. */
static void console_line(const char *kind, const char *prefix, const char *text)
{
	bool on = hal.cpu.irq_save();
	bool locked = !console_seized;

	if (locked) {
		preempt_disable();
		spin_acquire(&console_lock);
	}
	if (framed) {
		hal.platform.console_write("\033_tern:", 7);
		hal.platform.console_write(kind, strlen(kind));
		hal.platform.console_write(":", 1);
	}
	hal.platform.console_write(prefix, strlen(prefix));
	hal.platform.console_write(text, strlen(text));
	hal.platform.console_write(framed ? "\033\\" : "\r\n", 2);
	if (locked)
		spin_release(&console_lock);
	hal.cpu.irq_restore(on);
	if (locked)
		preempt_enable();
}

static void log_vwrite(enum log_level level, const char *fmt, va_list args)
{
	char text[TEXT_MAX], prefix[32];
	int wanted = vformat(text, sizeof(text), fmt, args);
	size_t length = MIN((size_t)wanted, sizeof(text) - 1);

	while (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	nsec_t now = append(level, text, length);
	if (level < READ_ONCE(console_level)) {
		format_time(prefix, sizeof(prefix), now);
		console_line("log", prefix, text);
	}
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vwrite(level, fmt, args);
	va_end(args);
}

void core_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vwrite(LOG_INFO, fmt, args);
	va_end(args);
}

/* The record with number `sequence`, which is in the ring. */
static const struct record *find_locked(uint64_t sequence)
{
	uint32_t at = tail;

	for (;;) {
		const struct record *r = (const struct record *)(ring + at);
		if (at + sizeof(*r) > RING_SIZE || r->length == SKIP) {
			at = 0;
			continue;
		}
		if (r->sequence == sequence)
			return r;
		at += (uint32_t)RECORD_SIZE(r->length);
	}
}

size_t log_read(uint64_t *seq, char *buf, size_t size, bool with_level)
{
	char text[TEXT_MAX];
	struct record r;
	bool on = spin_lock_irq(&ring_lock);

	if (*seq < first_sequence)
		*seq = first_sequence;
	bool found = *seq < next_sequence;
	if (found) {
		const struct record *in_ring = find_locked(*seq);
		r = *in_ring;
		memcpy(text, in_ring + 1, r.length);
		text[r.length] = '\0';
	}
	spin_unlock_irq(&ring_lock, on);
	if (!found || size == 0)
		return 0;
	++*seq;
	size_t n = 0;
	if (with_level)
		n = (size_t)format(buf, size, "<%u>", r.level);
	n = MIN(n, size - 1);
	n += (size_t)format_time(buf + n, size - n, r.time);
	n = MIN(n, size - 1);
	n += (size_t)format(buf + n, size - n, "%s\n", text);
	return MIN(n, size - 1);
}

uint64_t log_next_seq(void)
{
	bool on = spin_lock_irq(&ring_lock);
	uint64_t s = next_sequence;
	spin_unlock_irq(&ring_lock, on);
	return s;
}

uint64_t log_first_seq(void)
{
	bool on = spin_lock_irq(&ring_lock);
	uint64_t s = first_sequence;
	spin_unlock_irq(&ring_lock, on);
	return s;
}

size_t log_buffer_size(void)
{
	return RING_SIZE;
}

void console_write(const char *bytes, size_t count)
{
	bool on = spin_lock_irq(&console_lock);

	hal.platform.console_write(bytes, count);
	spin_unlock_irq(&console_lock, on);
}

void console_record(const char *kind, const char *text)
{
	if (framed)
		console_line(kind, "", text);
}

void console_seize(void)
{
	console_seized = true;
}

void console_panic_line(const char *text)
{
	append(LOG_EMERG, text, MIN(strlen(text), (size_t)TEXT_MAX - 1));
	console_line("panic", "", text);
}

void console_set_input(void (*consume)(const char *bytes, size_t count))
{
	atomic_store(&input, consume);
}

void core_console_input(const char *bytes, size_t count)
{
	void (*consume)(const char *, size_t) = atomic_load(&input);

	if (consume)
		consume(bytes, count);
}
