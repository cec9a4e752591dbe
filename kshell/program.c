/*
 * Starting programs: a child that leads a session of its own, whose terminal is the console, and
 * that the shell waits for. The shell is process 1, so it also takes in orphans that have ended.
 */
#include "kshell_private.h"

#include <drivers/tty.h>
#include <exec/exit.h>
#include <exec/group.h>
#include <exec/process.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <syscall/program.h>

#define TIOCSCTTY 0x540e

struct start {
	struct shell *s;
	char **argv;
	char path[PATH_SIZE];
	char text[VARIABLES_MAX][NAME_MAX + 1 + VALUE_MAX];
	const char *environment[VARIABLES_MAX + 1];
};

/* The program's file: as named, or by PATH. */
static enum kerr find_program(struct shell *s, const char *name, char *out, size_t size)
{
	struct inode_attributes a;
	const char *path = strchr(name, '/') ? nullptr : sh_variable(s, "PATH");

	if (strlen(name) >= size)
		return KERR_NAMETOOLONG;
	strlcpy(out, name, size);
	if (!path)
		return vfs_stat_name(nullptr, out, LOOKUP_FOLLOW, &a);
	while (*path) {
		const char *end = strchr(path, ':');
		size_t length = end ? (size_t)(end - path) : strlen(path);
		int n = format(out, size, "%.*s/%s", (int)length, path, name);
		if ((size_t)n < size && vfs_stat_name(nullptr, out, LOOKUP_FOLLOW, &a) == KERR_OK)
			return KERR_OK;
		path += length + (end != nullptr);
	}
	return KERR_NOENT;
}

/* The child, before it is the program. */
static void become_program(void *arg)
{
	struct start *start = arg;
	long unused;
	int sid;
	enum kerr err = process_new_session(&sid);

	if (err == KERR_OK)
		err = file_ioctl(start->s->console, TIOCSCTTY, 1, &unused);
	if (err == KERR_OK)
		err = program_run(start->path, (const char *const *)start->argv,
				  start->environment);
	if (err == KERR_OK)
		return;
	sh_fail(start->s, "run", "%.128s: %s", start->path, kerr_name(err));
	process_exit_group(126 << 8);
}

void sh_reap(void)
{
	struct wait_result r;

	while (process_wait(WAIT_FOR_ANY, 0, WAIT_EXITED | WAIT_NOHANG, &r) == KERR_OK && r.pid)
		;
}

/* Gives the wait status word of `pid`. */
static int wait_for_program(int pid)
{
	struct wait_result r;

	for (;;) {
		enum kerr err = process_wait(WAIT_FOR_ANY, 0, WAIT_EXITED, &r);
		if (err == KERR_OK && r.pid == pid)
			return r.status;
		if (err == KERR_CHILD)
			return 0; /* cannot be: nobody else waits for it */
	}
}

static int tell_status(struct shell *s, int status)
{
	int signal = status & 0x7f, code = status >> 8 & 0xff;

	if (signal)
		sh_print(s, "%s[killed by signal %d]%s\n", sh_color(s, COLOR_BAD), signal,
			 sh_color(s, COLOR_NONE));
	else
		sh_print(s, "%s[status %d]%s\n", sh_color(s, code ? COLOR_BAD : COLOR_DIM), code,
			 sh_color(s, COLOR_NONE));
	return signal ? 128 + signal : code;
}

int command_run(struct shell *s, unsigned argc, char **argv)
{
	int pid, status;

	if (argc < 2)
		return sh_usage(s, "run");
	struct start *start = heap_alloc(sizeof(*start));
	if (!start)
		return sh_fail(s, "run", "out of memory");
	start->s = s;
	start->argv = argv + 1;
	enum kerr err = find_program(s, argv[1], start->path, sizeof(start->path));
	if (err != KERR_OK) {
		heap_free(start);
		sh_fail(s, "run", "%.128s: %s", argv[1], kerr_name(err));
		return 127;
	}
	for (unsigned i = 0; i < s->variable_count; i++) {
		format(start->text[i], sizeof(start->text[i]), "%s=%s", s->variables[i].name,
		       s->variables[i].value);
		start->environment[i] = start->text[i];
	}
	start->environment[s->variable_count] = nullptr;
	if (tty_set_keys(s->console, false) != KERR_OK)
		sh_fail(s, "run", "the console is no terminal");
	err = process_spawn("kshell", become_program, start, &pid);
	if (err == KERR_OK)
		status = tell_status(s, wait_for_program(pid));
	else
		status = sh_fail(s, "run", "%.128s: %s", argv[1], kerr_name(err));
	if (tty_set_keys(s->console, true) != KERR_OK)
		sh_fail(s, "run", "the console is no terminal");
	heap_free(start);
	return status;
}
