/* What every program of ours starts with, and the string functions that the compiler calls. */
#include "sys.h"

void start_c(long *stack);

void start_c(long *stack)
{
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1);

	sys_exit(main(argc, argv, argv + argc + 1));
}

void *memcpy(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;

	while (n--)
		*d++ = *s++;
	return dst;
}

void *memset(void *dst, int byte, size_t n)
{
	char *d = dst;

	while (n--)
		*d++ = (char)byte;
	return dst;
}

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

size_t text_length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

void print(int fd, const char *s)
{
	size_t left = text_length(s);

	while (left > 0) {
		long n = sys_write(fd, s, left);
		if (n <= 0)
			return;
		s += n;
		left -= (size_t)n;
	}
}

void print_number(int fd, unsigned long n)
{
	char text[24];
	size_t at = sizeof(text);

	text[--at] = '\0';
	do {
		text[--at] = (char)('0' + n % 10);
	} while (n /= 10);
	print(fd, text + at);
}
