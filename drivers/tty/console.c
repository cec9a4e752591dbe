/*
 * The console as a terminal: /dev/console, /dev/tty, and the name of the UART it lies on.
 *
 * Input bytes come in interrupt context and go into a ring of one producer and one consumer, no lock;
 * a thread of its own takes them out and runs the line discipline, which may echo, wake and
 * signal. Output goes by console_out.c through core's console, which the kernel's log shares. The ring is larger than
 * a screen of pasted text; what does not fit is dropped and counted in the log.
 */
#include "console_out.h"
#include "tty.h"

#include <core/cmdline.h>
#include <core/init.h>
#include <core/log.h>
#include <fs/device.h>
#include <lib/format.h>
#include <lib/string.h>

#define RING 8192u

#define DEVICE(major, minor) ((uint64_t)(major) << 8 | (minor))

static struct tty console;

static struct {
	char bytes[RING];
	_Atomic uint32_t head;   /* written by the interrupt */
	_Atomic uint32_t tail;   /* written by the thread */
	_Atomic uint32_t dropped;
	struct waitq queue;
} input = {.queue = WAITQ_INIT(input.queue)};

static void console_output(struct tty *t, const char *bytes, size_t count)
{
	console_out_write(bytes, count);
}

static uint32_t console_unsent(struct tty *t)
{
	return console_out_unsent();
}

static void console_drain(struct tty *t)
{
	console_out_drain();
}

/* With console=framed: input is counted, and allowed to ./tern in steps as it is read (record
 * "input"); DLE is an escape (tools/tern/console.py has the protocol). */
#define WINDOW 2048u /* bytes that may be under way */
#define ESCAPE '\x10'

static struct {
	bool on;     /* (const after init) */
	bool escaped;              /* the thread's */
	_Atomic uint64_t received; /* bytes that reached the terminal */
	uint64_t permitted;        /* (console.lock) what was told last */
} framed;

static void console_taken(struct tty *t, uint32_t unread)
{
	char text[24];

	if (!framed.on)
		return;
	uint64_t received = atomic_load(&framed.received);
	uint64_t permitted = received - MIN(received, (uint64_t)unread) + WINDOW;
	if (permitted < framed.permitted + WINDOW / 2)
		return;
	framed.permitted = permitted;
	format(text, sizeof(text), "%lu", (unsigned long)permitted);
	console_record("input", text);
}

static const struct tty_driver driver = {
	.name = "console",
	.write = console_output,
	.unsent = console_unsent,
	.drain = console_drain,
	.taken = console_taken,
};

static void receive_counted(const char *bytes, size_t count)
{
	tty_receive(&console, bytes, count);
	atomic_fetch_add(&framed.received, count);
}

static void receive_framed(const char *bytes, size_t count)
{
	char plain[256];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		bool escaped = framed.escaped;
		framed.escaped = !escaped && bytes[i] == ESCAPE;
		if (framed.escaped)
			continue;
		if (!escaped || bytes[i] == ESCAPE)
			plain[n++] = bytes[i];
		if (n == sizeof(plain) || i + 1 == count || escaped) {
			receive_counted(plain, n);
			n = 0;
		}
		if (escaped && bytes[i] == 'e')
			tty_end_input(&console);
	}
	if (n)
		receive_counted(plain, n);
}

/* Interrupt context. */
static void console_input(const char *bytes, size_t count)
{
	uint32_t head = atomic_load_explicit(&input.head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&input.tail, memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		if (head - tail == RING) {
			atomic_fetch_add(&input.dropped, (uint32_t)(count - i));
			break;
		}
		input.bytes[head++ % RING] = bytes[i];
	}
	atomic_store_explicit(&input.head, head, memory_order_release);
	wake_all(&input.queue);
}

