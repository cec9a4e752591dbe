/*
 * tern-ctl heal: what is watched and healed (call 502).
 *
 *	tern-ctl heal                    components and events
 *	tern-ctl heal check [NAME]       checks now
 *	tern-ctl heal reset NAME         an isolated one is used again
 *	tern-ctl heal inject WHAT [N]    the RAM disk's driver breaks in that way: crash, hang, lost, nomem, wild, wrong, bug
 *	tern-ctl heal demo [WHAT]        lets it break while four programs read, and shows what came of it
 */
#include "ctl.h"

#include <tern/tern.h>

#define DISK "/dev/ram0"
#define READERS 4
#define CHUNK 65536u
#define DEMO_BYTES (1u << 20)

#if defined(__x86_64__)
#define NR_FINIT_MODULE 313
#else
#define NR_FINIT_MODULE 273
#endif
#define E_EXIST 17

static unsigned char buffer[CHUNK];

static bool set_text(char *to, size_t size, const char *from)
{
	size_t length = text_length(from);

	if (length >= size)
		return false;
	memcpy(to, from, length + 1);
	return true;
}

static long call(struct tern_self_heal *h, uint32_t op)
{
	h->size = sizeof(*h);
	h->op = op;
	return SYS(TERN_NR_SELF_HEAL, h, 0, 0, 0, 0);
}

static void figure(const char *name, unsigned long value)
{
	print(1, name);
	print_number(1, value);
}

static int events(uint64_t after)
{
	for (;;) {
		struct tern_self_heal h = {.number = after};
		if (call(&h, TERN_HEAL_EVENT) < 0)
			return 0;
		after = h.number;
		figure("  ", (unsigned long)(h.time_ns / 1000));
		print(1, " us ");
		print(1, h.name);
		print(1, ": ");
		print(1, h.what);
		print(1, h.why[0] ? ": " : "");
		print(1, h.why);
		print(1, "\n");
	}
}

static uint64_t last_event(void)
{
	uint64_t last = 0;

	for (;;) {
		struct tern_self_heal h = {.number = last};
		if (call(&h, TERN_HEAL_EVENT) < 0)
			return last;
		last = h.number;
	}
}

static int status(uint64_t after)
{
	for (uint32_t i = 0;; i++) {
		struct tern_self_heal h = {.index = i};
		long err = call(&h, TERN_HEAL_STATUS);
		if (err == -E_NOENT)
			break;
		if (err < 0)
			return refused("heal", err);
		print(1, h.name);
		print(1, " ");
		print(1, h.what);
		figure(" checks ", (unsigned long)h.checks);
		figure(" failures ", (unsigned long)h.failures);
		figure(" restarts ", (unsigned long)h.restarts);
		figure(" swaps ", (unsigned long)h.swaps);
		figure(" isolations ", (unsigned long)h.isolations);
		figure(" repair ", (unsigned long)(h.repair_last_ns / 1000));
		figure(" us, most ", (unsigned long)(h.repair_max_ns / 1000));
		print(1, " us\n");
	}
	return events(after);
}

static long inject(const char *what, uint32_t times)
{
	struct tern_self_heal h = {.name = "ram0", .times = times};

	return set_text(h.what, sizeof(h.what), what) ? call(&h, TERN_HEAL_INJECT) : -E_NOENT;
}

/* ---- The demonstration ---- */

static unsigned char pattern(unsigned long at)
{
	return (unsigned char)(at * 31 ^ at >> 8 ^ at >> 16);
}

static long load_driver(void)
{
	struct tern_info i = {.size = sizeof(i)};
	char path[96] = "/lib/modules/";
	size_t at = text_length(path);
	long err = SYS(TERN_NR_INFO, &i, 0, 0, 0, 0);

	if (err < 0)
		return err;
	memcpy(path + at, i.release, text_length(i.release));
	at += text_length(i.release);
	memcpy(path + at, "/ramqueue.ko", sizeof("/ramqueue.ko"));
	long fd = sys_open(path, OPEN_READ | OPEN_CLOEXEC);
	if (fd < 0)
		return fd;
	err = SYS(NR_FINIT_MODULE, fd, "", 0, 0, 0);
	sys_close((int)fd);
	if (err < 0 && err != -E_EXIST)
		return err;
	fd = sys_open("/sys/kernel/slots", OPEN_WRITE | OPEN_CLOEXEC);
	if (fd < 0)
		return fd;
	err = sys_write((int)fd, "block queued\n", 13);
	sys_close((int)fd);
	return err < 0 ? err : 0;
}

