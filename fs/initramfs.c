/*
 * The initial files: cpio archives (newc, magic 070701, or crc, 070702) from the boot loader,
 * unpacked into the root tmpfs.
 *
 * Entry: a header of 110 characters (a magic and 13 numbers of 8 hexadecimal digits), the name with
 * its end mark padded to 4 bytes, the data padded to 4 bytes; the name "TRAILER!!!" ends an archive.
 * Files with several names come once for each, the data with the last one.
 *
 * The bytes come from outside: each number is checked against what is left before it is used, names
 * must be proper and must not climb. A bad header ends the archive (there is no way to find the next
 * one); an entry that cannot be made is skipped. Either way what was good stays, and there is one
 * line in the log.
 *
 * File contents are copied by whole files, so by whole pages (vm_object_write). Giving the
 * loader's frames to the files was rejected: data in a cpio archive is aligned to 4 bytes only.
 */
#include "initramfs.h"
#include "vfs_private.h"

#include <core/log.h>
#include <core/time.h>
#include <lib/format.h>
#include <mm/frame.h>
#include <mm/heap.h>

#define HEADER_SIZE 110u

enum {
	F_INO,
	F_MODE,
	F_UID,
	F_GID,
	F_LINKS,
	F_MTIME,
	F_SIZE,
	F_MAJOR,
	F_MINOR,
	F_RMAJOR,
	F_RMINOR,
	F_NAME_SIZE,
	F_CHECK,
	FIELDS
};

struct entry {
	uint32_t field[FIELDS];
	const char *name; /* ended, without leading slashes */
	const uint8_t *data;
};

/* A file that has more names to come. */
struct linked_file {
	struct list link;
	uint32_t ino, major, minor;
	struct path path;
};

struct unpacker {
	const uint8_t *data;
	uint64_t size, at;
	struct list files; /* struct linked_file */
	struct cpio_result *result;
};

static void refuse(struct unpacker *u, const char *what)
{
	u->result->refused++;
	if (!u->result->what) {
		u->result->what = what;
		u->result->offset = u->at;
	}
}

/* ---- Decoding ------------------------------------------------------------------------------------ */

