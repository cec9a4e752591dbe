/*
 * A terminal: what stands between a line of bytes (the console's UART, later a pseudo-terminal)
 * and programs.
 *
 *   driver --tty_receive--> ldisc.c: signals, editing, echo --> input buffer --> read (tty.c)
 *   driver <--driver->write-- output.c: newline and tab translation <-- write (tty.c), echo
 *   job.c: sessions, foreground group; ioctl.c: settings
 *
 * Everything in a terminal is guarded by its mutex, which sleepers drop. Input is never processed
 * in interrupt context: the driver hands bytes over from a thread.
 */
#pragma once

#include <core/wait.h>
#include <exec/process.h>
#include <fs/file.h>

struct tty;

struct tty_driver {
	const char *name; /* "ttyS0", for /proc and ps */
	void (*write)(struct tty *t, const char *bytes, size_t count);
	/* Bytes that were written and are not on the line yet (lock held); until there are none (lock not
	 * held, may sleep). Null: there never are. */
	uint32_t (*unsent)(struct tty *t);
	void (*drain)(struct tty *t);
	/* A reader took bytes or finds none: `unread` are left. The lock is held. */
	void (*taken)(struct tty *t, uint32_t unread);
};

/* c_iflag */
#define IGNBRK 0001u
#define ISTRIP 0040u
#define INLCR 0100u
#define IGNCR 0200u
#define ICRNL 0400u
#define IUCLC 01000u
#define IXON 02000u
#define IXANY 04000u
#define IMAXBEL 020000u
#define IUTF8 040000u
/* c_oflag */
#define OPOST 0001u
#define OLCUC 0002u
#define ONLCR 0004u
#define OCRNL 0010u
#define ONOCR 0020u
#define ONLRET 0040u
#define TABDLY 014000u
#define XTABS 014000u
/* c_lflag */
#define ISIG 0000001u
#define ICANON 0000002u
#define ECHO 0000010u
#define ECHOE 0000020u
#define ECHOK 0000040u
#define ECHONL 0000100u
#define NOFLSH 0000200u
#define TOSTOP 0000400u
#define ECHOCTL 0001000u
#define ECHOKE 0004000u
#define IEXTEN 0100000u
/* c_cc */
enum {
	VINTR,
	VQUIT,
	VERASE,
	VKILL,
	VEOF,
	VTIME,
	VMIN,
	VSWTC,
	VSTART,
	VSTOP,
	VSUSP,
	VEOL,
	VREPRINT,
	VDISCARD,
	VWERASE,
	VLNEXT,
	VEOL2,
	NCCS = 19,
};

struct termios { /* the kernel ABI's struct termios2; struct termios is it without the speeds */
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line, cc[NCCS];
	uint32_t ispeed, ospeed;
};
#define TERMIOS_SIZE 36
#define TERMIOS2_SIZE 44
static_assert(sizeof(struct termios) == TERMIOS2_SIZE);

struct window_size {
	uint16_t rows, columns, x_pixels, y_pixels;
};

#define TTY_BUFFER 4096u /* power of two; MAX_CANON is one less */

struct tty {
	const struct tty_driver *driver; /* (const) */
	uint64_t device; /* (const) number */
	struct mutex lock; /* all below */
	struct termios termios;
	struct window_size window;
	/* Input: [tail, lines) complete lines, [lines, head) the line being edited. In raw mode lines
	 * is head. Positions count up; `mark` has a bit for each byte that ends a line, and such
	 * a byte is not data if it is END_OF_FILE. */
	uint32_t tail, lines, head;
	uint8_t buffer[TTY_BUFFER];
	uint64_t mark[TTY_BUFFER / 64];
	bool literal; /* the next byte is taken as it is (VLNEXT) */
	bool stopped; /* output, by VSTOP */
	bool hung_up;
	bool input_ended; /* nothing more will come: a read of the empty buffer gives 0 bytes */
	uint32_t column; /* of the cursor, for tabs and erasing */
	uint32_t line_column; /* where the edited line began */
	struct waitq readers, writers;
	/* Job control. */
	struct session *session; /* whose controlling terminal this is, or null */
	int foreground; /* group, 0: none */
};

#define END_OF_FILE 0 /* stored with its mark for VEOF */

void tty_init(struct tty *t, const struct tty_driver *driver, uint64_t device);
extern const struct file_ops tty_file_ops;

/* ldisc.c: bytes from the line; thread context. */
void tty_receive(struct tty *t, const char *bytes, size_t count);
void tty_end_input(struct tty *t);
void tty_flush_input_locked(struct tty *t);
/* Canonical mode was switched on or off. */
void tty_canon_changed_locked(struct tty *t, bool was_canonical);
static inline bool tty_flag(const struct tty *t, uint32_t lflag)
{
	return t->termios.lflag & lflag;
}
static inline bool tty_marked(const struct tty *t, uint32_t at)
{
	at %= TTY_BUFFER;
	return t->mark[at / 64] >> at % 64 & 1;
}

/* output.c: with the oflag translations; the lock is held. */
void tty_put_locked(struct tty *t, const char *bytes, size_t count);

/* job.c */
/* Before a read (signo SIGTTIN) or write or setting (SIGTTOU): the caller may go on (KERR_OK), was
 * stopped and must start again (KERR_RESTART), or may not (KERR_IO). Lock not held. */
enum kerr tty_job_check(struct tty *t, int signo);
enum kerr tty_job_ioctl(struct tty *t, unsigned command, vaddr_t argument, long *result);
/* The caller's session takes it as its controlling terminal, if it has none and leads. */
void tty_claim(struct tty *t);
void tty_signal_foreground(struct tty *t, int signo);
struct tty *tty_of_session(struct session *s);
void tty_job_init(void);

/* ioctl.c */
enum kerr tty_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result);