static long fill(void)
{
	long fd = sys_open(DISK, OPEN_WRITE | OPEN_CLOEXEC), n = fd;

	for (unsigned long at = 0; fd >= 0 && at < DEMO_BYTES; at += CHUNK) {
		for (unsigned long i = 0; i < CHUNK; i++)
			buffer[i] = pattern(at + i);
		n = sys_write((int)fd, buffer, CHUNK);
		if (n != CHUNK)
			break;
	}
	sys_close((int)fd);
	return n < 0 ? n : 0;
}

static int read_all(void)
{
	long fd = sys_open(DISK, OPEN_READ | OPEN_CLOEXEC);

	for (unsigned long at = 0; at < DEMO_BYTES; at += CHUNK) {
		if (sys_read((int)fd, buffer, CHUNK) != CHUNK)
			return 1;
		for (unsigned long i = 0; i < CHUNK; i++)
			if (buffer[i] != pattern(at + i))
				return 2;
	}
	sys_close((int)fd);
	return 0;
}

static int demo(const char *what)
{
	uint64_t before = last_event();
	unsigned right = 0;
	int result;

	long err = load_driver();
	if (err < 0)
		return refused("loading and using the driver \"queued\"", err);
	err = fill();
	if (err < 0)
		return refused("writing " DISK, err);
	print(1, DISK " written by the driver \"queued\"; now: ");
	print(1, what);
	print(1, "\n");
	err = inject(what, 1);
	if (err < 0)
		return refused("inject", err);
	for (unsigned i = 0; i < READERS; i++)
		if (sys_fork() == 0)
			sys_exit(read_all());
	for (unsigned i = 0; i < READERS; i++)
		right += sys_wait(-1, &result) > 0 && result == 0;
	print_number(1, right);
	figure(" of ", READERS);
	print(1, " readers, each with a request in flight, read all of it right\n");
	status(before);
	return right == READERS ? 0 : 1;
}

int ctl_heal(int argc, char **argv)
{
	struct tern_self_heal h = {};
	unsigned long times = 0;

	if (argc == 0 || (argc == 1 && text_equal(argv[0], "status")))
		return status(0);
	if (text_equal(argv[0], "demo") && argc <= 2)
		return demo(argc == 2 ? argv[1] : "crash");
	if (text_equal(argv[0], "inject") && (argc == 2 || argc == 3)) {
		for (const char *c = argc == 3 ? argv[2] : "1"; *c; c++) {
			if (*c < '0' || *c > '9' || times > 100000)
				return refused("inject: a number", -22);
			times = times * 10 + (unsigned long)(*c - '0');
		}
		long err = inject(argv[1], (uint32_t)times);
		return err < 0 ? refused("inject", err) : 0;
	}
	if ((text_equal(argv[0], "check") && argc <= 2) ||
	    (text_equal(argv[0], "reset") && argc == 2)) {
		if (argc == 2 && !set_text(h.name, sizeof(h.name), argv[1]))
			return refused(argv[0], -E_NOENT);
		long err =
			call(&h, text_equal(argv[0], "check") ? TERN_HEAL_CHECK : TERN_HEAL_RESET);
		return err < 0 ? refused(argv[0], err) : 0;
	}
	bool help = argc == 1 && text_equal(argv[0], "help");
	print(help ? 1 : 2,
	      "usage: tern-ctl heal [status | check [NAME] | reset NAME | inject WHAT [TIMES] | "
	      "demo [WHAT]]\n");
	return help ? 0 : 2;
}
