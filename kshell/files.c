/* Files: cat, and the entries of a directory. */
#include "kshell_private.h"

#include <lib/string.h>
#include <mm/heap.h>

#define PIECE 4096u

enum kerr sh_list(const char *folder, bool (*each)(void *context, const char *name, bool directory),
		  void *context)
{
	struct directory_entry *entry = heap_alloc(sizeof(*entry));
	struct file *f;

	if (!entry)
		return KERR_NOMEM;
	enum kerr err = vfs_open(nullptr, folder, O_RDONLY | O_DIRECTORY, 0, &f);
	if (err != KERR_OK)
		goto out_entry;
	mutex_lock(&f->position);
	while ((err = file_read_directory(f, entry)) == KERR_OK)
		if (!each(context, entry->name, entry->type == S_IFDIR >> 12))
			break;
	mutex_unlock(&f->position);
	file_put(f);
	if (err == KERR_NOENT)
		err = KERR_OK; /* the end */
out_entry:
	heap_free(entry);
	return err;
}

/* A terminal is what the shell itself reads, and a pipe may never answer: never waits. */
static enum kerr show_file(struct shell *s, const char *name, char *piece, bool *stopped)
{
	struct file *f;
	enum kerr err = vfs_open(nullptr, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &f);
	size_t done = 0;

	if (err != KERR_OK)
		return err;
	const struct io_buffer b = {.addr = (vaddr_t)piece, .size = PIECE};
	while ((err = file_read(f, &b, &done)) == KERR_OK && done > 0 && !*stopped) {
		sh_write(s, piece, done);
		*stopped = sh_interrupted(s);
	}
	file_put(f);
	return err == KERR_AGAIN ? KERR_OK : err; /* nothing more for now */
}

int command_cat(struct shell *s, unsigned argc, char **argv)
{
	char *piece = heap_alloc(PIECE);
	int status = 0;
	bool stopped = false;

	if (argc < 2) {
		heap_free(piece);
		return sh_usage(s, "cat");
	}
	if (!piece)
		return sh_fail(s, "cat", "out of memory");
	for (unsigned i = 1; i < argc && !stopped; i++) {
		enum kerr err = show_file(s, argv[i], piece, &stopped);
		if (err != KERR_OK)
			status = sh_fail(s, "cat", "%.128s: %s", argv[i], kerr_name(err));
	}
	heap_free(piece);
	return stopped ? 130 : status;
}
