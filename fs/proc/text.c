/* A text that grows on the heap; running out of memory is remembered and told at the end. */
#include "procfs.h"

#include <lib/format.h>
#include <mm/heap.h>

static bool reserve(struct text *t, size_t more)
{
	if (t->length + more <= t->capacity)
		return true;
	size_t capacity = MAX(t->capacity * 2, (size_t)1024);
	while (capacity < t->length + more)
		capacity *= 2;
	char *bytes = heap_realloc(t->bytes, capacity);
	if (!bytes) {
		t->no_memory = true;
		return false;
	}
	t->bytes = bytes;
	t->capacity = capacity;
	return true;
}

void text_add(struct text *t, const char *bytes, size_t count)
{
	if (reserve(t, count)) {
		memcpy(t->bytes + t->length, bytes, count);
		t->length += count;
	}
}

void text_print(struct text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int wanted = vformat(nullptr, 0, fmt, args);
	va_end(args);
	if (!reserve(t, (size_t)wanted + 1))
		return;
	va_start(args, fmt);
	vformat(t->bytes + t->length, (size_t)wanted + 1, fmt, args);
	va_end(args);
	t->length += (size_t)wanted;
}

void text_escaped(struct text *t, const char *name)
{
	for (; *name; name++) {
		if (*name == ' ' || *name == '\t' || *name == '\n' || *name == '\\')
			text_print(t, "\\%03o", (unsigned)*name);
		else
			text_add(t, name, 1);
	}
}

void text_free(struct text *t)
{
	heap_free(t->bytes);
	*t = (struct text){};
}

bool text_line(const char *text, size_t length, char *line, size_t size)
{
	while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	if (length == 0 || length >= size)
		return false;
	memcpy(line, text, length);
	line[length] = 0;
	return true;
}
