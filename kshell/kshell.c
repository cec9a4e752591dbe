/*
 * The kernel's own shell (US-6): what answers on the console when there is no program 1, or when
 * `kshell` is on the command line. It is process 1, which never leaves the kernel: a loop of line,
 * words, command. Programs that it starts are its children and get the console as their terminal.
 *
 * One thread uses all this; nothing is locked. The terminal gives keys one by one while the shell
 * reads, and is an ordinary one while a program runs.
 *
 * Rejected: a shell of our own in user space (it could not help where no program starts);
 * pipelines and scripts (that is what `run sh` is for).
 */
#include "kshell_private.h"

#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/init.h>
#include <core/log.h>
#include <core/version.h>
#include <drivers/tty.h>
#include <exec/process.h>
#include <exec/sched.h>
#include <fs/poll.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/memory.h>
#include <syscall/program.h>

#define CTRL_C 3

/* ---- Output ---- */

void sh_write(struct shell *s, const char *bytes, size_t count)
{
	size_t done = 0;

	while (count > 0) {
		const struct io_buffer b = {.addr = (vaddr_t)bytes, .size = count};
		if (file_write(s->console, &b, &done) != KERR_OK || done == 0)
			return;
		bytes += done;
		count -= done;
	}
}

void sh_print(struct shell *s, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	int n = vformat(text, sizeof(text), fmt, args);
	va_end(args);
	sh_write(s, text, MIN((size_t)n, sizeof(text) - 1));
}

const char *sh_color(struct shell *s, enum sh_color color)
{
	static const char *const codes[] = {"\x1b[0m", "\x1b[1;36m", "\x1b[32m", "\x1b[31m",
					    "\x1b[2m"};
	const char *wanted = sh_variable(s, "color");

	return wanted && strcmp(wanted, "on") == 0 ? codes[color] : "";
}

int sh_fail(struct shell *s, const char *name, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vformat(text, sizeof(text), fmt, args);
	va_end(args);
	sh_print(s, "%s%.64s: %s%s\n", sh_color(s, COLOR_BAD), name, text, sh_color(s, COLOR_NONE));
	return 1;
}

int sh_usage(struct shell *s, const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			sh_print(s, "usage: %s %s\n", c->name, c->arguments);
	return 2;
}

/* ---- Input ---- */

static void output(void *shell, const char *bytes, size_t count)
{
	sh_write(shell, bytes, count);
}

/* More keys behind those that are there; sleeps if there are none and `wait`, and then takes one
 * only: what is typed ahead may be for the program that the line starts. */
static bool fill_keys(struct shell *s, bool wait)
{
	size_t done = 0;

	if (s->key_at == s->key_count)
		s->key_at = s->key_count = 0;
	if (s->key_count == sizeof(s->keys))
		return true;
	if (!wait && !(file_poll(s->console, nullptr) & POLL_IN))
		return true;
	const struct io_buffer b = {.addr = (vaddr_t)s->keys + s->key_count,
				    .size = wait ? 1 : sizeof(s->keys) - s->key_count};
	enum kerr err = file_read(s->console, &b, &done);
	s->key_count += done;
	return err == KERR_OK && done > 0;
}

bool sh_key(struct shell *s, char *key)
{
	if (s->key_at == s->key_count && !fill_keys(s, true))
		return false;
	*key = s->keys[s->key_at++];
	return true;
}

bool sh_interrupted(struct shell *s)
{
	if (!fill_keys(s, false))
		return true;
	for (size_t i = s->key_at; i < s->key_count; i++)
		if (s->keys[i] == CTRL_C) {
			s->key_at = i + 1; /* what was typed before goes, too */
			sh_print(s, "^C\n");
			return true;
		}
	return false;
}

/* ---- Variables ---- */

const char *sh_variable(void *shell, const char *name)
{
	static char status[12];
	struct shell *s = shell;

	if (strcmp(name, "?") == 0) {
		format(status, sizeof(status), "%d", s->status);
		return status;
	}
	for (unsigned i = 0; i < s->variable_count; i++)
		if (strcmp(s->variables[i].name, name) == 0)
			return s->variables[i].value;
	return nullptr;
}

bool sh_set(struct shell *s, const char *name, const char *value)
{
	unsigned i = 0;

	while (i < s->variable_count && strcmp(s->variables[i].name, name) != 0)
		i++;
	if (i == VARIABLES_MAX || strlen(name) >= NAME_MAX || strlen(value) >= VALUE_MAX)
		return false;
	s->variable_count = MAX(s->variable_count, i + 1);
	strlcpy(s->variables[i].name, name, NAME_MAX);
	strlcpy(s->variables[i].value, value, VALUE_MAX);
	return true;
}

