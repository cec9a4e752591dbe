/* Paths, vectors and times in and out of user memory. */
#include "gate.h"
#include <core/time.h>
#include <fs/vfs.h>
#include <lib/string.h>
#include <mm/heap.h>

/* Most paths are short: those stay on the stack. */
enum kerr path_copy(struct user_path *p, vaddr_t from)
{
	p->heap = nullptr;
	p->text = p->small;
	enum kerr err = user_read_string(p->small, from, sizeof(p->small), &p->length);
	if (likely(err != KERR_NAMETOOLONG))
		return err;
	p->heap = heap_alloc(PATH_SIZE);
	if (!p->heap)
		return KERR_NOMEM;
	p->text = p->heap;
	err = user_read_string(p->heap, from, PATH_SIZE, &p->length);
	if (err != KERR_OK)
		heap_free(p->heap);
	return err;
}

void path_end(struct user_path *p)
{
	if (unlikely(p->heap))
		heap_free(p->heap);
}

struct user_vector {
	uint64_t addr, size;
};

/* Turns the iovecs at the end of v into buffers at its start, in place. */
static enum kerr vector_decode(struct io_buffer *v, const struct user_vector *from,
			       unsigned long count)
{
	size_t total = 0;

	for (unsigned long i = 0; i < count; i++) {
		struct user_vector one;
		memcpy(&one, &from[i], sizeof(one)); /* v[i] may lie on it */
		if (one.size > INT64_MAX || total + one.size > INT64_MAX)
			return KERR_INVAL;
		if (!user_range_ok(one.addr, one.size))
			return KERR_FAULT;
		v[i] = (struct io_buffer){one.addr, MIN(one.size, TRANSFER_MAX - total), true};
		total += v[i].size;
	}
	return KERR_OK;
}

enum kerr vector_read(vaddr_t from, unsigned long count, struct io_buffer small[VECTOR_SMALL],
		      struct io_buffer **out)
{
	if (count > VECTOR_MAX)
		return KERR_INVAL;
	struct io_buffer *v = count <= VECTOR_SMALL ? small : heap_alloc(count * sizeof(*v));
	if (!v)
		return KERR_NOMEM;
	struct user_vector *raw = (void *)((char *)v + count * (sizeof(struct io_buffer) -
								sizeof(struct user_vector)));
	enum kerr err = user_read(raw, from, count * sizeof(*raw));
	if (err == KERR_OK)
		err = vector_decode(v, raw, count);
	if (err != KERR_OK)
		vector_end(v, small);
	*out = v;
	return err;
}

void vector_end(struct io_buffer *v, const struct io_buffer *small)
{
	if (v != small)
		heap_free(v);
}

#define SECONDS_MAX ((int64_t)(INT64_MAX / (int64_t)NSEC_PER_SEC) - 1)

enum kerr timespec_read(vaddr_t from, nsec_t *out)
{
	struct user_timespec t;
	enum kerr err = user_read(&t, from, sizeof(t));

	if (err != KERR_OK)
		return err;
	if (t.seconds < 0 || t.nanoseconds < 0 || t.nanoseconds >= (int64_t)NSEC_PER_SEC)
		return KERR_INVAL;
	*out = (nsec_t)MIN(t.seconds, SECONDS_MAX) * NSEC_PER_SEC + (nsec_t)t.nanoseconds;
	return KERR_OK;
}

enum kerr timespec_write(vaddr_t to, nsec_t time)
{
	struct user_timespec t = {(int64_t)(time / NSEC_PER_SEC), (int64_t)(time % NSEC_PER_SEC)};

	return user_write(to, &t, sizeof(t));
}

enum kerr timeval_read(vaddr_t from, nsec_t *out)
{
	struct user_timeval t;
	enum kerr err = user_read(&t, from, sizeof(t));

	if (err != KERR_OK)
		return err;
	if (t.seconds < 0 || t.microseconds < 0 || t.microseconds >= 1000000)
		return KERR_INVAL;
	*out = (nsec_t)MIN(t.seconds, SECONDS_MAX) * NSEC_PER_SEC +
	       (nsec_t)t.microseconds * NSEC_PER_USEC;
	return KERR_OK;
}

enum kerr timeval_write(vaddr_t to, nsec_t time)
{
	struct user_timeval t = {(int64_t)(time / NSEC_PER_SEC),
				 (int64_t)(time % NSEC_PER_SEC / NSEC_PER_USEC)};

	return user_write(to, &t, sizeof(t));
}

nsec_t deadline_after(nsec_t span)
{
	nsec_t deadline;

	if (span == NSEC_NEVER || __builtin_add_overflow(time_now(), span, &deadline))
		return NSEC_NEVER;
	return deadline;
}
