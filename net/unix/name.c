/*
 * Names of UNIX sockets.
 *
 * A name in the filesystem is a node (S_IFSOCK) whose inode points to the socket while that is open; the
 * inode's lock guards the pointer, and the socket holds the path, so the pointer is never left
 * behind. Unlinking the node takes the name away for those who come later; closing the socket leaves the node,
 * to which connecting is refused then. Renaming it changes nothing, since nobody compares text.
 *
 * An abstract name (first byte 0) is any bytes; each type of socket has a space of names of its own, as on
 * Linux. They are in a hash table under the registry's mutex, which also holds the list of all
 * sockets for /proc/net/unix. It is taken when a socket comes and goes, never while data moves.
 */
#include "unix/unix.h"

#include <core/panic.h>
#include <core/random.h>
#include <exec/domain.h>
#include <fs/proc.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>

#define NAME_BUCKETS 64u
#define AUTOMATIC_NAMES 0x100000u /* five hexadecimal digits */

static struct mutex registry = MUTEX_INIT(registry);
static struct list names[NAME_BUCKETS]; /* (registry) by name_link */
static struct list all;                 /* (registry) by all_link */
static uint32_t automatic;              /* (registry) the number of the latest automatic name */

void names_add(struct unix_socket *u)
{
	mutex_lock(&registry);
	list_add_tail(&all, &u->all_link);
	mutex_unlock(&registry);
}

void names_remove(struct unix_socket *u)
{
	if (list_empty(&u->all_link)) /* closed: it is not there any more */
		return;
	mutex_lock(&registry);
	list_remove(&u->all_link);
	mutex_unlock(&registry);
}

/* ---- Addresses --------------------------------------------------------------------------------- */

struct unix_address *address_get(struct unix_address *a)
{
	if (a)
		atomic_fetch_add_explicit(&a->references, 1, memory_order_relaxed);
	return a;
}

void address_put(struct unix_address *a)
{
	if (a && atomic_fetch_sub_explicit(&a->references, 1, memory_order_acq_rel) == 1)
		heap_free(a);
}

void address_show(const struct unix_address *a, struct socket_address *out)
{
	out->length = a ? a->length : 0;
	if (a)
		memcpy(out->bytes, a->bytes, a->length);
}

static struct unix_address *address_create(const uint8_t *name, uint32_t length)
{
	const uint16_t family = AF_UNIX;
	struct unix_address *a = heap_alloc(sizeof(*a));

	if (!a)
		return nullptr;
	atomic_init(&a->references, 1);
	a->length = UNIX_PATH_OFFSET + length;
	memcpy(a->bytes, &family, sizeof(family));
	memcpy(a->bytes + UNIX_PATH_OFFSET, name, length);
	return a;
}

/* The name in an address and its length, which for a path does not count what follows its end. */
static enum kerr name_of(const struct socket_address *a, const uint8_t **name, uint32_t *length)
{
	if (a->length <= UNIX_PATH_OFFSET || a->length > UNIX_PATH_OFFSET + UNIX_PATH_SIZE ||
	    a->family != AF_UNIX)
		return KERR_INVAL;
	*name = a->bytes + UNIX_PATH_OFFSET;
	*length = a->length - UNIX_PATH_OFFSET;
	if ((*name)[0])
		*length = (uint32_t)strnlen((const char *)*name, *length);
	return KERR_OK;
}

enum kerr address_check(const struct socket_address *a)
{
	const uint8_t *name;
	uint32_t length;

	return name_of(a, &name, &length);
}

enum kerr unix_name(struct socket *s, bool peer, struct socket_address *out)
{
	struct unix_socket *u = unix_of(s), *of = u;

	if (peer) {
		mutex_lock(&u->lock);
		of = unix_peer(u);
		if (of)
			unix_get(of);
		mutex_unlock(&u->lock);
		if (!of)
			return KERR_NOTCONN;
	}
	address_show(of->address, out);
	if (out->length == 0) { /* no name: only the family */
		out->family = AF_UNIX;
		out->length = sizeof(out->family);
	}
	if (peer)
		unix_put(of);
	return KERR_OK;
}

/* ---- Abstract names ---------------------------------------------------------------------------- */

static struct list *bucket_of(const uint8_t *name, uint32_t length, uint8_t type)
{
	uint32_t hash = type;

	for (uint32_t i = 0; i < length; i++)
		hash = (hash ^ name[i]) * 0x01000193u;
	return &names[(hash ^ hash >> 16) % NAME_BUCKETS];
}