/* ---- The loop ---- */

static void banner(struct shell *s, const char *why)
{
	struct memory_stats m;

	memory_stats(&m);
	sh_print(s, "\n%s  ~v~  Tern kernel shell%s  %s on %s\n", sh_color(s, COLOR_STRONG),
		 sh_color(s, COLOR_NONE), TERN_VERSION, hal.user.info()->machine);
	sh_print(s, "  %u CPU%s, %lu MiB of memory, scheduler %s, frames by %s\n", cpu_count,
		 cpu_count == 1 ? "" : "s", (unsigned long)(m.total * PAGE_SIZE >> 20),
		 sched_name(), frame_allocator_name());
	if (why)
		sh_print(s, "  %s\n", why);
	sh_print(s, "  help lists the commands; run /bin/sh starts a program\n\n");
}

static void execute(struct shell *s, const char *line)
{
	const char *why = "";
	enum kerr err = words_split(&s->words, line, sh_variable, s, &why);

	if (err != KERR_OK) {
		s->status = sh_fail(s, "kshell", "%s", why);
		return;
	}
	if (s->words.count == 0)
		return;
	char **argv = s->words.word;
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, argv[0]) == 0) {
			s->status = c->run(s, s->words.count, argv);
			return;
		}
	sh_fail(s, argv[0], "unknown command; help lists them, run %.64s starts a program",
		argv[0]);
	s->status = 127;
}

/* Reads one line and does what it says; false: input has ended. */
static bool one_line(struct shell *s)
{
	char prompt[64], key;
	enum edit_event event = EDIT_MORE;

	sh_reap();
	s->editor.columns = tty_columns(s->console);
	format(prompt, sizeof(prompt), "%stern%s# ", sh_color(s, COLOR_STRONG),
	       sh_color(s, COLOR_NONE));
	edit_begin(&s->editor, prompt, strlen("tern# "));
	while (event == EDIT_MORE) {
		if (!sh_key(s, &key))
			return false;
		event = edit_key(&s->editor, key);
	}
	if (event == EDIT_HUGE)
		s->status = sh_fail(s, "kshell", "a line has at most %u bytes", EDIT_MAX - 1);
	if (event != EDIT_LINE)
		return event != EDIT_END;
	edit_remember(&s->editor, s->editor.line);
	execute(s, s->editor.line);
	return true;
}

/* What program 1 would have mounted; what is there already stays. */
static void mount_usual(void)
{
	static const char *const places[][2] = {
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}};
	struct path where;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const char *type = places[i][0], *place = places[i][1];
		enum kerr err = vfs_make_directory(nullptr, place, 0755);
		if (err == KERR_OK || err == KERR_EXIST)
			err = vfs_lookup(nullptr, place, LOOKUP_FOLLOW, &where);
		if (err == KERR_OK) {
			err = vfs_mount(type, &where, type, 0, "");
			path_put(&where);
		}
		if (err != KERR_OK && err != KERR_BUSY)
			log_warn("kshell: %s: %s", place, kerr_name(err));
	}
}

static bool set_up(struct shell *s)
{
	char mode[16];
	bool framed = cmdline_get("console", mode, sizeof(mode)) && strcmp(mode, "framed") == 0;

	mount_usual();
	s->console = fd_get(0);
	if (!s->console)
		return false;
	s->editor.write = output;
	s->editor.complete = sh_complete;
	s->editor.context = s;
	return sh_set(s, "HOME", "/") && sh_set(s, "PATH", "/bin:/sbin:/usr/bin:/usr/sbin") &&
	       sh_set(s, "TERM", "vt100") && sh_set(s, "color", framed ? "off" : "on") &&
	       tty_set_keys(s->console, true) == KERR_OK;
}

[[noreturn]] static void kshell_main(const char *why)
{
	struct shell *s = heap_alloc_zeroed(sizeof(*s));

	if (s && set_up(s)) {
		banner(s, why);
		while (!s->leaving && one_line(s))
			;
	} else {
		log_error("kshell: %s", s ? "there is no console" : "out of memory");
	}
	kernel_power_off(s ? s->leave_status : 125);
}

static enum kerr kshell_init(const struct boot_info *info)
{
	program_shell_register(kshell_main);
	return KERR_OK;
}

static const struct init_ops kshell_ops = {.init = kshell_init};
INIT_SUBSYSTEM(kshell, .phase = INIT_LATE, .priority = 95, .optional = true,
	       .requires = INIT_SCHEDULER | INIT_FILESYSTEM | INIT_DRIVERS,
	       INIT_DEPENDS("syscalls", "drivers"), .ops = &kshell_ops);
