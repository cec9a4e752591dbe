/* What the files of the kernel shell share. */
#pragma once

#include "edit.h"
#include "words.h"

#include <fs/file.h>

#define VARIABLES_MAX 32u
#define NAME_MAX 32u
#define VALUE_MAX 256u

struct shell {
	struct file *console;
	struct editor editor;
	struct words words;
	struct {
		char name[NAME_MAX], value[VALUE_MAX];
	} variables[VARIABLES_MAX];
	unsigned variable_count;
	char keys[64]; /* typed ahead */
	size_t key_count, key_at;
	int status; /* of the last command */
	bool leaving;
	int leave_status;
};

/* A command gives its status: 0, or what went wrong. argv[0] is its name, argv[argc] null. */
struct command {
	const char *name, *arguments, *help;
	int (*run)(struct shell *s, unsigned argc, char **argv);
};
extern const struct command commands[]; /* ended by a null name; in order of name */

/* ---- kshell.c ---- */
void sh_write(struct shell *s, const char *bytes, size_t count);
void sh_print(struct shell *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum sh_color { COLOR_NONE, COLOR_STRONG, COLOR_GOOD, COLOR_BAD, COLOR_DIM };
/* The escape sequence of a colour, or "" where `set color off` was said. */
const char *sh_color(struct shell *s, enum sh_color color);
/* "NAME: what"; gives 1, the status. */
int sh_fail(struct shell *s, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same when the arguments are wrong: how it is called. Gives 2. */
int sh_usage(struct shell *s, const char *name);
/* The next key; false: input has ended. Sleeps. */
bool sh_key(struct shell *s, char *key);
/* Ctrl-C was typed meanwhile; for commands that take long. */
bool sh_interrupted(struct shell *s);
const char *sh_variable(void *shell, const char *name); /* null: not set */
/* False: no room. */
bool sh_set(struct shell *s, const char *name, const char *value);

/* ---- complete.c ---- */
void sh_complete(void *shell, struct editor *e);

/* ---- files.c ---- */
/* Calls `each` for the entries of a directory until it says false. */
enum kerr sh_list(const char *folder, bool (*each)(void *context, const char *name, bool directory),
		  void *context);
int command_cat(struct shell *s, unsigned argc, char **argv);

/* ---- figures.c ---- */
int command_mem(struct shell *s, unsigned argc, char **argv);
int command_ps(struct shell *s, unsigned argc, char **argv);
int command_stats(struct shell *s, unsigned argc, char **argv);
int command_uptime(struct shell *s, unsigned argc, char **argv);

/* ---- measure.c ---- */
int command_bench(struct shell *s, unsigned argc, char **argv);
int command_demo(struct shell *s, unsigned argc, char **argv);

/* ---- program.c ---- */
int command_run(struct shell *s, unsigned argc, char **argv);
/* Takes the statuses of children that have ended. */
void sh_reap(void);