static struct unix_socket *find_locked(const uint8_t *name, uint32_t length, uint8_t type)
{
	struct unix_socket *u;

	list_for_each(u, bucket_of(name, length, type), name_link) {
		const struct unix_address *a = u->address;
		if (u->socket.ops->type == type && a->length == UNIX_PATH_OFFSET + length &&
		    memcmp(a->bytes + UNIX_PATH_OFFSET, name, length) == 0)
			return u;
	}
	return nullptr;
}

/* Gives `u` a name that nobody has. Consumes `a` if it succeeds. */
static enum kerr add_locked(struct unix_socket *u, struct unix_address *a)
{
	const uint8_t *name = a->bytes + UNIX_PATH_OFFSET;
	uint32_t length = a->length - UNIX_PATH_OFFSET;

	if (find_locked(name, length, u->socket.ops->type))
		return KERR_ADDRINUSE;
	atomic_store_explicit(&u->address, a, memory_order_release);
	list_add_tail(bucket_of(name, length, u->socket.ops->type), &u->name_link);
	return KERR_OK;
}

static enum kerr bind_abstract(struct unix_socket *u, const uint8_t *name, uint32_t length)
{
	struct unix_address *a = address_create(name, length);

	if (!a)
		return KERR_NOMEM;
	mutex_lock(&registry);
	enum kerr err = add_locked(u, a);
	mutex_unlock(&registry);
	if (err != KERR_OK)
		address_put(a);
	return err;
}

enum kerr unix_autobind(struct unix_socket *u)
{
	char name[8] = "";
	enum kerr err = KERR_ADDRINUSE;

	if (u->address)
		return KERR_OK;
	struct unix_address *a = address_create((const uint8_t *)name, 6);
	if (!a)
		return KERR_NOMEM;
	mutex_lock(&registry);
	for (uint32_t i = 0; i < AUTOMATIC_NAMES && err == KERR_ADDRINUSE; i++) {
		automatic = (automatic + 1) % AUTOMATIC_NAMES;
		format(name, sizeof(name), "%05x", automatic);
		memcpy(a->bytes + UNIX_PATH_OFFSET + 1, name, 5);
		err = add_locked(u, a);
	}
	mutex_unlock(&registry);
	if (err != KERR_OK) {
		address_put(a);
		err = KERR_NOSPC;
	}
	return err;
}

/* ---- Names in the filesystem ------------------------------------------------------------------- */

static enum kerr bind_path(struct unix_socket *u, const uint8_t *name, uint32_t length)
{
	uint8_t text[UNIX_PATH_SIZE + 1];

	memcpy(text, name, length);
	text[length] = 0;
	struct unix_address *a = address_create(text, length + 1);
	if (!a)
		return KERR_NOMEM;
	enum kerr err = vfs_make_socket((const char *)text, u->socket.inode.mode, &u->path);
	if (err != KERR_OK) {
		address_put(a);
		u->path = (struct path){};
		return err == KERR_EXIST ? KERR_ADDRINUSE : err;
	}
	struct inode *i = path_inode(&u->path);
	atomic_store_explicit(&u->address, a, memory_order_release);
	mutex_lock(&i->lock);
	i->private = u;
	mutex_unlock(&i->lock);
	return KERR_OK;
}

static bool exists(const uint8_t *name, uint32_t length)
{
	char text[UNIX_PATH_SIZE + 1];
	struct path p;

	memcpy(text, name, length);
	text[length] = 0;
	if (vfs_lookup(nullptr, text, 0, &p) != KERR_OK)
		return false;
	path_put(&p);
	return true;
}

static enum kerr find_path(const uint8_t *name, uint32_t length, struct unix_socket **out)
{
	char text[UNIX_PATH_SIZE + 1];
	struct path p;

	memcpy(text, name, length);
	text[length] = 0;
	enum kerr err = vfs_lookup(nullptr, text, LOOKUP_FOLLOW, &p);
	if (err != KERR_OK)
		return err;
	struct inode *i = path_inode(&p);
	err = inode_permission(i, 2);
	if (err == KERR_OK && !inode_is(i, S_IFSOCK))
		err = KERR_CONNREFUSED;
	if (err == KERR_OK) {
		mutex_lock(&i->lock);
		*out = i->private;
		if (*out)
			unix_get(*out);
		else
			err = KERR_CONNREFUSED;
		mutex_unlock(&i->lock);
	}
	path_put(&p);
	return err;
}

/* ---- bind, find, unbind ------------------------------------------------------------------------ */

