/*
 * What waits at a UNIX socket to be read.
 *
 *   ring    [....hello|world...........]       bytes, in page slots (fs/ring.h)
 *   marks      |-----| |---------------|       records: one a message; in a stream only where
 *                                              bytes carry descriptors or credentials
 *
 * A datagram is its record and the next `size` bytes of the ring. A stream has no records as a rule, so a
 * byte through it costs what it costs through a pipe. Streams name a range by position, because bytes without
 * a record may lie before it.
 *
 * Compared with a queue of message buffers, each with its header: that needs an allocation and a free
 * for each send, has to split or merge buffers when a stream is read in other pieces than it was written,
 * and a page at least for each large message; it wins when a message is passed on without a copy,
 * which nothing here does. The price of the ring: a send holds the receiver's lock while it
 * copies.
 *
 * The ring begins with 64 KiB of slots (not pages) and grows up to what the sender's buffer size allows.
 */
#include "unix/unix.h"

#include <exec/process.h>
#include <mm/heap.h>

const struct socket_credentials unix_nobody = {0, 65534, 65534};

static struct cache *mark_cache;

void queue_init(void)
{
	mark_cache = cache_create("unix_mark", sizeof(struct unix_mark), 0);
}

/* ---- Bytes ------------------------------------------------------------------------------------- */

enum kerr queue_reserve(struct unix_socket *u, size_t size)
{
	uint64_t need = ring_used(&u->ring) + size + PAGE_SIZE;
	uint32_t slots = u->ring.slots;

	if (likely(ring_room(&u->ring) >= size))
		return KERR_OK;
	while (slots * PAGE_SIZE < need)
		slots *= 2;
	return ring_resize(&u->ring, slots);
}

enum kerr queue_put(struct unix_socket *u, const struct socket_message *m, size_t at, size_t size,
		    size_t *done)
{
	enum kerr err = KERR_OK;

	*done = 0;
	while (*done < size && err == KERR_OK) {
		const struct io_buffer piece = message_piece(m, at + *done);
		size_t moved;
		err = ring_put(&u->ring, &piece, 0, MIN(size - *done, piece.size), &moved);
		*done += moved;
	}
	return err;
}

size_t queue_peek(const struct unix_socket *u, uint64_t position, const struct socket_message *m,
		  size_t at, size_t size)
{
	size_t done = 0;

	while (done < size) {
		const struct io_buffer piece = message_piece(m, at + done);
		size_t n = MIN(size - done, piece.size);
		size_t moved = ring_peek(&u->ring, position + done, &piece, 0, n);
		done += moved;
		if (moved < n)
			break;
	}
	return done;
}

/* ---- Records ----------------------------------------------------------------------------------- */

struct unix_mark *mark_create(void)
{
	struct unix_mark *m = cache_alloc(mark_cache);

	if (m)
		*m = (struct unix_mark){.credentials = unix_nobody};
	return m;
}

void mark_free(struct unix_mark *m)
{
	if (m->source)
		unix_put(m->source); /* at most frees it: it has closed before */
	cache_free(mark_cache, m);
}

void queue_append(struct unix_socket *u, struct unix_mark *m)
{
	list_add_tail(&u->marks, &m->link);
	u->mark_count++;
	if (m->rights)
		flight_add(u, m->rights);
}

struct unix_mark *queue_take(struct unix_socket *u)
{
	struct unix_mark *m = list_first(&u->marks, struct unix_mark, link);

	list_remove(&m->link);
	u->mark_count--;
	return m;
}

enum kerr mark_rights(struct unix_mark *m, bool copy, struct socket_rights **out)
{
	*out = nullptr;
	if (likely(!m->rights))
		return KERR_OK;
	if (copy) {
		*out = flight_duplicate(m->rights);
		return *out ? KERR_OK : KERR_NOMEM;
	}
	flight_remove(m->rights);
	*out = m->rights;
	m->rights = nullptr;
	return KERR_OK;
}

void queue_purge(struct unix_socket *u, struct list *rights)
{
	while (!list_empty(&u->marks)) {
		struct unix_mark *m = queue_take(u);
		if (m->rights) {
			flight_remove(m->rights);
			list_add_tail(rights, &m->rights->link);
		}
		mark_free(m);
	}
	ring_clear(&u->ring);
}

void rights_release_all(struct list *rights)
{
	while (!list_empty(rights)) {
		struct socket_rights *r = list_first(rights, struct socket_rights, link);
		list_remove(&r->link);
		rights_release(r);
	}
}

bool message_credentials(const struct unix_socket *from, const struct unix_socket *to,
			 const struct socket_message *m, struct socket_credentials *out)
{
	if (m->has_credentials) {
		*out = m->credentials;
		return true;
	}
	if (!socket_option(&from->socket, SOCKET_PASS_CREDENTIALS) &&
	    !socket_option(&to->socket, SOCKET_PASS_CREDENTIALS))
		return false;
	*out = unix_own_credentials(false);
	return true;
}