static bool parse_hex8(const uint8_t *text, uint32_t *out)
{
	uint32_t value = 0;

	for (int i = 0; i < 8; i++) {
		uint8_t c = text[i];
		uint8_t letter = c | 0x20;
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (letter >= 'a' && letter <= 'f')
			value = value << 4 | (uint32_t)(letter - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

static const char *foreign_format(const uint8_t *data, uint64_t left)
{
	static const struct {
		uint8_t magic[4];
		uint8_t length;
		const char *name;
	} formats[] = {
		{{0x1f, 0x8b}, 2, "is compressed with gzip; this kernel reads plain cpio archives"},
		{{0x28, 0xb5, 0x2f, 0xfd},
		 4,
		 "is compressed with zstd; this kernel reads plain cpio archives"},
		{{0xfd, '7', 'z', 'X'},
		 4,
		 "is compressed with xz; this kernel reads plain cpio archives"},
		{{'B', 'Z', 'h'},
		 3,
		 "is compressed with bzip2; this kernel reads plain cpio archives"},
		{{0x02, 0x21, 0x4c, 0x18},
		 4,
		 "is compressed with lz4; this kernel reads plain cpio archives"},
		{{'0', '7', '0', '7'}, 4, "is a cpio archive of another kind than newc"},
		{{0xc7, 0x71}, 2, "is a cpio archive of another kind than newc"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (left >= formats[i].length &&
		    memcmp(data, formats[i].magic, formats[i].length) == 0)
			return formats[i].name;
	return "has no cpio header where one should be";
}

/* Decodes the entry at u->at and moves behind it; null: done, else what is wrong. */
static const char *decode(struct unpacker *u, struct entry *e)
{
	const uint8_t *header = u->data + u->at;
	uint64_t left = u->size - u->at;

	if (left < 6 || memcmp(header, "07070", 5) != 0 || (header[5] != '1' && header[5] != '2'))
		return foreign_format(header, left);
	if (left < HEADER_SIZE)
		return "ends within a header";
	for (unsigned i = 0; i < FIELDS; i++)
		if (!parse_hex8(header + 6 + 8 * i, &e->field[i]))
			return "has a header with something else than numbers";
	uint64_t name_size = e->field[F_NAME_SIZE];
	if (name_size == 0 || name_size > PATH_SIZE)
		return "has a name of impossible length";
	uint64_t data_at = ALIGN_UP(HEADER_SIZE + name_size, 4);
	uint64_t end = ALIGN_UP(data_at + e->field[F_SIZE], 4);
	if (data_at > left || data_at + e->field[F_SIZE] > left)
		return "ends within a file";
	e->name = (const char *)header + HEADER_SIZE;
	if (e->name[name_size - 1] != 0 || strlen(e->name) != name_size - 1)
		return "has a name without an end";
	e->data = header + data_at;
	u->at += MIN(end, left);
	return nullptr;
}

/* No ".." and no component that is too long; strips what means the root. */
static bool name_proper(const char **name)
{
	const char *s = *name;

	while (*s == '/' || (s[0] == '.' && (s[1] == '/' || s[1] == 0)))
		s++;
	*name = s;
	while (*s) {
		const char *slash = strchr(s, '/');
		size_t length = slash ? (size_t)(slash - s) : strlen(s);
		if (length > NAME_SIZE || (length == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += length + (slash != nullptr);
	}
	return true;
}

/* ---- Making -------------------------------------------------------------------------------------- */

static void set_attributes(const struct path *p, const struct entry *e)
{
	struct inode *i = path_inode(p);

	mutex_lock(&i->lock);
	i->mode = (i->mode & S_IFMT) | (e->field[F_MODE] & 07777);
	i->uid = e->field[F_UID];
	i->gid = e->field[F_GID];
	i->mtime = i->atime = i->ctime = (nsec_t)e->field[F_MTIME] * NSEC_PER_SEC;
	mutex_unlock(&i->lock);
}

/* A later entry takes the place of what has its name; directories stay and get new attributes. */
static enum kerr make_room(const char *path, uint32_t type, bool *there)
{
	struct path p;
	enum kerr err = vfs_lookup(nullptr, path, 0, &p);

	*there = false;
	if (err != KERR_OK)
		return err == KERR_NOENT ? KERR_OK : err;
	bool directory = inode_is(path_inode(&p), S_IFDIR);
	path_put(&p);
	if (directory && type == S_IFDIR) {
		*there = true;
		return KERR_OK;
	}
	return vfs_unlink(nullptr, path, directory);
}

static enum kerr write_data(const char *path, const struct entry *e)
{
	struct io_buffer b = {(vaddr_t)e->data, e->field[F_SIZE], false};
	struct file *f;
	size_t done;
	enum kerr err = vfs_open(nullptr, path, O_WRONLY | O_CREAT, 0600, &f);

	if (err != KERR_OK)
		return err;
	err = b.size ? file_write(f, &b, &done) : KERR_OK;
	if (err == KERR_OK && b.size && done < b.size)
		err = KERR_NOSPC;
	file_put(f);
	return err;
}

static struct linked_file *find_linked(struct unpacker *u, const struct entry *e)
{
	struct linked_file *l;

	list_for_each(l, &u->files, link)
		if (l->ino == e->field[F_INO] && l->major == e->field[F_MAJOR] &&
		    l->minor == e->field[F_MINOR])
			return l;
	return nullptr;
}

static enum kerr remember_linked(struct unpacker *u, const struct entry *e, const struct path *p)
{
	struct linked_file *l = heap_alloc(sizeof(*l));

	if (!l)
		return KERR_NOMEM;
	*l = (struct linked_file){.ino = e->field[F_INO],
				  .major = e->field[F_MAJOR],
				  .minor = e->field[F_MINOR],
				  .path = *p};
	path_get(p);
	list_add_tail(&u->files, &l->link);
	return KERR_OK;
}

static enum kerr make_regular(struct unpacker *u, const char *path, const struct entry *e)
{
	struct linked_file *l = e->field[F_LINKS] > 1 ? find_linked(u, e) : nullptr;

	if (l) {
		enum kerr err = vfs_link(&l->path, nullptr, path);
		if (err != KERR_OK || e->field[F_SIZE] == 0)
			return err;
	}
	return write_data(path, e);
}

static enum kerr make_symlink(const char *path, const struct entry *e)
{
	char *target = heap_alloc((size_t)e->field[F_SIZE] + 1);

	if (!target)
		return KERR_NOMEM;
	memcpy(target, e->data, e->field[F_SIZE]);
	target[e->field[F_SIZE]] = 0;
	enum kerr err = vfs_symlink(target, nullptr, path);
	heap_free(target);
	return err;
}

static enum kerr make_entry(struct unpacker *u, const char *path, const struct entry *e)
{
	uint32_t mode = e->field[F_MODE], type = mode & S_IFMT;
	bool there;
	enum kerr err = make_room(path, type, &there);

	if (err != KERR_OK)
		return err;
	switch (type) {
	case S_IFDIR:
		return there ? KERR_OK : vfs_make_directory(nullptr, path, 0755);
	case S_IFREG:
		return make_regular(u, path, e);
	case S_IFLNK:
		return e->field[F_SIZE] < PATH_SIZE ? make_symlink(path, e) : KERR_NAMETOOLONG;
	default:
		return vfs_make_node(nullptr, path, mode,
				     device_number(e->field[F_RMAJOR], e->field[F_RMINOR]));
	}
}

static void unpack_entry(struct unpacker *u, struct entry *e)
{
	const char *name = e->name;
	struct path p;
	char *path;
	enum kerr err;

	if (!name_proper(&name)) {
		refuse(u, "has a name that leads out of it or is too long");
		return;
	}
	path = heap_alloc(strlen(name) + 2);
	if (!path) {
		refuse(u, kerr_name(KERR_NOMEM));
		return;
	}
	path[0] = '/';
	memcpy(path + 1, name, strlen(name) + 1);
	err = *name ? make_entry(u, path, e) : KERR_OK;
	if (err == KERR_OK)
		err = vfs_lookup(nullptr, path, 0, &p);
	if (err == KERR_OK) {
		set_attributes(&p, e);
		if (e->field[F_LINKS] > 1 && inode_is(path_inode(&p), S_IFREG) &&
		    !find_linked(u, e))
			err = remember_linked(u, e, &p);
		path_put(&p);
	}
	if (err == KERR_OK)
		u->result->entries++;
	else
		refuse(u, kerr_name(err));
	heap_free(path);
}

/* Links reach no further than one archive. */
static void forget_linked(struct unpacker *u)
{
	struct linked_file *l, *next;

	list_for_each_safe(l, next, &u->files, link) {
		list_remove(&l->link);
		path_put(&l->path);
		heap_free(l);
	}
}

void cpio_unpack(const void *data, uint64_t size, struct cpio_result *out)
{
	struct unpacker u = {.data = data, .size = size, .result = out};
	uint32_t umask = vfs_set_umask(0);
	struct entry e;

	*out = (struct cpio_result){};
	list_init(&u.files);
	for (;;) {
		while (u.at < size && u.data[u.at] == 0)
			u.at++;
		if (u.at == size)
			break;
		const char *wrong = u.at % 4 ? "has a header that is not aligned" : decode(&u, &e);
		if (wrong) {
			if (!out->what)
				out->offset = u.at;
			out->what = out->what ? out->what : wrong;
			break;
		}
		if (strcmp(e.name, "TRAILER!!!") == 0)
			forget_linked(&u);
		else
			unpack_entry(&u, &e);
	}
	forget_linked(&u);
	vfs_set_umask(umask);
}

void initramfs_unpack(const struct boot_info *info)
{
	uint64_t entries = 0, bytes = 0;
	nsec_t begin = time_now();

	for (size_t n = 0; n < info->module_count; n++) {
		const struct boot_module *m = &info->modules[n];
		struct cpio_result r;
		if (m->end <= m->start)
			continue;
		cpio_unpack((const void *)(direct_map + m->start), m->end - m->start, &r);
		entries += r.entries;
		bytes += m->end - m->start;
		if (r.what)
			log_error("initramfs: %s (byte %lu) %s; %lu files kept, %lu skipped",
				  m->name, (unsigned long)r.offset, r.what,
				  (unsigned long)r.entries, (unsigned long)r.refused);
	}
	if (info->module_count == 0)
		log_warn("initramfs: the boot loader gave none");
	else
		log_info("initramfs: %lu files, %lu KiB in %lu ms", (unsigned long)entries,
			 (unsigned long)(bytes / 1024),
			 (unsigned long)((time_now() - begin) / NSEC_PER_MSEC));
}
