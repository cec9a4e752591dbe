/*
 * printf for the kernel: one pass, no allocation, any context. The conversion is parsed to a
 * `struct spec`, then text or number is put out with padding. What does not fit is counted only.
 */
#include <lib/format.h>
#include <lib/string.h>

struct output {
	char *buf;
	size_t size, length; /* length counts what was wanted */
};

struct spec {
	bool left, zero, alternate, plus, space, upper, negative;
	int width, precision; /* precision -1: none */
	unsigned base;
};

static void put(struct output *o, char c)
{
	if (o->length + 1 < o->size)
		o->buf[o->length] = c;
	o->length++;
}

static void put_repeated(struct output *o, char c, int n)
{
	for (; n > 0; n--)
		put(o, c);
}

static void put_text(struct output *o, const struct spec *s, const char *text, int length)
{
	if (!s->left)
		put_repeated(o, ' ', s->width - length);
	for (int i = 0; i < length; i++)
		put(o, text[i]);
	if (s->left)
		put_repeated(o, ' ', s->width - length);
}

static void put_number(struct output *o, const struct spec *s, uint64_t value)
{
	const char *digits = s->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char reversed[24];
	char prefix[3];
	int count = 0, prefixed = 0;

	for (uint64_t v = value; v; v /= s->base)
		reversed[count++] = digits[v % s->base];
	if (s->negative || s->plus || s->space)
		prefix[prefixed++] = s->negative ? '-' : s->plus ? '+' : ' ';
	if (s->alternate && s->base == 16 && value) {
		prefix[prefixed++] = '0';
		prefix[prefixed++] = s->upper ? 'X' : 'x';
	}
	int least = s->precision < 0 ? 1 : s->precision;
	if (s->alternate && s->base == 8 && least <= count)
		least = count + 1;
	int zeroes = MAX(least - count, 0);
	if (s->zero && !s->left && s->precision < 0)
		zeroes = MAX(s->width - count - prefixed, zeroes);
	int padding = s->width - count - prefixed - zeroes;

	if (!s->left)
		put_repeated(o, ' ', padding);
	for (int i = 0; i < prefixed; i++)
		put(o, prefix[i]);
	put_repeated(o, '0', zeroes);
	while (count)
		put(o, reversed[--count]);
	if (s->left)
		put_repeated(o, ' ', padding);
}

enum length { LENGTH_CHAR, LENGTH_SHORT, LENGTH_INT, LENGTH_LONG };

static const char *parse_number(const char *fmt, va_list *args, int *out)
{
	if (*fmt == '*') {
		*out = va_arg(*args, int);
		return fmt + 1;
	}
	for (*out = 0; *fmt >= '0' && *fmt <= '9'; fmt++)
		*out = *out * 10 + (*fmt - '0');
	return fmt;
}

static const char *parse_spec(const char *fmt, va_list *args, struct spec *s, enum length *length)
{
	*s = (struct spec){.precision = -1, .base = 10};
	for (;; fmt++) {
		if (*fmt == '-')
			s->left = true;
		else if (*fmt == '0')
			s->zero = true;
		else if (*fmt == '#')
			s->alternate = true;
		else if (*fmt == '+')
			s->plus = true;
		else if (*fmt == ' ')
			s->space = true;
		else
			break;
	}
	fmt = parse_number(fmt, args, &s->width);
	if (s->width < 0) {
		s->left = true;
		s->width = -s->width;
	}
	if (*fmt == '.')
		fmt = parse_number(fmt + 1, args, &s->precision);
	*length = LENGTH_INT;
	for (;; fmt++) {
		if (*fmt == 'h')
			*length = *length == LENGTH_SHORT ? LENGTH_CHAR : LENGTH_SHORT;
		else if (*fmt == 'l' || *fmt == 'z' || *fmt == 't' || *fmt == 'j')
			*length = LENGTH_LONG;
		else
			return fmt;
	}
}

static uint64_t signed_argument(va_list *args, enum length length, bool *negative)
{
	int64_t v = length == LENGTH_LONG ? va_arg(*args, int64_t) : va_arg(*args, int);

	if (length == LENGTH_CHAR)
		v = (signed char)v;
	if (length == LENGTH_SHORT)
		v = (short)v;
	*negative = v < 0;
	return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

static uint64_t unsigned_argument(va_list *args, enum length length)
{
	uint64_t v = length == LENGTH_LONG ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);

	if (length == LENGTH_CHAR)
		return (unsigned char)v;
	return length == LENGTH_SHORT ? (unsigned short)v : v;
}

static void put_conversion(struct output *o, char c, struct spec *s, enum length length,
			   va_list *args)
{
	switch (c) {
	case 'd':
	case 'i': {
		uint64_t value = signed_argument(args, length, &s->negative);
		put_number(o, s, value);
		break;
	}
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		s->base = c == 'u' ? 10 : c == 'o' ? 8 : 16;
		s->upper = c == 'X';
		s->plus = s->space = false;
		put_number(o, s, unsigned_argument(args, length));
		break;
	case 'p':
		s->base = 16;
		s->alternate = true;
		put_number(o, s, (uintptr_t)va_arg(*args, void *));
		break;
	case 'c': {
		char ch = (char)va_arg(*args, int);
		put_text(o, s, &ch, 1);
		break;
	}
	case 's': {
		const char *text = va_arg(*args, const char *);
		if (!text)
			text = "(null)";
		size_t most = s->precision < 0 ? SIZE_MAX : (size_t)s->precision;
		put_text(o, s, text, (int)strnlen(text, most));
		break;
	}
	default:
		put(o, '%');
		if (c != '%')
			put(o, c);
	}
}

int vformat(char *buf, size_t size, const char *fmt, va_list arguments)
{
	struct output o = {buf, size, 0};
	va_list args;

	va_copy(args, arguments);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		struct spec s;
		enum length length;
		fmt = parse_spec(fmt + 1, &args, &s, &length);
		if (!*fmt)
			break;
		put_conversion(&o, *fmt, &s, length, &args);
	}
	va_end(args);
	if (size > 0)
		buf[MIN(o.length, size - 1)] = '\0';
	return (int)o.length;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vformat(buf, size, fmt, args);
	va_end(args);
	return n;
}
