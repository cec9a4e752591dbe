/*
 * The string functions that need no tuning per architecture; memcpy, memmove and memset are each
 * HAL's. Byte by byte, but for memcmp and memchr: paths and names are short.
 */
#include <lib/string.h>

static uint64_t load_u64(const unsigned char *p)
{
	uint64_t v;
	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	while (n >= 8 && load_u64(x) == load_u64(y)) {
		x += 8;
		y += 8;
		n -= 8;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

/* Eight bytes at a time: every path that a program gives comes through here, to find its end. */
void *memchr(const void *s, int c, size_t n)
{
	const uint64_t ones = UINT64_MAX / 255, same = ones * (unsigned char)c;
	const unsigned char *p = s;

	for (; n >= 8 && IS_ALIGNED((uintptr_t)p, 8); n -= 8, p += 8) {
		uint64_t x = load_u64(__builtin_assume_aligned(p, 8)) ^ same;
		uint64_t zeroes = (x - ones) & ~x & (ones << 7); /* exact up to the first one */
		if (zeroes)
			return (void *)(p + __builtin_ctzll(zeroes) / 8);
	}
	for (; n; n--, p++)
		if (*p == (unsigned char)c)
			return (void *)p;
	return nullptr;
}

size_t strlen(const char *s)
{
	const char *p = s;

	while (*p)
		p++;
	return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n && *a && *a == *b; n--) {
		a++;
		b++;
	}
	return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return nullptr;
	}
}

char *strrchr(const char *s, int c)
{
	const char *last = nullptr;

	for (;; s++) {
		if (*s == (char)c)
			last = s;
		if (!*s)
			return (char *)last;
	}
}

char *strstr(const char *haystack, const char *needle)
{
	size_t n = strlen(needle);

	for (; strnlen(haystack, n) == n; haystack++)
		if (memcmp(haystack, needle, n) == 0)
			return (char *)haystack;
	return nullptr;
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src);

	if (size > 0) {
		size_t fits = MIN(n, size - 1);
		memcpy(dst, src, fits);
		dst[fits] = '\0';
	}
	return n;
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A') + 10;
	return 99;
}

uint64_t str_to_u64(const char *s, const char **end, unsigned base)
{
	uint64_t value = 0;
	bool overflow = false;

	if ((base == 0 || base == 16) && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
	    digit_value(s[2]) < 16) {
		s += 2;
		base = 16;
	}
	if (base == 0)
		base = s[0] == '0' ? 8 : 10;
	for (unsigned d; (d = digit_value(*s)) < base; s++)
		overflow |= __builtin_mul_overflow(value, base, &value) ||
			    __builtin_add_overflow(value, d, &value);
	if (end)
		*end = s;
	return overflow ? UINT64_MAX : value;
}
