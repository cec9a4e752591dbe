/* Socket options of the level SOL_SOCKET (socket(7)): one value each, most of them for any family. */
#include <net/socket.h>

#include <exec/domain.h>
#include <exec/process.h>
#include <lib/string.h>

enum {
	SO_DEBUG = 1,
	SO_REUSEADDR = 2,
	SO_TYPE = 3,
	SO_ERROR = 4,
	SO_DONTROUTE = 5,
	SO_BROADCAST = 6,
	SO_SNDBUF = 7,
	SO_RCVBUF = 8,
	SO_KEEPALIVE = 9,
	SO_OOBINLINE = 10,
	SO_PRIORITY = 12,
	SO_LINGER = 13,
	SO_PASSCRED = 16,
	SO_PEERCRED = 17,
	SO_RCVLOWAT = 18,
	SO_SNDLOWAT = 19,
	SO_RCVTIMEO = 20,
	SO_SNDTIMEO = 21,
	SO_PEERNAME = 28,
	SO_ACCEPTCONN = 30,
	SO_SNDBUFFORCE = 32,
	SO_RCVBUFFORCE = 33,
	SO_PROTOCOL = 38,
	SO_DOMAIN = 39,
	SO_RCVTIMEO_NEW = 66, /* the same on 64-bit machines */
	SO_SNDTIMEO_NEW = 67,
};

/* The smallest that a buffer becomes; a send buffer needs room for one more page than a receive buffer. */
#define RECEIVE_BUFFER_MIN 2304u
#define SEND_BUFFER_MIN 4608u

struct linger {
	int on, seconds;
};
struct timeval {
	int64_t seconds, microseconds;
};

static uint32_t bit_of(int name)
{
	switch (name) {
	case SO_DEBUG:
		return SOCKET_DEBUG;
	case SO_REUSEADDR:
		return SOCKET_REUSE_ADDRESS;
	case SO_DONTROUTE:
		return SOCKET_DONT_ROUTE;
	case SO_BROADCAST:
		return SOCKET_BROADCAST;
	case SO_KEEPALIVE:
		return SOCKET_KEEP_ALIVE;
	case SO_OOBINLINE:
		return SOCKET_OOB_INLINE;
	case SO_PASSCRED:
		return SOCKET_PASS_CREDENTIALS;
	default:
		return 0;
	}
}

static void set_bit(struct socket *s, uint32_t bit, bool on)
{
	if (on)
		atomic_fetch_or(&s->options, bit);
	else
		atomic_fetch_and(&s->options, ~bit);
}

/* As Linux: the double of what was asked for, at least `least`. */
static uint32_t buffer_size(uint32_t asked, uint32_t most, uint32_t least)
{
	return MAX(MIN(asked, most) * 2, least);
}

static enum kerr set_timeout(_Atomic nsec_t *timeout, const void *value, size_t size)
{
	struct timeval t;

	if (size < sizeof(t))
		return KERR_INVAL;
	memcpy(&t, value, sizeof(t));
	if (t.microseconds < 0 || t.microseconds >= 1000000)
		return KERR_DOM;
	nsec_t span = 0;
	if (t.seconds < 0)
		span = 1; /* over as soon as it begins */
	else if ((uint64_t)t.seconds < INT64_MAX / NSEC_PER_SEC)
		span = (nsec_t)t.seconds * NSEC_PER_SEC + (nsec_t)t.microseconds * NSEC_PER_USEC;
	atomic_store_explicit(timeout, span, memory_order_relaxed);
	return KERR_OK;
}

static enum kerr set_linger(struct socket *s, const void *value, size_t size)
{
	struct linger l;

	if (size < sizeof(l))
		return KERR_INVAL;
	memcpy(&l, value, sizeof(l));
	set_bit(s, SOCKET_LINGER, l.on);
	atomic_store(&s->linger, (uint32_t)l.seconds);
	return KERR_OK;
}

enum kerr socket_set_option(struct socket *s, int name, const void *value, size_t size)
{
	uint32_t number, bit = bit_of(name);

