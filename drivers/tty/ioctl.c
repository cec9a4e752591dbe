/* Settings of a terminal: ioctl_tty(2). */
#include "tty.h"
#include <drivers/tty.h>

#include <exec/signal.h>
#include <lib/string.h>
#include <mm/user_copy.h>

#define TCGETS 0x5401
#define TCSETS 0x5402
#define TCSETSW 0x5403
#define TCSETSF 0x5404
#define TCSBRK 0x5409
#define TCXONC 0x540a
#define TCFLSH 0x540b
#define TIOCEXCL 0x540c
#define TIOCNXCL 0x540d
#define TIOCOUTQ 0x5411
#define TIOCGWINSZ 0x5413
#define TIOCSWINSZ 0x5414
#define FIONREAD 0x541b
#define TCSBRKP 0x5425
#define TCGETS2 0x802c542au
#define TCSETS2 0x402c542bu
#define TCSETSW2 0x402c542cu
#define TCSETSF2 0x402c542du

static enum kerr get_termios(struct tty *t, vaddr_t argument, size_t size)
{
	mutex_lock(&t->lock);
	struct termios copy = t->termios;
	mutex_unlock(&t->lock);
	return user_write(argument, &copy, size);
}

static enum kerr set_termios(struct tty *t, vaddr_t argument, size_t size, bool flush)
{
	struct termios wanted = t->termios; /* keeps the speeds if they are not given */
	enum kerr err = tty_job_check(t, SIGTTOU);

	if (err == KERR_OK)
		err = user_read(&wanted, argument, size);
	if (err != KERR_OK)
		return err;
	mutex_lock(&t->lock);
	bool was_canonical = tty_flag(t, ICANON);
	t->termios = wanted;
	if (flush)
		tty_flush_input_locked(t);
	if (was_canonical != tty_flag(t, ICANON))
		tty_canon_changed_locked(t, was_canonical);
	if (!(wanted.iflag & IXON))
		t->stopped = false;
	mutex_unlock(&t->lock);
	wake_all(&t->writers);
	return KERR_OK;
}

static enum kerr window_ioctl(struct tty *t, bool set, vaddr_t argument)
{
	struct window_size w;

	if (!set) {
		mutex_lock(&t->lock);
		w = t->window;
		mutex_unlock(&t->lock);
		return user_write(argument, &w, sizeof(w));
	}
	enum kerr err = user_read(&w, argument, sizeof(w));
	if (err != KERR_OK)
		return err;
	mutex_lock(&t->lock);
	bool changed = memcmp(&w, &t->window, sizeof(w)) != 0;
	t->window = w;
	mutex_unlock(&t->lock);
	if (changed)
		tty_signal_foreground(t, SIGWINCH);
	return KERR_OK;
}

static enum kerr flush_ioctl(struct tty *t, unsigned long what)
{
	if (what > 2)
		return KERR_INVAL;
	enum kerr err = tty_job_check(t, SIGTTOU);
	if (err != KERR_OK || what == 1) /* TCOFLUSH: output is never queued */
		return err;
	mutex_lock(&t->lock);
	tty_flush_input_locked(t);
	mutex_unlock(&t->lock);
	return KERR_OK;
}

static enum kerr flow_ioctl(struct tty *t, unsigned long what)
{
	if (what > 3)
		return KERR_INVAL;
	if (what > 1)
		return KERR_OK; /* TCIOFF, TCION: nobody at the other end listens to them */
	mutex_lock(&t->lock);
	t->stopped = what == 0; /* TCOOFF, TCOON */
	mutex_unlock(&t->lock);
	wake_all(&t->writers);
	return KERR_OK;
}

static enum kerr count_input(struct tty *t, vaddr_t argument)
{
	mutex_lock(&t->lock);
	int count = (int)(t->lines - t->tail);
	mutex_unlock(&t->lock);
	return user_write(argument, &count, sizeof(count));
}

static enum kerr count_output(struct tty *t, vaddr_t argument)
{
	mutex_lock(&t->lock);
	int count = t->driver->unsent ? (int)t->driver->unsent(t) : 0;
	mutex_unlock(&t->lock);
	return user_write(argument, &count, sizeof(count));
}

static enum kerr set_after_output(struct tty *t, vaddr_t argument, size_t size, bool flush)
{
	if (t->driver->drain)
		t->driver->drain(t);
	return set_termios(t, argument, size, flush);
}

static enum kerr drain_ioctl(struct tty *t)
{
	if (t->driver->drain)
		t->driver->drain(t);
	return KERR_OK;
}

enum kerr tty_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	struct tty *t = f->private;

	*result = 0;
	switch (command) {
	case TCGETS:
		return get_termios(t, argument, TERMIOS_SIZE);
	case TCGETS2:
		return get_termios(t, argument, TERMIOS2_SIZE);
	case TCSETS:
		return set_termios(t, argument, TERMIOS_SIZE, false);
	case TCSETSW:
	case TCSETSF:
		return set_after_output(t, argument, TERMIOS_SIZE, command == TCSETSF);
	case TCSETS2:
		return set_termios(t, argument, TERMIOS2_SIZE, false);
	case TCSETSW2:
	case TCSETSF2:
		return set_after_output(t, argument, TERMIOS2_SIZE, command == TCSETSF2);
	case TIOCGWINSZ:
	case TIOCSWINSZ:
		return window_ioctl(t, command == TIOCSWINSZ, argument);
	case TCFLSH:
		return flush_ioctl(t, argument);
	case TCXONC:
		return flow_ioctl(t, argument);
	case FIONREAD:
		return count_input(t, argument);
	case TIOCOUTQ:
		return count_output(t, argument);
	case TCSBRK:
	case TCSBRKP:
		return drain_ioctl(t);
	case TIOCEXCL:
	case TIOCNXCL:
		return KERR_OK; /* exclusive use does not bind the superuser */
	default:
		return tty_job_ioctl(t, command, argument, result);
	}
}

/* ---- For the kernel's own editor ---- */

#define KEYS_OFF (ISIG | ICANON | ECHO | IEXTEN)

enum kerr tty_set_keys(struct file *f, bool on)
{
	struct tty *t = f->private;

	if (f->ops != &tty_file_ops)
		return KERR_NOTTY;
	mutex_lock(&t->lock);
	bool was_canonical = tty_flag(t, ICANON);
	if (on)
		t->termios.lflag &= ~KEYS_OFF;
	else
		t->termios.lflag |= KEYS_OFF;
	t->termios.iflag = ICRNL | IXON | IUTF8;
	t->termios.oflag = OPOST | ONLCR;
	t->termios.cc[VMIN] = 1;
	t->termios.cc[VTIME] = 0;
	t->stopped = false;
	if (was_canonical == on)
		tty_canon_changed_locked(t, was_canonical);
	mutex_unlock(&t->lock);
	return KERR_OK;
}

unsigned tty_columns(struct file *f)
{
	const struct tty *t = f->private;

	return f->ops == &tty_file_ops ? READ_ONCE(t->window.columns) : 80;
}
