/* See fuzz.h. */
#include "fuzz.h"

#include <stdlib.h>

static uint64_t interesting(struct test_random *random)
{
	static const uint64_t values[] = {
		0,      1,          3,          4,          8,          16,
		0x7f,   0x80,       0xff,       0x100,      0x7fff,     0x8000,
		0xffff, 0x10000,    0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32,
		~0ull,  1ull << 63, 4096,       4095,       0xfffffff0, ~0ull - 4095};
	uint64_t v = values[test_random_below(random, ARRAY_SIZE(values))];

	return test_random_below(random, 3) ? v : v + test_random_below(random, 17) - 8;
}

/* Writes a number of 1, 2, 4 or 8 bytes in either byte order. */
static void put_number(struct test_random *random, uint8_t *data, size_t size)
{
	size_t width = (size_t)1 << test_random_below(random, 4);
	uint64_t v = interesting(random);

	if (width > size)
		return;
	size_t at = test_random_below(random, size - width + 1);
	if (test_random_below(random, 4))
		at = ALIGN_DOWN(at, width);
	bool big = test_random_below(random, 2);
	for (size_t i = 0; i < width; i++)
		data[at + (big ? width - 1 - i : i)] = (uint8_t)(v >> 8 * i);
}

static size_t mutate_once(struct test_random *random, uint8_t *data, size_t size, size_t room)
{
	if (size == 0)
		return size;
	size_t at = test_random_below(random, size), n = 1 + test_random_below(random, 16);

	switch (test_random_below(random, 8)) {
	case 0:
	case 1:
		data[at] ^= (uint8_t)(1u << test_random_below(random, 8));
		return size;
	case 2:
		data[at] = (uint8_t)test_random(random);
		return size;
	case 3:
	case 4:
		put_number(random, data, size);
		return size;
	case 5: /* a piece from elsewhere */
		n = MIN(n, size - at);
		memmove(data + at, data + test_random_below(random, size - n + 1), n);
		return size;
	case 6: /* cut out */
		n = MIN(n, size - at);
		memmove(data + at, data + at + n, size - at - n);
		return size - n;
	default: /* put in */
		n = MIN(n, room - size);
		memmove(data + at + n, data + at, size - at);
		return size + n;
	}
}

size_t fuzz_mutate(struct test_random *random, uint8_t *data, size_t size, size_t room)
{
	for (uint64_t n = 1 + test_random_below(random, 8); n; n--)
		size = mutate_once(random, data, size, room);
	return size;
}

void *fuzz_copy(const void *data, size_t size)
{
	void *p = malloc(size ? size : 1);

	return memcpy(p, data, size);
}
