/* execve(2): replacing the current process's program by an ELF image. */
#pragma once

#include <exec/process.h>

struct exec_request {
	struct vm_object *object;  /* the program file's contents */
	void *executable;          /* its struct file: becomes the process's if exec succeeds */
	const char *path;          /* AT_EXECFN */
	const char *name;          /* the new name of the thread and the process */
	const char *strings;       /* arguments, then environment, each with its end mark */
	size_t strings_size;
	unsigned argc, envc;
	/* The object behind PT_INTERP's path, referenced. */
	enum kerr (*interpreter)(void *context, const char *path, struct vm_object **out);
	void *context;
	uint32_t euid, egid;       /* effective ids from now on */
	bool set_id;               /* the file's mode changed them */
	bool secure;               /* they differ from the caller's: AT_SECURE */
};

#define EXEC_STRINGS_MAX ((size_t)2 << 20)

/* KERR_OK: the current thread is alone in its process and its user frame starts the new program;
 * the caller still closes files. NOEXEC, NOMEM, TOOBIG, INVAL, ACCESS, ...: nothing has changed.
 * KERR_INTR: the process is being killed. Sleeps. */
enum kerr exec_program(const struct exec_request *request);

/* /proc/sys/kernel/randomize_va_space: 0 nothing, 1 all but the heap, 2 all. */
extern _Atomic unsigned exec_randomize;
