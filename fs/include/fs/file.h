/* Open files and descriptor tables (US-3). */
#pragma once

#include <fs/vfs.h>

#define O_ACCMODE 03
#define O_RDONLY 00
#define O_WRONLY 01
#define O_RDWR 02
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NOCTTY 0400
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define O_DSYNC 010000
#define O_ASYNC 020000
#define O_NOATIME 01000000
#define O_CLOEXEC 02000000
#define O_SYNC 04010000
#define O_PATH 010000000
#define O_TMPFILE_BIT 020000000
/* These four differ on AArch64; the system-call gate converts to these (the x86 and RISC-V) values. */
#define O_DIRECT 040000
#define O_LARGEFILE 0100000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
/* What F_SETFL may change. */
#define O_SETFL_MASK (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC)

#define POLL_IN 0x1u
#define POLL_PRI 0x2u
#define POLL_OUT 0x4u
#define POLL_ERR 0x8u
#define POLL_HUP 0x10u
#define POLL_NVAL 0x20u
#define POLL_RDNORM 0x40u
#define POLL_WRNORM 0x100u
#define POLL_RDHUP 0x2000u

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#define SEEK_DATA 3
#define SEEK_HOLE 4

/* A buffer of the caller: user memory (user = true) or the kernel's. */
struct io_buffer {
	vaddr_t addr;
	size_t size;
	bool user;
};

/* Moves `size` bytes between a kernel buffer and b, from b's byte `at` on; the number moved is
 * smaller only if user memory is not there. No spinlock held. */
size_t io_to_buffer(const struct io_buffer *b, size_t at, const void *src, size_t size);
size_t io_from_buffer(const struct io_buffer *b, size_t at, void *dst, size_t size);

struct poll_table; /* fs/poll.h */
struct directory_entry;

struct file_ops {
	/* *done gets the bytes moved; with done > 0 an error is reported at the next call.
	 * `offset` is where; ops of streams ignore it. May sleep; O_NONBLOCK: KERR_AGAIN.
	 * Null: KERR_INVAL. */
	enum kerr (*read)(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done);
	/* O_APPEND files get the offset UINT64_MAX and move to the end by themselves. */
	enum kerr (*write)(struct file *f, const struct io_buffer *b, uint64_t offset,
			   size_t *done);
	/* readv(2), writev(2) as one operation, for files whose reads and writes are messages. Null: a
	 * read or write a part. */
	enum kerr (*read_vector)(struct file *f, const struct io_buffer *parts, size_t count,
				 size_t *done);
	enum kerr (*write_vector)(struct file *f, const struct io_buffer *parts, size_t count,
				  size_t *done);
	/* The events that hold now; registers with *table (may be null) for later ones. Null: always
	 * readable and writable. */
	unsigned (*poll)(struct file *f, struct poll_table *table);
	/* Null: KERR_NOTTY. FIONBIO, FIOCLEX are the gate's. */
	enum kerr (*ioctl)(struct file *f, unsigned command, vaddr_t argument, long *result);
	/* What to map for mmap: referenced object. Null: KERR_NODEV. */
	enum kerr (*map)(struct file *f, struct vm_object **out);
	/* The next directory entry behind *position (0: from the start), which moves on.
	 * KERR_NOENT: end. Null: no directory. */
	enum kerr (*read_directory)(struct file *f, uint64_t *position,
				    struct directory_entry *out);
	/* Null: the ordinary arithmetic, or KERR_SPIPE if f->stream. */
	enum kerr (*seek)(struct file *f, int64_t offset, int whence, uint64_t *out);
	enum kerr (*allocate)(struct file *f, int mode, uint64_t offset,
			      uint64_t size); /* fallocate; null: KERR_OPNOTSUPP */
	/* fcntl commands of pipes (F_GETPIPE_SZ, ...); null: KERR_INVAL. */
	enum kerr (*control)(struct file *f, int command, unsigned long argument, long *result);
	void (*close)(struct file *f); /* last reference; may be null */
};

struct directory_entry {
	uint64_t inode;
	uint64_t position; /* of the entry behind it: d_off */
	uint8_t type; /* DT_* = mode >> 12 */
	uint8_t length;
	char name[NAME_SIZE + 1];
};

struct file {
	const struct file_ops *ops;
	_Atomic uint32_t references;
	_Atomic uint32_t flags; /* O_*; F_SETFL by file_set_flags */
	bool readable, writable; /* (const) from the access mode */
	bool stream; /* (const) no offset: pipe, terminal, /dev/null */
	bool write_counted; /* (const) inode->writers counts it: + if writable, - if a program */
	struct path path; /* (const) null dentry: pipe, socket; else referenced */
	struct inode *inode; /* (const) referenced by itself if there is no dentry */
	uint64_t offset; /* (position) */
	struct mutex position; /* read/write with the shared offset; not taken for streams */
	void *private; /* the ops' own */
	struct module *owner; /* (const) of the ops, referenced; null: the kernel */
	const struct file_ops
		*guarded; /* (const) the module's own, which `ops` call (fs/dev/guarded.c) */
	struct epoll_item
		*_Atomic watchers; /* (ipc/epoll_item.c's watch lock) who watches it; mostly null */
	struct rcu_head rcu;
};

