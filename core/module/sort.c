/* Heap sort: n log n whatever comes, in place. What is sorted here is the number of things in a file of a program. */
#include "image.h"

#include <core/panic.h>
#include <lib/string.h>

#define SIZE_MAX_SORTED 32u

struct array {
	uint8_t *first;
	size_t size;
};

static uint64_t key(const struct array *a, size_t i)
{
	uint64_t k;

	memcpy(&k, a->first + i * a->size, sizeof(k));
	return k;
}

static void exchange(const struct array *a, size_t i, size_t k)
{
	uint8_t one[SIZE_MAX_SORTED], *x = a->first + i * a->size, *y = a->first + k * a->size;

	memcpy(one, x, a->size);
	memcpy(x, y, a->size);
	memcpy(y, one, a->size);
}

static void sift_down(const struct array *a, size_t at, size_t count)
{
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && key(a, child + 1) > key(a, child))
			child++;
		if (key(a, at) >= key(a, child))
			return;
		exchange(a, at, child);
	}
}

static bool is_sorted(const struct array *a, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (key(a, i - 1) > key(a, i))
			return false;
	return true;
}

void module_sort(void *first, size_t count, size_t size)
{
	struct array a = {first, size};

	assert(size >= sizeof(uint64_t) && size <= SIZE_MAX_SORTED);
	if (is_sorted(&a, count))
		return; /* as linkers leave it */
	for (size_t i = count / 2; i-- > 0;)
		sift_down(&a, i, count);
	for (size_t end = count; end-- > 1;) {
		exchange(&a, 0, end);
		sift_down(&a, 0, end);
	}
}
