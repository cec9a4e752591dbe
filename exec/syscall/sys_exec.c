/*
 * execve(2): the program file and, for scripts, its interpreter ("#!"), the strings, the ELF
 * interpreter; the replacement itself is exec/exec.c.
 *
 * The strings are gathered in one heap block that grows: arguments, then environment. For a
 * script, the block is rebuilt with the interpreter's words in place of argument 0.
 */
#include "at.h"
#include "gate.h"
#include <exec/exec.h>
#include <exec/signal.h>
#include <fs/file.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <syscall/program.h>

#define STRING_MAX ((size_t)131072)
#define SCRIPT_LINE 256
#define SCRIPT_DEPTH 4

/* ---- strings ---- */

struct strings {
	char *data;
	size_t used, room;
	unsigned argc, envc;
};

static enum kerr make_room(struct strings *s, size_t more)
{
	if (s->used + more > EXEC_STRINGS_MAX)
		return KERR_TOOBIG;
	if (s->used + more <= s->room)
		return KERR_OK;
	size_t room = MAX(s->room * 2, (size_t)2048);
	while (room < s->used + more)
		room *= 2;
	char *data = heap_realloc(s->data, room);
	if (!data)
		return KERR_NOMEM;
	s->data = data;
	s->room = room;
	return KERR_OK;
}

static enum kerr add_user_string(struct strings *s, vaddr_t from)
{
	size_t step = 256, length;

	for (;;) {
		enum kerr err = make_room(s, step);
		if (err != KERR_OK)
			return err;
		err = user_read_string(s->data + s->used, from, step, &length);
		if (err == KERR_OK) {
			s->used += length + 1;
			return KERR_OK;
		}
		if (err != KERR_NAMETOOLONG)
			return err;
		if (step >= STRING_MAX)
			return KERR_TOOBIG;
		step *= 4;
	}
}

/* A null-terminated vector of string pointers; a null vector is an empty one. */
static enum kerr add_user_vector(struct strings *s, vaddr_t vector, unsigned *count)
{
	*count = 0;
	for (; vector; vector += sizeof(uint64_t)) {
		uint64_t pointer;
		enum kerr err = user_read(&pointer, vector, sizeof(pointer));
		if (err == KERR_OK && !pointer)
			break;
		if (err == KERR_OK)
			err = add_user_string(s, pointer);
		if (err != KERR_OK)
			return err;
		++*count;
	}
	return KERR_OK;
}

static enum kerr add_string(struct strings *s, const char *text)
{
	size_t size = strlen(text) + 1;
	enum kerr err = make_room(s, size);

	if (err != KERR_OK)
		return err;
	memcpy(s->data + s->used, text, size);
	s->used += size;
	return KERR_OK;
}

/* ---- scripts ---- */

struct script {
	char line[SCRIPT_LINE];
	const char *interpreter, *argument; /* in line; argument: null if there is none */
};