static void take_bytes(void)
{
	uint32_t head = atomic_load_explicit(&input.head, memory_order_acquire);
	uint32_t tail = atomic_load_explicit(&input.tail, memory_order_relaxed);

	while (tail != head) {
		uint32_t n = MIN(head - tail, RING - tail % RING);
		const char *bytes = input.bytes + tail % RING;
		if (framed.on)
			receive_framed(bytes, n);
		else
			tty_receive(&console, bytes, n);
		tail += n;
		atomic_store_explicit(&input.tail, tail, memory_order_release);
	}
	uint32_t dropped = atomic_exchange(&input.dropped, 0);
	if (dropped)
		log_warn("console: %u input bytes came too fast and were dropped", dropped);
}

static void console_thread(void *arg)
{
	for (;;) {
		enum kerr err = wait_until(&input.queue,
					   atomic_load(&input.head) != atomic_load(&input.tail),
					   WAIT_IO, true, NSEC_NEVER);
		if (err == KERR_OK)
			take_bytes();
	}
}

static enum kerr open_tty(struct file *f, struct tty *t)
{
	f->ops = &tty_file_ops;
	f->private = t;
	f->stream = true;
	return KERR_OK;
}

static enum kerr open_console(const struct device *d, struct file *f)
{
	return open_tty(f, &console);
}

static enum kerr open_line(const struct device *d, struct file *f)
{
	if (!(f->flags & O_NOCTTY))
		tty_claim(&console);
	return open_tty(f, &console);
}

/* /dev/tty: the controlling terminal of who opens it. */
static enum kerr open_own(const struct device *d, struct file *f)
{
	struct tty *t = tty_of_session(current_process()->session);

	return t ? open_tty(f, t) : KERR_NXIO;
}

static const struct device devices[] = {
	{"tty", DEVICE(5, 0), 0666, open_own, nullptr, .driver = "/dev/tty"},
	{"console", DEVICE(5, 1), 0600, open_console, nullptr, .driver = "/dev/console"},
	{"ttyS0", DEVICE(4, 64), 0620, open_line, nullptr, .driver = "ttyS"},
};

/* console.size=ROWSxCOLUMNS */
static void set_window(void)
{
	char text[32];
	const char *end;

	if (!cmdline_get("console.size", text, sizeof(text)))
		return;
	uint64_t rows = str_to_u64(text, &end, 10);
	uint64_t columns = *end == 'x' ? str_to_u64(end + 1, &end, 10) : 0;
	if (rows == 0 || columns == 0 || rows > UINT16_MAX || columns > UINT16_MAX || *end) {
		log_warn("console.size=%s: give ROWSxCOLUMNS, for example 24x80", text);
		return;
	}
	console.window.rows = (uint16_t)rows;
	console.window.columns = (uint16_t)columns;
}

static enum kerr drivers_init(const struct boot_info *info)
{
	struct thread *thread;
	char mode[16];

	tty_init(&console, &driver, DEVICE(5, 1));
	framed.on = cmdline_get("console", mode, sizeof(mode)) && strcmp(mode, "framed") == 0;
	set_window();
	tty_job_init();
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		enum kerr err = device_add(&devices[i]);
		if (err != KERR_OK)
			return err;
	}
	enum kerr err = console_out_init();
	if (err == KERR_OK)
		err = kthread_create("console", PRIORITY_HIGH, console_thread, nullptr, &thread);
	if (err == KERR_OK)
		console_set_input(console_input);
	return err;
}

/* Before the machine goes: what programs wrote is out. */
static enum kerr drivers_stop(void)
{
	console_out_drain();
	return KERR_OK;
}

static const struct init_ops ops = {.init = drivers_init, .stop = drivers_stop};
INIT_SUBSYSTEM(drivers, .phase = INIT_LATE, .priority = 20,
	       .requires = INIT_FILESYSTEM | INIT_SCHEDULER | INIT_TIMERS,
	       INIT_DEPENDS("filesystem"), .provides = INIT_DRIVERS, .ops = &ops);