enum kerr unix_bind(struct socket *s, const struct socket_address *a)
{
	struct unix_socket *u = unix_of(s);
	const uint8_t *name;
	uint32_t length;
	enum kerr err;

	mutex_lock(&u->bind_lock);
	if (a->length == UNIX_PATH_OFFSET && a->family == AF_UNIX) {
		err = unix_autobind(u);
	} else {
		err = name_of(a, &name, &length);
		if (err == KERR_OK && u->address)
			err = name[0] && exists(name, length) ? KERR_ADDRINUSE : KERR_INVAL;
		if (err == KERR_OK)
			err = name[0] ? bind_path(u, name, length) : bind_abstract(u, name, length);
	}
	mutex_unlock(&u->bind_lock);
	return err;
}

static enum kerr find(const struct socket_address *a, uint8_t type, struct unix_socket **out)
{
	const uint8_t *name;
	uint32_t length;
	enum kerr err = name_of(a, &name, &length);

	if (err != KERR_OK)
		return err;
	if (name[0]) {
		err = find_path(name, length, out);
		if (err == KERR_OK && (*out)->socket.ops->type != type) {
			unix_put(*out);
			*out = nullptr;
			err = KERR_PROTOTYPE;
		}
		return err;
	}
	mutex_lock(&registry);
	*out = find_locked(name, length, type);
	if (*out)
		unix_get(*out);
	mutex_unlock(&registry);
	return *out ? KERR_OK : KERR_CONNREFUSED;
}

enum kerr unix_find(const struct socket_address *a, uint8_t type, struct unix_socket **out)
{
	enum kerr err = find(a, type, out);

	if (err == KERR_OK && unlikely(process_isolated(TERN_ISOLATION_LIGHT)) &&
	    domain_separates(current_process()->domain, (*out)->domain, DOMAIN_CONNECT) &&
	    !process_has_privilege(TERN_CAP_ANY_IPC, LINUX_CAP_IPC_OWNER)) {
		process_kept_apart("connect");
		unix_put(*out);
		*out = nullptr;
		err = KERR_ACCESS;
	}
	return err;
}

void names_unbind(struct unix_socket *u)
{
	if (u->path.dentry) {
		struct inode *i = path_inode(&u->path);
		mutex_lock(&i->lock);
		i->private = nullptr;
		mutex_unlock(&i->lock);
		path_put(&u->path);
		u->path = (struct path){};
	} else if (u->address) {
		mutex_lock(&registry);
		list_remove(&u->name_link); /* an accepted one shows its listener's name only */
		mutex_unlock(&registry);
	}
}

/* ---- /proc/net/unix ---------------------------------------------------------------------------- */

#define ACCEPTS_CONNECTIONS 0x10000u /* in the flags */

/* What Linux calls the state of the socket: 1 unconnected, 2 connecting, 3 connected. */
static unsigned state_shown(const struct unix_socket *u)
{
	if (u->listener)
		return 2;
	return u->state == UNIX_CONNECTED ? 3 : 1;
}

static void show_name(struct text *t, const struct unix_address *a)
{
	const uint8_t *name = a->bytes + UNIX_PATH_OFFSET;
	uint32_t length = a->length - UNIX_PATH_OFFSET, at = 0;

	text_add(t, " ", 1);
	if (name[0] == 0) {
		text_add(t, "@", 1);
		at = 1;
	} else {
		length--; /* its end mark */
	}
	for (; at < length; at++)
		text_add(t, name[at] ? (const char *)&name[at] : "@", 1);
}

static enum kerr show_sockets(struct text *t, const struct proc_subject *s)
{
	struct unix_socket *u;

	text_print(t, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	mutex_lock(&registry);
	list_for_each(u, &all, all_link) {
		const struct unix_address *a =
			atomic_load_explicit(&u->address, memory_order_acquire);
		text_print(t, "%016x: %08X %08X %08X %04X %02X %5lu", 0, u->socket.inode.references,
			   0, u->state == UNIX_LISTENING ? ACCEPTS_CONNECTIONS : 0,
			   u->socket.ops->type, state_shown(u),
			   (unsigned long)u->socket.inode.number);
		if (a)
			show_name(t, a);
		text_add(t, "\n", 1);
	}
	mutex_unlock(&registry);
	return KERR_OK;
}

void names_init(void)
{
	list_init(&all);
	for (uint32_t i = 0; i < NAME_BUCKETS; i++)
		list_init(&names[i]);
	proc_net_register("unix", show_sockets);
}
