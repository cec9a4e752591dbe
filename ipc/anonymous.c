/*
 * Files without a name that are no pipes: eventfd, timerfd, signalfd, epoll. All files of a kind
 * share one inode, which never goes away, on a superblock that is never mounted; what they are is
 * in file->private. fstat shows mode 0600 without a type, as on Linux.
 */
#include "ipc_private.h"

#include <core/init.h>
#include <core/panic.h>

static const struct filesystem anonymous_filesystem = {.name = "anon_inodefs", .magic = 0x09041934};
static struct superblock superblock;

static void never_released(struct superblock *sb)
{
	panic("ipc: the superblock of nameless files was released");
}
static const struct superblock_ops superblock_operations = {.release = never_released};

void anonymous_inode_init(struct inode *i, const struct inode_ops *ops)
{
	inode_init(i, &superblock, ops, 0600);
}

enum kerr anonymous_file_create(struct inode *i, const struct file_ops *ops, int flags,
				void *private, struct file **out)
{
	inode_get(i);
	enum kerr err = file_create(i, ops, O_RDWR | (flags & O_NONBLOCK), out);
	if (err != KERR_OK) {
		inode_put(i);
		return err;
	}
	(*out)->private = private;
	return KERR_OK;
}

enum kerr anonymous_seek(struct file *f, int64_t offset, int whence, uint64_t *out)
{
	*out = 0;
	return KERR_OK;
}

static enum kerr anonymous_init(const struct boot_info *info)
{
	superblock_init(&superblock, &anonymous_filesystem, &superblock_operations);
	eventfd_init();
	timerfd_init();
	signalfd_init();
	epoll_init();
	return KERR_OK;
}

static const struct init_ops init_operations = {.init = anonymous_init};
INIT_SUBSYSTEM(events, .phase = INIT_LATE, .priority = 6, .requires = INIT_HEAP | INIT_SCHEDULER,
	       INIT_DEPENDS("memory", "scheduler"), .ops = &init_operations);
