/*
 * Reading and writing a terminal.
 *
 * A canonical read gives at most one line; a raw one follows VMIN and VTIME (termios(3)). Both
 * sleep on `readers` with the lock dropped. A write goes out in pieces, so that echo and other
 * writers get in between but not within a piece.
 */
#include "tty.h"

#include <core/time.h>
#include <exec/signal.h>
#include <fs/poll.h>
#include <lib/string.h>

#define WRITE_PIECE 512
#define TENTH_SECOND (NSEC_PER_SEC / 10)

void tty_init(struct tty *t, const struct tty_driver *driver, uint64_t device)
{
	static const uint8_t characters[NCCS] = {
		[VINTR] = 3,     [VQUIT] = 28,   [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
		[VMIN] = 1,      [VSTART] = 17,  [VSTOP] = 19,   [VSUSP] = 26, [VREPRINT] = 18,
		[VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
	};

	t->driver = driver;
	t->device = device;
	mutex_init(&t->lock, "tty.lock");
	waitq_init(&t->readers);
	waitq_init(&t->writers);
	t->termios = (struct termios){
		.iflag = ICRNL | IXON | IUTF8,
		.oflag = OPOST | ONLCR,
		.cflag = 0002277, /* B38400 CS8 CREAD HUPCL */
		.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.ispeed = 38400,
		.ospeed = 38400,
	};
	memcpy(t->termios.cc, characters, sizeof(characters));
	t->window = (struct window_size){.rows = 24, .columns = 80};
}

static uint32_t available(const struct tty *t)
{
	return t->lines - t->tail;
}

/* How many bytes a raw read must find before it returns. */
static uint32_t wanted(const struct tty *t, size_t size)
{
	return (uint32_t)MIN(size, (size_t)MAX(t->termios.cc[VMIN], (uint8_t)1));
}

static bool readable(const struct tty *t, uint32_t least)
{
	return t->hung_up || t->input_ended ||
	       (tty_flag(t, ICANON) ? available(t) > 0 : available(t) >= least);
}

/* Sleeps until there is something to give, by the rules of the mode. The lock is held again. */
static enum kerr wait_input(struct tty *t, struct file *f, size_t size)
{
	bool canonical = tty_flag(t, ICANON);
	uint8_t min = t->termios.cc[VMIN], time = t->termios.cc[VTIME];
	nsec_t deadline = NSEC_NEVER;
	struct waiter w;
	enum kerr err = KERR_OK;

	if (readable(t, wanted(t, size)))
		return KERR_OK;
	t->driver->taken(t, t->head - t->tail);
	if (file_nonblocking(f))
		return canonical || available(t) == 0 ? KERR_AGAIN : KERR_OK;
	if (!canonical && min == 0) {
		if (time == 0)
			return KERR_OK;
		deadline = time_now() + time * TENTH_SECOND;
	}
	wait_begin(&t->readers, &w);
	while (!readable(t, wanted(t, size)) && err == KERR_OK) {
		uint32_t before = available(t);
		if (!canonical && min > 0 && time > 0)
			deadline = before ? time_now() + time * TENTH_SECOND : NSEC_NEVER;
		mutex_unlock(&t->lock);
		err = wait_park(&w, WAIT_IO, true, deadline);
		mutex_lock(&t->lock);
		if (err == KERR_OK && !canonical && available(t) > before && min == 0)
			break;
	}
	wait_end(&t->readers, &w);
	if (err == KERR_TIMEDOUT || readable(t, wanted(t, size)))
		return KERR_OK;
	return err == KERR_INTR ? KERR_RESTART : err;
}

/* Moves bytes out of the input buffer to `out`, at most `size`, at most one line in canonical mode.
 * *ended: a line's end was reached. */
static size_t take_input(struct tty *t, char *out, size_t size, bool *ended)
{
	size_t n = 0;

	while (n < size && t->tail != t->lines && !*ended) {
		uint8_t c = t->buffer[t->tail % TTY_BUFFER];
		bool mark = tty_flag(t, ICANON) && tty_marked(t, t->tail);
		t->tail++;
		*ended = mark;
		if (mark && c == END_OF_FILE)
			break;
		out[n++] = (char)c;
	}
	return n;
}

static enum kerr tty_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	struct tty *t = f->private;
	char piece[256];
	bool ended = false;

	*done = 0;
	if (b->size == 0)
		return KERR_OK;
	enum kerr err = tty_job_check(t, SIGTTIN);
	if (err != KERR_OK)
		return err;
	mutex_lock(&t->lock);
	err = wait_input(t, f, b->size);
	while (err == KERR_OK && *done < b->size && !ended) {
		size_t n = take_input(t, piece, MIN(b->size - *done, sizeof(piece)), &ended);
		if (n == 0)
			break;
		size_t moved = io_to_buffer(b, *done, piece, n);
		*done += moved;
		if (moved < n && *done == 0)
			err = KERR_FAULT;
		if (moved < n)
			break;
	}
	t->driver->taken(t, t->head - t->tail);
	mutex_unlock(&t->lock);
	return err;
}

/* Sleeps while output is stopped by VSTOP. The lock is held again. */
static enum kerr wait_output(struct tty *t, struct file *f)
{
	struct waiter w;
	enum kerr err = KERR_OK;

	if (likely(!t->stopped))
		return KERR_OK;
	if (file_nonblocking(f))
		return KERR_AGAIN;
	wait_begin(&t->writers, &w);
	while (t->stopped && !t->hung_up && err == KERR_OK) {
		mutex_unlock(&t->lock);
		err = wait_park(&w, WAIT_IO, true, NSEC_NEVER);
		mutex_lock(&t->lock);
	}
	wait_end(&t->writers, &w);
	return err == KERR_INTR ? KERR_RESTART : err;
}

static enum kerr tty_write(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	struct tty *t = f->private;
	char piece[WRITE_PIECE];
	enum kerr err = KERR_OK;

	*done = 0;
	if (tty_flag(t, TOSTOP))
		err = tty_job_check(t, SIGTTOU);
	while (err == KERR_OK && *done < b->size) {
		size_t n = MIN(b->size - *done, sizeof(piece));
		size_t moved = io_from_buffer(b, *done, piece, n);
		if (moved == 0) {
			err = KERR_FAULT;
			break;
		}
		mutex_lock(&t->lock);
		err = t->hung_up ? KERR_IO : wait_output(t, f);
		if (err == KERR_OK) {
			tty_put_locked(t, piece, moved);
			*done += moved;
		}
		mutex_unlock(&t->lock);
	}
	return *done ? KERR_OK : err;
}

static unsigned tty_poll(struct file *f, struct poll_table *table)
{
	struct tty *t = f->private;
	unsigned events = 0;

	poll_wait_for(table, &t->readers, POLL_IN | POLL_RDNORM | POLL_HUP);
	poll_wait_for(table, &t->writers, POLL_OUT | POLL_WRNORM);
	mutex_lock(&t->lock);
	uint32_t least = t->termios.cc[VTIME] ? 1 : wanted(t, SIZE_MAX);
	if (readable(t, least))
		events |= POLL_IN | POLL_RDNORM;
	else
		t->driver->taken(t, t->head - t->tail);
	if (!t->stopped)
		events |= POLL_OUT | POLL_WRNORM;
	if (t->hung_up)
		events |= POLL_HUP;
	mutex_unlock(&t->lock);
	return events;
}

const struct file_ops tty_file_ops = {
	.read = tty_read,
	.write = tty_write,
	.poll = tty_poll,
	.ioctl = tty_ioctl,
};