/* A file on `inode` without a name; consumes a reference to it. `flags` give the access mode. */
enum kerr file_create(struct inode *inode, const struct file_ops *ops, int flags,
		      struct file **out);
static inline void file_get(struct file *f)
{
	atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
}
void file_put_last(struct file *f);
/* What ends the watches of a file whose last reference went; set by epoll, once. May sleep. */
void file_watch_register(void (*end)(struct file *f));
static inline void file_put(struct file *f) /* may sleep */
{
	if (atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
		file_put_last(f);
}
void file_set_flags(struct file *f, unsigned flags); /* those of O_SETFL_MASK */
static inline bool file_nonblocking(const struct file *f)
{
	return atomic_load_explicit(&f->flags, memory_order_relaxed) & O_NONBLOCK;
}
enum kerr file_stat(struct file *f, struct inode_attributes *out);
enum kerr file_set_attributes(struct file *f, const struct inode_attributes *a, unsigned which);
/* What readlink(/proc/PID/fd/N) shows; like vfs_path_name. */
enum kerr file_name(struct file *f, char *buf, size_t size, const char **start);
unsigned file_poll(struct file *f, struct poll_table *table); /* POLL_* */

/* ---- Descriptor tables of the current process ----------------------------------------------------- */

/* Puts `f` at the lowest free number >= lowest; consumes the reference on success. KERR_MFILE. */
enum kerr fd_install(struct file *f, unsigned lowest, bool close_on_exec, int *out);
/* Reserves a number first, so that a call can fail before it opens something: then fd_fill or
 * fd_release. */
enum kerr fd_reserve(unsigned lowest, bool close_on_exec, int *out);
void fd_fill(int fd, struct file *f); /* consumes the reference */
void fd_release(int fd);
struct file *fd_get(int fd); /* referenced; null: KERR_BADF, also for O_PATH files */
struct file *fd_get_any(int fd); /* O_PATH files too */
enum kerr fd_close(int fd);
/* dup2, dup3 (to >= 0: KERR_INVAL if from == to, which the caller of dup2 looks after) and dup
 * (to < 0). */
enum kerr fd_duplicate(int from, int to, bool close_on_exec, int *out);
/* F_DUPFD: to the lowest free number >= lowest. KERR_INVAL: beyond the limit. */
enum kerr fd_duplicate_from(int from, unsigned lowest, bool close_on_exec, int *out);
enum kerr fd_set_close_on_exec(int fd, bool on);
enum kerr fd_close_on_exec(int fd, bool *on);
/* execve, step 1: a table of its own (KERR_NOMEM); step 2, cannot fail: closes the marked ones. */
enum kerr fd_unshare(void);
void fd_close_on_execve(void);
#define CLOSE_RANGE_UNSHARE 2u
#define CLOSE_RANGE_CLOEXEC 4u
enum kerr fd_close_range(unsigned first, unsigned last, unsigned flags);
/* For /proc/PID/fd: the first open number >= fd of a process, or -1; *out (may be null) is referenced. */
struct process;
int fd_next_of(struct process *p, int fd, struct file **out);
size_t fd_capacity_of(struct process *p); /* FDSize of /proc/PID/status */

/* ---- Reading and writing ----------------------------------------------------------------------- */

/* As read(2), pread(2) do it: KERR_BADF without the right, KERR_ISDIR, KERR_SPIPE (the _at ones on a stream). */
enum kerr file_read(struct file *f, const struct io_buffer *b, size_t *done);
enum kerr file_write(struct file *f, const struct io_buffer *b, size_t *done);
enum kerr file_read_at(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done);
enum kerr file_write_at(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done);
enum kerr file_seek(struct file *f, int64_t offset, int whence, uint64_t *out);
enum kerr file_truncate(struct file *f, uint64_t size);
enum kerr file_map(struct file *f, struct vm_object **out);
enum kerr file_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result);
/* The next entry behind the file's offset, which moves on; KERR_NOENT: end; KERR_NOTDIR. `next`
 * unmoved tells the caller how to put one back that did not fit: file->offset = before. The caller
 * holds f->position. */
enum kerr file_read_directory(struct file *f, struct directory_entry *out);
/* Moves up to `size` bytes between files inside the kernel (sendfile, copy_file_range); offsets may
 * be null: the file's own. KERR_INVAL: `in` is a stream. */
enum kerr file_copy(struct file *in, uint64_t *in_offset, struct file *out, uint64_t *out_offset,
		    size_t size, size_t *done);
