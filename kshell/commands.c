/* The table of commands, and the small ones: help, exit, echo, clear, set, history, uname, version. */
#include "kshell_private.h"

#include <core/profile.h>
#include <core/version.h>
#include <exec/sched.h>
#include <fs/proc.h>
#include <lib/string.h>
#include <mm/memory.h>

static int command_help(struct shell *s, unsigned argc, char **argv)
{
	for (const struct command *c = commands; c->name; c++) {
		if (argc > 1 && strcmp(c->name, argv[1]) != 0)
			continue;
		sh_print(s, "  %s%-8s%s %-26s %s\n", sh_color(s, COLOR_STRONG), c->name,
			 sh_color(s, COLOR_NONE), c->arguments, c->help);
		if (argc > 1)
			return 0;
	}
	return argc > 1 ? sh_fail(s, "help", "there is no command %.64s", argv[1]) : 0;
}

static int command_exit(struct shell *s, unsigned argc, char **argv)
{
	const char *end = "";
	uint64_t status = argc > 1 ? str_to_u64(argv[1], &end, 10) : 0;

	if (argc > 2 || *end || status > 255 || (argc > 1 && !*argv[1]))
		return sh_usage(s, "exit");
	s->leaving = true;
	s->leave_status = (int)status;
	return 0;
}

static int command_echo(struct shell *s, unsigned argc, char **argv)
{
	for (unsigned i = 1; i < argc; i++) {
		sh_write(s, argv[i], strlen(argv[i]));
		sh_write(s, " ", i + 1 < argc);
	}
	sh_write(s, "\n", 1);
	return 0;
}

static int command_clear(struct shell *s, unsigned argc, char **argv)
{
	sh_print(s, "\x1b[H\x1b[2J\x1b[3J");
	return 0;
}

static int command_set(struct shell *s, unsigned argc, char **argv)
{
	if (argc > 3)
		return sh_usage(s, "set");
	if (argc == 1) {
		for (unsigned i = 0; i < s->variable_count; i++)
			sh_print(s, "%s=%s\n", s->variables[i].name, s->variables[i].value);
		return 0;
	}
	char *equals = strchr(argv[1], '=');
	if (argc == 2 && !equals) {
		const char *value = sh_variable(s, argv[1]);
		if (!value)
			return sh_fail(s, "set", "%.64s is not set", argv[1]);
		sh_print(s, "%s=%s\n", argv[1], value);
		return 0;
	}
	if (equals)
		*equals = '\0';
	if (!*argv[1] || (equals && argc == 3))
		return sh_usage(s, "set");
	if (!sh_set(s, argv[1], equals ? equals + 1 : argv[2]))
		return sh_fail(s, "set", "no room: %u variables, names of %u, values of %u bytes",
			       VARIABLES_MAX, NAME_MAX - 1, VALUE_MAX - 1);
	return 0;
}

static int command_history(struct shell *s, unsigned argc, char **argv)
{
	const char *line;

	if (argc > 1) {
		if (strcmp(argv[1], "clear") != 0)
			return sh_usage(s, "history");
		edit_forget(&s->editor);
		return 0;
	}
	for (unsigned i = 0; (line = edit_history(&s->editor, i)); i++)
		sh_print(s, "%4u  %.400s\n", i + 1, line);
	return 0;
}

static int command_uname(struct shell *s, unsigned argc, char **argv)
{
	char node[65];

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "-a") != 0))
		return sh_usage(s, "uname");
	host_name_get(node);
	if (argc == 1)
		sh_print(s, "Linux\n");
	else
		sh_print(s, "Linux %s %s %s %s Tern\n", node, TERN_RELEASE, TERN_VERSION,
			 hal.user.info()->machine);
	return 0;
}

static int command_version(struct shell *s, unsigned argc, char **argv)
{
#if defined(TERN_DEBUG)
	const char *build = "debug";
#else
	const char *build = "release";
#endif
	sh_print(s, "%s, %s build for %s, %s\n", TERN_VERSION, build, hal.name, __VERSION__);
	sh_print(s, "programs see Linux %s; scheduler %s, frames by %s, profile %s\n", TERN_RELEASE,
		 sched_name(), frame_allocator_name(), *profile_name() ? profile_name() : "-");
	return 0;
}

const struct command commands[] = {
	{"bench", "[NAME|all]", "measure the kernel's own operations", command_bench},
	{"cat", "FILE...", "show files, also those of /proc and /sys", command_cat},
	{"clear", "", "clear the screen", command_clear},
	{"demo", "[SECONDS]", "see the scheduler spread threads over the CPUs", command_demo},
	{"echo", "[WORD...]", "show words; $NAME is a variable, $? the last status", command_echo},
	{"exit", "[STATUS]", "power off", command_exit},
	{"help", "[COMMAND]", "this list", command_help},
	{"history", "[clear]", "the lines typed before", command_history},
	{"mem", "", "who uses the memory", command_mem},
	{"ps", "[-k]", "processes; -k: the kernel's threads", command_ps},
	{"run", "PROGRAM [ARGUMENT...]", "start a program and wait for it", command_run},
	{"set", "[NAME[=VALUE]]", "show or set variables; programs inherit them", command_set},
	{"stats", "", "CPUs, scheduler, forks, contended locks", command_stats},
	{"uname", "[-a]", "the system's name", command_uname},
	{"uptime", "", "time since the start, load averages", command_uptime},
	{"version", "", "this kernel", command_version},
	{},
};
