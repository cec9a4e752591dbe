/*
 * Tab: the first word is completed to a command, the second one of `run` without a slash to a
 * program of PATH, `help`'s to a command, every other one to a path. What all candidates have in common is put in; if that is nothing
 * more, they are shown.
 */
#include "kshell_private.h"

#include <lib/format.h>
#include <lib/string.h>

#define FOLDERS_MAX 8u /* of PATH */

struct search {
	struct shell *s;
	const char *part; /* what is there of the name */
	size_t length;
	char common[NAME_SIZE + 1];
	unsigned count;
	bool directory; /* the only candidate is one */
	bool show;
};

static bool candidate(void *context, const char *name, bool directory)
{
	struct search *c = context;
	size_t n = 0;

	if (strncmp(name, c->part, c->length) != 0 || (c->length == 0 && name[0] == '.'))
		return true;
	if (c->show) {
		sh_print(c->s, "%s%s  ", name, directory ? "/" : "");
		return true;
	}
	if (c->count && strcmp(c->common, name) == 0)
		return true; /* the same program in two folders of PATH */
	if (c->count++ == 0) {
		strlcpy(c->common, name, sizeof(c->common));
		c->directory = directory;
		return true;
	}
	while (c->common[n] && c->common[n] == name[n])
		n++;
	c->common[n] = '\0';
	c->directory = false;
	return true;
}

static void search_commands(struct search *c)
{
	for (const struct command *i = commands; i->name; i++)
		candidate(c, i->name, false);
}

static void search_programs(struct search *c)
{
	const char *path = sh_variable(c->s, "PATH");
	struct path seen[FOLDERS_MAX]; /* one folder may have several names */
	char folder[128];
	unsigned count = 0;

	while (path && *path && count < FOLDERS_MAX) {
		const char *end = strchr(path, ':');
		size_t length = end ? (size_t)(end - path) : strlen(path);
		strlcpy(folder, path, MIN(length + 1, sizeof(folder)));
		path += length + (end != nullptr);
		if (vfs_lookup(nullptr, folder, LOOKUP_FOLLOW, &seen[count]) != KERR_OK)
			continue;
		unsigned i = 0;
		while (seen[i].dentry != seen[count].dentry)
			i++;
		if (i == count && sh_list(folder, candidate, c) != KERR_OK)
			sh_write(c->s, "\a", 1);
		count++;
	}
	while (count > 0)
		path_put(&seen[--count]);
}

static void search_path(struct search *c, const char *folder)
{
	if (sh_list(folder, candidate, c) != KERR_OK)
		c->count = 0;
}

/* The word that ends at the cursor, and how many stand before it. */
static const char *word_at_cursor(const struct editor *e, unsigned *number)
{
	size_t start = e->at;

	while (start > 0 && e->line[start - 1] != ' ')
		start--;
	*number = 0;
	for (size_t i = 0; i < start; i++)
		*number += e->line[i] != ' ' && (i + 1 == start || e->line[i + 1] == ' ');
	return e->line + start;
}

static bool line_begins(const struct editor *e, const char *command)
{
	const char *line = e->line;

	while (*line == ' ')
		line++;
	return strncmp(line, command, strlen(command)) == 0;
}

static void look(struct search *c, const struct editor *e, unsigned number, const char *folder)
{
	bool plain = !folder[0];

	if (plain && (number == 0 || (number == 1 && line_begins(e, "help "))))
		search_commands(c);
	else if (plain && number == 1 && line_begins(e, "run "))
		search_programs(c);
	else
		search_path(c, plain ? "." : folder);
}

void sh_complete(void *shell, struct editor *e)
{
	struct search c = {.s = shell};
	char word[EDIT_MAX], folder[EDIT_MAX];
	unsigned number;
	const char *start = word_at_cursor(e, &number);

	strlcpy(word, start, MIN((size_t)(e->line + e->at - start) + 1, sizeof(word)));
	const char *slash = strrchr(word, '/');
	c.part = slash ? slash + 1 : word;
	c.length = strlen(c.part);
	strlcpy(folder, word, (size_t)(c.part - word) + 1);
	look(&c, e, number, folder);
	if (c.count == 0)
		return sh_write(shell, "\a", 1);
	size_t common = strlen(c.common);
	if (common > c.length)
		edit_insert(e, c.common + c.length, common - c.length);
	if (c.count == 1)
		return edit_insert(e, c.directory ? "/" : " ", 1);
	if (common > c.length)
		return;
	sh_write(shell, "\n", 1);
	c.show = true;
	look(&c, e, number, folder);
	sh_write(shell, "\n", 1);
	edit_redraw(e);
}