	if (size < sizeof(number))
		return KERR_INVAL;
	memcpy(&number, value, sizeof(number));
	if (bit) {
		if (bit == SOCKET_DEBUG && number &&
		    !process_capable(TERN_CAP_NETWORK_ADMIN, LINUX_CAP_NET_ADMIN))
			return KERR_ACCESS;
		set_bit(s, bit, number);
		return KERR_OK;
	}
	switch (name) {
	case SO_SNDBUF:
		s->send_buffer = buffer_size(number, SOCKET_BUFFER_MAX, SEND_BUFFER_MIN);
		return KERR_OK;
	case SO_RCVBUF:
		s->receive_buffer = buffer_size(number, SOCKET_BUFFER_MAX, RECEIVE_BUFFER_MIN);
		return KERR_OK;
	case SO_SNDBUFFORCE:
	case SO_RCVBUFFORCE:
		if (!process_capable(TERN_CAP_NETWORK_ADMIN, LINUX_CAP_NET_ADMIN))
			return KERR_PERM;
		number = (int)number < 0 ? 0 : number;
		if (name == SO_SNDBUFFORCE)
			s->send_buffer =
				buffer_size(number, SOCKET_FORCED_BUFFER_MAX / 2, SEND_BUFFER_MIN);
		else
			s->receive_buffer = buffer_size(number, SOCKET_FORCED_BUFFER_MAX / 2,
							RECEIVE_BUFFER_MIN);
		return KERR_OK;
	case SO_PRIORITY:
		if (number > 6 &&
		    !process_has_privilege(TERN_CAP_NETWORK_ADMIN, LINUX_CAP_NET_RAW) &&
		    !process_capable(TERN_CAP_NETWORK_ADMIN, LINUX_CAP_NET_ADMIN))
			return KERR_PERM;
		s->priority = number;
		return KERR_OK;
	case SO_LINGER:
		return set_linger(s, value, size);
	case SO_RCVLOWAT:
		s->low_water = (int)number < 0 ? INT32_MAX : MAX(number, 1u);
		return KERR_OK;
	case SO_RCVTIMEO:
	case SO_RCVTIMEO_NEW:
		return set_timeout(&s->receive_timeout, value, size);
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW:
		return set_timeout(&s->send_timeout, value, size);
	default:
		/* Also those that can only be read: SO_TYPE, SO_ERROR, ... */
		return KERR_NOPROTOOPT;
	}
}

/* ---- Reading ----------------------------------------------------------------------------------- */

static void give(void *value, size_t *size, const void *from, size_t n)
{
	*size = MIN(*size, n);
	memcpy(value, from, *size);
}

static void give_timeout(nsec_t timeout, void *value, size_t *size)
{
	struct timeval t = {(int64_t)(timeout / NSEC_PER_SEC),
			    (int64_t)(timeout % NSEC_PER_SEC / NSEC_PER_USEC)};

	give(value, size, &t, sizeof(t));
}

static void give_peer_credentials(struct socket *s, void *value, size_t *size)
{
	struct socket_credentials c = {};

	s->ops->peer_credentials(s, &c);
	if (c.pid == 0)
		c.uid = c.gid = UINT32_MAX;
	give(value, size, &c, sizeof(c));
}

static enum kerr give_peer_name(struct socket *s, void *value, size_t *size)
{
	struct socket_address a;
	enum kerr err = s->ops->name(s, true, &a);

	if (err != KERR_OK)
		return KERR_NOTCONN;
	if (a.length < *size)
		return KERR_INVAL;
	give(value, size, a.bytes, a.length);
	return KERR_OK;
}

/* Those whose value is one number; false: no such option. */
static bool number_of(struct socket *s, int name, int *out)
{
	switch (name) {
	case SO_TYPE:
		*out = s->ops->type;
		return true;
	case SO_ERROR:
		*out = -(int)s->ops->take_error(s);
		return true;
	case SO_SNDBUF:
		*out = (int)s->send_buffer;
		return true;
	case SO_RCVBUF:
		*out = (int)s->receive_buffer;
		return true;
	case SO_PRIORITY:
		*out = (int)s->priority;
		return true;
	case SO_RCVLOWAT:
		*out = (int)s->low_water;
		return true;
	case SO_SNDLOWAT:
		*out = 1;
		return true;
	case SO_ACCEPTCONN:
		*out = s->ops->listening(s);
		return true;
	case SO_PROTOCOL:
		*out = 0;
		return true;
	case SO_DOMAIN:
		*out = s->family;
		return true;
	default:
		*out = socket_option(s, bit_of(name));
		return bit_of(name) != 0;
	}
}

enum kerr socket_get_option(struct socket *s, int name, void *value, size_t *size)
{
	int number;

	switch (name) {
	case SO_LINGER: {
		struct linger l = {socket_option(s, SOCKET_LINGER), (int)s->linger};
		give(value, size, &l, sizeof(l));
		return KERR_OK;
	}
	case SO_RCVTIMEO:
	case SO_RCVTIMEO_NEW:
		give_timeout(s->receive_timeout, value, size);
		return KERR_OK;
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW:
		give_timeout(s->send_timeout, value, size);
		return KERR_OK;
	case SO_PEERCRED:
		give_peer_credentials(s, value, size);
		return KERR_OK;
	case SO_PEERNAME:
		return give_peer_name(s, value, size);
	default:
		if (!number_of(s, name, &number))
			return KERR_NOPROTOOPT;
		if (bit_of(name))
			number = number != 0;
		give(value, size, &number, sizeof(number));
		return KERR_OK;
	}
}