static char *skip_blanks(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

/* KERR_NOEXEC: no script. */
static enum kerr script_read(struct file *f, struct script *out)
{
	size_t done = 0;
	const struct io_buffer b = {.addr = (vaddr_t)out->line, .size = SCRIPT_LINE - 1};
	enum kerr err = file_read_at(f, &b, 0, &done);

	if (err != KERR_OK && done == 0)
		return err;
	out->line[done] = '\0';
	if (done < 3 || out->line[0] != '#' || out->line[1] != '!')
		return KERR_NOEXEC;
	char *end = strchr(out->line, '\n');
	if (!end && done == SCRIPT_LINE - 1)
		end = out->line + done; /* cut, as long as the interpreter's name is whole */
	if (end)
		*end = '\0';
	char *s = skip_blanks(out->line + 2);
	if (!*s)
		return KERR_NOEXEC;
	out->interpreter = s;
	while (*s && *s != ' ' && *s != '\t')
		s++;
	out->argument = nullptr;
	if (!*s)
		return KERR_OK;
	*s = '\0';
	s = skip_blanks(s + 1);
	size_t length = strlen(s);
	while (length && (s[length - 1] == ' ' || s[length - 1] == '\t'))
		s[--length] = '\0';
	if (*s)
		out->argument = s;
	return KERR_OK;
}

/* Replaces argument 0 by: interpreter, its argument, the script's path. */
static enum kerr script_strings(struct strings *s, const struct script *script, const char *path)
{
	struct strings n = {.envc = s->envc, .argc = 2};
	size_t skip = s->argc ? strlen(s->data) + 1 : 0;
	enum kerr err = add_string(&n, script->interpreter);

	if (err == KERR_OK && script->argument) {
		err = add_string(&n, script->argument);
		n.argc++;
	}
	if (err == KERR_OK)
		err = add_string(&n, path);
	if (err == KERR_OK)
		err = make_room(&n, s->used - skip);
	if (err != KERR_OK) {
		heap_free(n.data);
		return err;
	}
	memcpy(n.data + n.used, s->data + skip, s->used - skip);
	n.used += s->used - skip;
	n.argc += s->argc ? s->argc - 1 : 0;
	heap_free(s->data);
	*s = n;
	return KERR_OK;
}

/* ---- the file ---- */

static enum kerr open_interpreter(void *context, const char *path, struct vm_object **out)
{
	struct file *f;
	enum kerr err = vfs_open_program(nullptr, path, LOOKUP_FOLLOW, &f);

	if (err != KERR_OK)
		return err;
	err = file_map(f, out);
	file_put(f);
	return err;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* set-user-id and set-group-id bits of the file. */
static void set_privileges(const struct file *f, struct exec_request *r)
{
	const struct process *p = current_process();

	r->euid = p->credentials.euid;
	r->egid = p->credentials.egid;
	if (p->no_new_privileges || !f->inode)
		return;
	if (f->inode->mode & S_ISUID)
		r->euid = f->inode->uid;
	if ((f->inode->mode & (S_ISGID | 010)) == (S_ISGID | 010))
		r->egid = f->inode->gid;
	r->set_id = r->euid != p->credentials.euid || r->egid != p->credentials.egid;
	r->secure = r->euid != p->credentials.uid || r->egid != p->credentials.gid;
}

/* One attempt with `f`; KERR_NOEXEC: perhaps a script. */
static enum kerr run_file(struct file *f, const char *path, const char *name, struct strings *s)
{
	struct exec_request r = {
		.executable = f,
		.path = path,
		.name = name,
		.strings = s->data,
		.strings_size = s->used,
		.argc = s->argc,
		.envc = s->envc,
		.interpreter = open_interpreter,
	};
	enum kerr err = file_map(f, &r.object);

	if (err != KERR_OK)
		return err == KERR_NODEV ? KERR_ACCESS : err;
	set_privileges(f, &r);
	file_get(f); /* the process's, if it works */
	err = fd_unshare();
	if (err == KERR_OK)
		err = exec_program(&r);
	if (err != KERR_OK)
		file_put(f);
	vm_object_put(r.object);
	return err;
}

/* Takes `f` over. */
static enum kerr run(struct file *f, const char *path, struct strings *s)
{
	struct script *script = nullptr;
	const char *name = base_name(path);
	char current[SCRIPT_LINE];
	enum kerr err;

	for (unsigned depth = 0;; depth++) {
		err = run_file(f, path, name, s);
		if (err != KERR_NOEXEC)
			break;
		if (!script && !(script = heap_alloc(sizeof(*script)))) {
			err = KERR_NOMEM;
			break;
		}
		err = depth < SCRIPT_DEPTH ? script_read(f, script) : KERR_LOOP;
		if (err == KERR_OK)
			err = script_strings(s, script, path);
		if (err != KERR_OK)
			break;
		strlcpy(current, script->interpreter, sizeof(current));
		path = current;
		file_put(f);
		err = vfs_open_program(nullptr, path, LOOKUP_FOLLOW, &f);
		if (err != KERR_OK) {
			f = nullptr;
			break;
		}
	}
	if (f)
		file_put(f);
	heap_free(script);
	return err;
}

/* The new program is there: what it must not inherit goes. */
static long finish(enum kerr err)
{
	if (err == KERR_OK)
		fd_close_on_execve();
	return err == KERR_OK ? RESULT_NONE : err;
}

static long execute(int dirfd, vaddr_t user_path, vaddr_t argv, vaddr_t envp, int flags)
{
	struct strings s = {};
	struct user_path path;
	struct file *f;
	enum kerr err;

	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return KERR_INVAL;
	err = path_copy(&path, user_path);
	if (err != KERR_OK)
		return err;
	err = at_open_program(dirfd, path.text, flags, &f);
	if (err != KERR_OK)
		goto out_path;
	err = add_user_vector(&s, argv, &s.argc);
	if (err == KERR_OK && s.argc == 0) {
		err = add_string(&s, ""); /* a program without argument 0 is a trap */
		s.argc = 1;
	}
	if (err == KERR_OK)
		err = add_user_vector(&s, envp, &s.envc);
	if (err == KERR_OK)
		err = run(f, path.text, &s);
	else
		file_put(f);
	heap_free(s.data);
out_path:
	path_end(&path);
	return finish(err);
}

SYSCALL(execve)
{
	return execute(AT_FDCWD, a0, a1, a2, 0);
}

SYSCALL(execveat)
{
	return execute((int)a0, a1, a2, a3, (int)a4);
}

enum kerr program_run(const char *path, const char *const *argv, const char *const *envp)
{
	struct strings s = {};
	struct file *f;
	enum kerr err = vfs_open_program(nullptr, path, LOOKUP_FOLLOW, &f);

	if (err != KERR_OK)
		return err;
	for (; *argv && err == KERR_OK; argv++, s.argc++)
		err = add_string(&s, *argv);
	for (; *envp && err == KERR_OK; envp++, s.envc++)
		err = add_string(&s, *envp);
	if (err == KERR_OK)
		err = run(f, path, &s);
	else
		file_put(f);
	heap_free(s.data);
	return err;
}
