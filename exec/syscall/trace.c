/*
 * The tracer (trace=syscall): a line when a call begins and, if it took its time or changed what is
 * known, one when it ends. Text arguments are read from user memory before the call.
 */
#include "gate.h"
#include <core/log.h>
#include <lib/format.h>

static size_t put_text(char *out, size_t room, vaddr_t from)
{
	char text[36];
	size_t length = 0;
	enum kerr err = user_read_string(text, from, sizeof(text), &length);

	if (err == KERR_FAULT)
		return (size_t)format(out, room, "%#lx", from);
	if (err != KERR_OK) {
		text[sizeof(text) - 1] = '\0';
		return (size_t)format(out, room, "\"%s\"...", text);
	}
	return (size_t)format(out, room, "\"%s\"", text);
}

static size_t put_argument(char *out, size_t room, char kind, unsigned long value)
{
	switch (kind) {
	case 'd':
	case 'f':
		return (size_t)format(out, room, "%d", (int)value);
	case 'u':
		return (size_t)format(out, room, "%lu", value);
	case 'o':
		return (size_t)format(out, room, "0%lo", value);
	case 's':
		return put_text(out, room, value);
	default:
		return (size_t)format(out, room, value ? "%#lx" : "%lx", value);
	}
}

long sys_traced(SYSCALL_ARGS)
{
	const unsigned long args[6] = {a0, a1, a2, a3, a4, a5};
	struct thread *t = current_thread();
	unsigned long number = hal.user.syscall(thread_frame(t)).number;
	const char *name = "?", *kinds = "xxxxxx";
	char line[200];
	size_t used = 0;

	syscall_describe(number, &name, &kinds);
	for (unsigned i = 0; kinds[i] && i < 6; i++) {
		if (used + 48 > sizeof(line))
			break;
		if (i)
			used += (size_t)format(line + used, sizeof(line) - used, ", ");
		used += put_argument(line + used, sizeof(line) - used, kinds[i], args[i]);
	}
	line[MIN(used, sizeof(line) - 1)] = '\0';
	syscall_fn *const *table = abi->x86_layouts ? syscall_table_x86_64 : syscall_table_generic;
	log_info("[%d] %s(%s) ...", t->tid, name, line);
	long result = table[number](a0, a1, a2, a3, a4, a5);
	if (result == RESULT_NONE)
		log_info("[%d] %s: done", t->tid, name);
	else if (result < 0 && result > -4096)
		log_info("[%d] %s = %ld (%s)", t->tid, name, result, kerr_name((enum kerr)result));
	else
		log_info("[%d] %s = %#lx", t->tid, name, result);
	return result;
}
