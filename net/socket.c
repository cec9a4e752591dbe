/*
 * Sockets as files, and what all families share: creation, the file's operations.
 *
 *   struct file --private--> struct socket --ops--> the family's table for this type
 *        \--inode--------------^ (embedded: one object, one count of references)
 *
 * The inode belongs to a superblock that is never mounted; fstat and /proc/PID/fd see it. A read or write is a
 * receive or send of one part. The layer holds no lock; families do.
 *
 * Costs: a read is two indirect calls (file, socket) and a message of eleven words on the stack.
 * Rejected: a file_ops table per family and type (saves one call, but then the system calls that only
 * sockets have need a second table anyway).
 */
#include <net/socket.h>

#include <core/init.h>
#include <core/panic.h>
#include <core/time.h>
#include <fs/poll.h>
#include <lib/format.h>
#include <lib/string.h>

#define FIONREAD 0x541b
#define SIOCOUTQ 0x5411

static struct superblock socket_superblock;
static const struct socket_family *families[AF_LIMIT]; /* (at init) */

/* ---- The inode --------------------------------------------------------------------------------- */

static struct socket *socket_of_inode(struct inode *i)
{
	return container_of(i, struct socket, inode);
}

static size_t describe(struct inode *i, char *buf, size_t size)
{
	return (size_t)format(buf, size, "socket:[%lu]", (unsigned long)i->number);
}

static void inode_release(struct inode *i)
{
	struct socket *s = socket_of_inode(i);

	s->ops->destroy(s);
}

static const struct inode_ops socket_inode_ops = {.release = inode_release, .describe = describe};

void socket_init(struct socket *s, uint16_t family, const struct socket_ops *ops)
{
	inode_init(&s->inode, &socket_superblock, &socket_inode_ops, S_IFSOCK | 0777);
	inode_set_owner(&s->inode, nullptr, S_IFSOCK | 0777);
	s->ops = ops;
	s->family = family;
	atomic_init(&s->send_buffer, SOCKET_BUFFER_DEFAULT);
	atomic_init(&s->receive_buffer, SOCKET_BUFFER_DEFAULT);
	atomic_init(&s->low_water, 1);
}

/* ---- Help for families ------------------------------------------------------------------------- */

nsec_t socket_deadline(nsec_t timeout)
{
	nsec_t deadline;

	if (!timeout || __builtin_add_overflow(time_now(), timeout, &deadline))
		return NSEC_NEVER;
	return deadline;
}

enum kerr socket_wait_error(enum kerr err, nsec_t timeout)
{
	if (err == KERR_TIMEDOUT)
		return KERR_AGAIN;
	return err == KERR_INTR && timeout ? KERR_RESTART_NOHAND
	       : err == KERR_INTR          ? KERR_RESTART
					   : err;
}

struct io_buffer message_piece(const struct socket_message *m, size_t at)
{
	const struct io_buffer *p = m->parts;

	while (at >= p->size) {
		at -= p->size;
		p++;
	}
	return (struct io_buffer){p->addr + at, p->size - at, p->user};
}

/* ---- The file ---------------------------------------------------------------------------------- */

static inline unsigned waiting_flag(const struct file *f)
{
	return file_nonblocking(f) ? MSG_DONTWAIT : 0;
}

static enum kerr receive_parts(struct file *f, const struct io_buffer *parts, size_t count,
			       size_t size, size_t *done)
{
	struct socket *s = f->private;
	struct socket_message m = {
		.parts = parts, .part_count = count, .size = size, .flags = waiting_flag(f)};

	enum kerr err = s->ops->receive(s, &m, done);
	if (unlikely(m.rights))
		rights_release(m.rights);
	*done = MIN(*done, size);
	return err;
}

static enum kerr socket_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			     size_t *done)
{
	*done = 0;
	return b->size ? receive_parts(f, b, 1, b->size, done) : KERR_OK;
}

static enum kerr send_parts(struct file *f, const struct io_buffer *parts, size_t count,
			    size_t size, size_t *done)
{
	struct socket *s = f->private;
	struct socket_message m = {
		.parts = parts, .part_count = count, .size = size, .flags = waiting_flag(f)};

	return s->ops->send(s, &m, done);
}

static enum kerr socket_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	return send_parts(f, b, 1, b->size, done);
}

static size_t size_of(const struct io_buffer *parts, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += parts[i].size;
	return size;
}

static enum kerr socket_read_vector(struct file *f, const struct io_buffer *parts, size_t count,
				    size_t *done)
{
	size_t size = size_of(parts, count);

	*done = 0;
	return size ? receive_parts(f, parts, count, size, done) : KERR_OK;
}

static enum kerr socket_write_vector(struct file *f, const struct io_buffer *parts, size_t count,
				     size_t *done)
{
	return send_parts(f, parts, count, size_of(parts, count), done);
}

static unsigned socket_poll(struct file *f, struct poll_table *table)
{
	struct socket *s = f->private;

	return s->ops->poll(s, table);
}

static enum kerr socket_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	struct socket *s = f->private;
	uint32_t count;

	if (command != FIONREAD && command != SIOCOUTQ)
		return KERR_NOTTY;
	enum kerr err = s->ops->queued(s, command == SIOCOUTQ, &count);
	if (err != KERR_OK)
		return err;
	const struct io_buffer b = {argument, sizeof(count), true};
	return io_to_buffer(&b, 0, &count, sizeof(count)) == sizeof(count) ? KERR_OK : KERR_FAULT;
}

static void socket_close(struct file *f)
{
	struct socket *s = f->private;

	s->ops->close(s);
}

static const struct file_ops socket_file_ops = {
	.read = socket_read,
	.write = socket_write,
	.read_vector = socket_read_vector,
	.write_vector = socket_write_vector,
	.poll = socket_poll,
	.ioctl = socket_ioctl,
	.close = socket_close,
};

enum kerr socket_file(struct socket *s, int flags, struct file **out)
{
	enum kerr err =
		file_create(&s->inode, &socket_file_ops, O_RDWR | (flags & O_NONBLOCK), out);

	if (err == KERR_OK)
		(*out)->private = s;
	return err;
}

struct socket *socket_of(const struct file *f)
{
	return f->ops == &socket_file_ops ? f->private : nullptr;
}

/* ---- Families ---------------------------------------------------------------------------------- */

void socket_family_register(const struct socket_family *f)
{
	assert(f->family < AF_LIMIT && !families[f->family]);
	families[f->family] = f;
}

enum kerr socket_create(int family, int type, int protocol, struct socket **out)
{
	if (family < 0 || family >= AF_LIMIT)
		return KERR_AFNOSUPPORT;
	if (type < 0 || type >= (int)SOCK_LIMIT)
		return KERR_INVAL;
	if (!families[family])
		return KERR_AFNOSUPPORT;
	return families[family]->create(type, protocol, out);
}

/* ---- Init -------------------------------------------------------------------------------------- */

static const struct filesystem socket_filesystem = {.name = "sockfs", .magic = 0x534f434b};
static void never_released(struct superblock *sb)
{
	panic("net: the superblock of sockets was released");
}
static const struct superblock_ops superblock_operations = {.release = never_released};

static enum kerr net_init(const struct boot_info *info)
{
	superblock_init(&socket_superblock, &socket_filesystem, &superblock_operations);
	return KERR_OK;
}

static const struct init_ops ops = {.init = net_init};
INIT_SUBSYSTEM(net, .phase = INIT_LATE, .priority = 6, .requires = INIT_HEAP | INIT_SCHEDULER,
	       INIT_DEPENDS("memory", "scheduler"), .provides = INIT_NETWORK, .ops = &ops);
