/* tmpfs against a model: a tree of arrays. And its limits, holes, and what is given back. */
#include "fs_fixture.h"

#include <lib/format.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <stdlib.h>

#define FILE_SIZE 40000u
#define NODES 200
#define NAMES 4

/* ---- The model ------------------------------------------------------------------------------------ */

struct node {
	bool directory;
	int links; /* names that lead here */
	int child[NAMES]; /* 0: none; node 1 is the root */
	uint32_t size;
	uint8_t *data;
};

static struct node nodes[NODES];
static int node_count;

static int node_new(bool directory)
{
	struct node *n = &nodes[node_count];

	*n = (struct node){.directory = directory};
	if (!directory)
		n->data = calloc(1, FILE_SIZE);
	return node_count++;
}

struct place { /* a name in a directory that exists */
	int dir, name;
};

/* Up to three names deep; false: a directory on the way is missing. */
static bool random_place(struct test_random *r, char *text, struct place *out)
{
	int dir = 1, depth = 1 + (int)test_random_below(r, 3);
	size_t at = (size_t)format(text, 32, "/t");

	for (int i = 0;; i++) {
		int name = (int)test_random_below(r, NAMES);
		at += (size_t)format(text + at, 32 - at, "/%c", 'a' + name);
		*out = (struct place){dir, name};
		if (i == depth - 1)
			return dir != 0;
		dir = dir ? nodes[dir].child[name] : 0;
		if (dir && !nodes[dir].directory)
			dir = 0;
	}
}

static int *slot(struct place p)
{
	return &nodes[p.dir].child[p.name];
}

static bool is_empty(int n)
{
	for (int i = 0; i < NAMES; i++)
		if (nodes[n].child[i])
			return false;
	return true;
}

static bool is_within(int outer, int inner)
{
	if (outer == inner)
		return true;
	for (int i = 0; i < NAMES; i++) {
		int c = nodes[outer].child[i];
		if (c && nodes[c].directory && is_within(c, inner))
			return true;
	}
	return false;
}

static bool model_rename(struct place from, struct place to, unsigned flags)
{
	int n = *slot(from), victim = *slot(to);

	if (!n || (flags == RENAME_EXCHANGE && !victim) || (flags == RENAME_NOREPLACE && victim))
		return false;
	if (nodes[n].directory && is_within(n, to.dir))
		return false;
	if (victim && nodes[victim].directory && is_within(victim, from.dir))
		return false;
	if (n == victim)
		return true;
	if (flags == RENAME_EXCHANGE) {
		*slot(from) = victim;
		*slot(to) = n;
		return true;
	}
	if (victim) {
		if (nodes[n].directory != nodes[victim].directory ||
		    (nodes[victim].directory && !is_empty(victim)))
			return false;
		nodes[victim].links--;
	}
	*slot(from) = 0;
	*slot(to) = n;
	return true;
}

/* ---- Comparing -------------------------------------------------------------------------------------- */

static void compare(const char *path, int n)
{
	static uint8_t buf[FILE_SIZE + 1];
	struct inode_attributes a;
	char child[64], list[64];
	size_t done, entries = 0, subdirectories = 0;

	if (!EXPECT_OK(fx_stat(path, &a)))
		return;
	EXPECT_EQ(a.mode & S_IFMT, nodes[n].directory ? S_IFDIR : S_IFREG);
	if (!nodes[n].directory) {
		EXPECT_EQ(a.size, nodes[n].size);
		EXPECT_EQ(a.links, nodes[n].links);
		EXPECT_OK(fx_read_at(path, 0, buf, sizeof(buf), &done));
		EXPECT_EQ(done, nodes[n].size);
		EXPECT_MEM(buf, nodes[n].data, nodes[n].size);
		return;
	}
	for (int i = 0; i < NAMES; i++) {
		int c = nodes[n].child[i];
		struct inode_attributes unused;
		format(child, sizeof(child), "%s/%c", path, 'a' + i);
		if (c)
			compare(child, c);
		else
			EXPECT_EQ(fx_lstat(child, &unused), KERR_NOENT);
		entries += c != 0;
		subdirectories += c && nodes[c].directory;
	}
	EXPECT_EQ(a.links, 2 + subdirectories);
	EXPECT_OK(fx_list(path, list, sizeof(list)));
	EXPECT_EQ(strlen(list), entries ? 2 * entries - 1 : 0);
}

/* ---- Operations ------------------------------------------------------------------------------------- */

static void do_write(struct test_random *r, const char *path, bool there, struct place p)
{
	uint8_t bytes[6000];
	uint32_t offset = (uint32_t)test_random_below(r, FILE_SIZE - sizeof(bytes));
	uint32_t size = 1 + (uint32_t)test_random_below(r, sizeof(bytes));
	int n = there ? *slot(p) : 0;
	struct file *f;
	size_t done;
	bool ok = there && !(n && nodes[n].directory);

	memset(bytes, (int)test_random_below(r, 256), size);
	enum kerr err = vfs_open(nullptr, path, O_WRONLY | O_CREAT, 0644, &f);
	EXPECT_EQ(err == KERR_OK, ok);
	if (err != KERR_OK || !ok)
		return;
	EXPECT_OK(
		file_write_at(f, &(struct io_buffer){(vaddr_t)bytes, size, false}, offset, &done));
	EXPECT_EQ(done, size);
	file_put(f);
	if (!n) {
		n = *slot(p) = node_new(false);
		nodes[n].links = 1;
	}
	memcpy(nodes[n].data + offset, bytes, size);
	nodes[n].size = MAX(nodes[n].size, offset + size);
}

static void do_truncate(struct test_random *r, const char *path, int n)
{
	uint32_t size = (uint32_t)test_random_below(r, FILE_SIZE);

	EXPECT_EQ(fx_truncate(path, size) == KERR_OK, n && !nodes[n].directory);
	if (!n || nodes[n].directory)
		return;
	if (size < nodes[n].size)
		memset(nodes[n].data + size, 0, nodes[n].size - size);
	nodes[n].size = size;
}

static void do_remove(const char *path, struct place p, int n, bool directory)
{
	bool ok = n && nodes[n].directory == directory && (!directory || is_empty(n));

	EXPECT_EQ((directory ? fx_rmdir(path) : fx_unlink(path)) == KERR_OK, ok);
	if (ok) {
		nodes[n].links--;
		*slot(p) = 0;
	}
}

static void step(struct test_random *r)
{
	char path[32], other[32];
	struct place p, q;
	bool there = random_place(r, path, &p), other_there;
	int n = there ? *slot(p) : 0;
	unsigned flags = (unsigned)test_random_below(r, 4) % 3;

	switch (test_random_below(r, 9)) {
	case 0:
	case 1:
		EXPECT_EQ(fx_mkdir(path) == KERR_OK, there && !n);
		if (there && !n)
			*slot(p) = node_new(true);
		break;
	case 2:
	case 3:
		do_write(r, path, there, p);
		break;
	case 4:
		do_truncate(r, path, n);
		break;
	case 5:
		do_remove(path, p, n, test_random_below(r, 2));
		break;
	case 6:
		other_there = random_place(r, other, &q);
		bool ok = n && !nodes[n].directory && other_there && !*slot(q);
		EXPECT_EQ(fx_link(path, other) == KERR_OK, ok);
		if (ok) {
			*slot(q) = n;
			nodes[n].links++;
		}
		break;
	default:
		other_there = random_place(r, other, &q);
		enum kerr err = fx_rename(path, other, flags);
		bool want = there && other_there && model_rename(p, q, flags);
		if ((err == KERR_OK) != want)
			ktest_fail(__FILE__, __LINE__, "rename %s %s %u: %s", path, other, flags,
				   kerr_name(err));
		break;
	}
}

PROPERTY(tmpfs_model, 20)
{
	struct inode_attributes a;

	fixture_boot(nullptr);
	if (fx_stat("/t", &a) == KERR_NOENT)
		EXPECT_OK(fx_mkdir("/t"));
	EXPECT_OK(fx_mount("tmpfs", "/t", "size=50%"));
	node_count = 1;
	node_new(true);
	for (int i = 0; i < 400 && node_count < NODES - 1; i++) {
		step(random);
		if (i % 40 == 39)
			compare("/t", 1);
	}
	compare("/t", 1);
	EXPECT_OK(fx_unmount("/t"));
	for (int i = 1; i < node_count; i++)
		free(nodes[i].data);
}

/* ---- Limits, holes, what is given back ---------------------------------------------------------------- */

TEST(tmpfs_full)
{
	static uint8_t page[PAGE_SIZE], back[PAGE_SIZE];
	char name[32];
	size_t done;
	struct filesystem_statistics s;
	struct path p;

	fixture_boot(nullptr);
	memset(page, 7, sizeof(page));
	EXPECT_OK(fx_mkdir("/t"));
	EXPECT_OK(fx_mount("tmpfs", "/t", "size=64k,nr_inodes=8"));
	EXPECT_OK(fx_write("/t/f", ""));
	for (unsigned i = 0; i < 16; i++)
		EXPECT_OK(fx_write_at("/t/f", i * PAGE_SIZE, page, PAGE_SIZE));
	EXPECT_EQ(fx_write_at("/t/f", 16 * PAGE_SIZE, page, PAGE_SIZE), KERR_NOSPC);
	EXPECT_OK(fx_write_at("/t/f", 0, "x", 1)); /* what is there can be changed */
	for (unsigned i = 1; i < 16; i++) {
		EXPECT_OK(fx_read_at("/t/f", i * PAGE_SIZE, back, PAGE_SIZE, &done));
		EXPECT_MEM(page, back, PAGE_SIZE);
	}
	/* A write that meets the limit in the middle says how far it came. */
	EXPECT_OK(fx_truncate("/t/f", 15 * PAGE_SIZE));
	struct file *f;
	EXPECT_OK(vfs_open(nullptr, "/t/f", O_WRONLY | O_APPEND, 0, &f));
	EXPECT_OK(file_write(f, &(struct io_buffer){(vaddr_t)page, 100, false}, &done));
	static uint8_t two[2 * PAGE_SIZE];
	EXPECT_OK(file_write(f, &(struct io_buffer){(vaddr_t)two, sizeof(two), false}, &done));
	EXPECT_EQ(done, PAGE_SIZE - 100);
	EXPECT_EQ(file_write(f, &(struct io_buffer){(vaddr_t)two, 1, false}, &done), KERR_NOSPC);
	file_put(f);
	EXPECT_OK(vfs_lookup(nullptr, "/t", 0, &p));
	EXPECT_OK(vfs_statistics(&p, &s));
	EXPECT_EQ(s.blocks, 16);
	EXPECT_EQ(s.free_blocks, 0);
	EXPECT_EQ(s.free_inodes, 6);
	path_put(&p);
	for (int i = 0; i < 6; i++) {
		format(name, sizeof(name), "/t/n%d", i);
		EXPECT_OK(fx_symlink("x", name));
	}
	EXPECT_EQ(fx_mkdir("/t/more"), KERR_NOSPC);
	EXPECT_OK(fx_unlink("/t/n0"));
	EXPECT_OK(fx_mkdir("/t/more"));
	EXPECT_OK(fx_unlink("/t/f"));
	EXPECT_OK(vfs_lookup(nullptr, "/t", 0, &p));
	EXPECT_OK(vfs_statistics(&p, &s));
	EXPECT_EQ(s.free_blocks, 16);
	path_put(&p);
	EXPECT_OK(fx_unmount("/t"));
}

TEST(tmpfs_holes)
{
	struct inode_attributes a;
	uint8_t buf[100];
	size_t done;

	fixture_boot(nullptr);
	EXPECT_OK(fx_write("/f", "begin"));
	EXPECT_OK(fx_write_at("/f", (uint64_t)1 << 40, "end", 3));
	EXPECT_OK(fx_stat("/f", &a));
	EXPECT_EQ(a.size, ((uint64_t)1 << 40) + 3);
	EXPECT_EQ(a.blocks, 16);
	EXPECT_OK(fx_read_at("/f", (uint64_t)1 << 39, buf, sizeof(buf), &done));
	EXPECT_EQ(done, sizeof(buf));
	EXPECT_EQ(buf[0] | buf[99], 0);
	EXPECT_OK(fx_truncate("/f", 3));
	EXPECT_OK(fx_truncate("/f", 10));
	EXPECT_OK(fx_read_at("/f", 0, buf, sizeof(buf), &done));
	EXPECT_EQ(done, 10);
	EXPECT_MEM(buf, "beg\0\0\0\0\0\0\0", 10);
	EXPECT_EQ(fx_write_at("/f", INT64_MAX - 1, "x", 1), KERR_FBIG);
	EXPECT_EQ(fx_truncate("/f", UINT64_MAX / 2), KERR_FBIG);
	fixture_process.limits[RLIMIT_FSIZE].current = 20;
	EXPECT_EQ(fx_write_at("/f", 20, "x", 1), KERR_FBIG);
	EXPECT_EQ(fx_truncate("/f", 21), KERR_FBIG);
}

/* Everything that a mount held comes back. */
TEST(tmpfs_gives_back)
{
	char name[64];
	uint64_t before = 0;

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/t"));
	for (int round = 0; round < 6; round++) {
		EXPECT_OK(fx_mount("tmpfs", "/t", ""));
		for (int i = 0; i < 200; i++) {
			struct inode_attributes a;
			format(name, sizeof(name), "/t/d%d", i % 10);
			if (i < 10)
				EXPECT_OK(fx_mkdir(name));
			format(name, sizeof(name), "/t/d%d/f%d", i % 10, i);
			EXPECT_OK(fx_write(name, name));
			format(name, sizeof(name), "/t/d%d/absent%d", i % 10, i);
			EXPECT_EQ(fx_stat(name, &a), KERR_NOENT);
		}
		EXPECT_OK(fx_unmount("/t"));
		fx_settle();
		while (frame_reclaim())
			;
		uint64_t now = heap_stats().used;
		if (round == 2)
			before = now;
		else if (round > 2)
			EXPECT(now < before + 8192); /* what CPUs keep in their magazines varies */
	}
}

/* Negative entries do not keep a directory that was removed. */
TEST(tmpfs_removed_directory_goes)
{
	struct inode_attributes a;
	struct filesystem_statistics s;
	struct path p;

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/t"));
	EXPECT_OK(fx_mount("tmpfs", "/t", "nr_inodes=4"));
	for (int i = 0; i < 20; i++) {
		EXPECT_OK(fx_mkdir("/t/d"));
		EXPECT_EQ(fx_stat("/t/d/x", &a), KERR_NOENT);
		EXPECT_OK(fx_rmdir("/t/d"));
	}
	EXPECT_OK(vfs_lookup(nullptr, "/t", 0, &p));
	EXPECT_OK(vfs_statistics(&p, &s));
	EXPECT_EQ(s.free_inodes, 3);
	path_put(&p);
}

TEST(tmpfs_reading_a_directory_that_changes)
{
	struct directory_entry e;
	struct file *f;
	char name[32];
	int seen = 0;

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/d"));
	for (int i = 0; i < 100; i++) {
		format(name, sizeof(name), "/d/%d", i);
		EXPECT_OK(fx_write(name, ""));
	}
	EXPECT_OK(vfs_open(nullptr, "/d", O_RDONLY | O_DIRECTORY, 0, &f));
	while (file_read_directory(f, &e) == KERR_OK) {
		if (e.name[0] == '.')
			continue;
		format(name, sizeof(name), "/d/%s", e.name);
		EXPECT_OK(fx_unlink(name)); /* as rm -r does */
		seen++;
	}
	EXPECT_EQ(seen, 100);
	file_put(f);
	EXPECT_OK(fx_rmdir("/d"));
}

/* ---- Several CPUs ------------------------------------------------------------------------------------- */

static void hammer(cpu_t cpu, void *arg)
{
	struct test_random r = {cpu + 1};
	struct inode_attributes a;
	char from[16], to[16];

	fixture_enter(cpu);
	for (int i = 0; i < 300; i++) {
		format(from, sizeof(from), "/t/%c", 'a' + (int)test_random_below(&r, 4));
		format(to, sizeof(to), "/t/%c", 'a' + (int)test_random_below(&r, 4));
		enum kerr err;
		switch (test_random_below(&r, 6)) {
		case 0:
			err = fx_mkdir(from);
			EXPECT(err == KERR_OK || err == KERR_EXIST);
			break;
		case 1:
			err = fx_rename(from, to, 0);
			break;
		case 2:
			err = fx_rmdir(from);
			EXPECT(err == KERR_OK || err == KERR_NOENT);
			break;
		default:
			/* "stays" is never renamed and never gone. */
			EXPECT_OK(fx_stat("/t/stays", &a));
			err = fx_stat(from, &a);
			EXPECT(err == KERR_OK || err == KERR_NOENT);
			break;
		}
	}
}

PROPERTY(tmpfs_on_four_cpus, 5)
{
	struct inode_attributes a;

	fixture_boot(&(struct host_config){.cpus = 4, .interleave = 9, .seed = test_seed()});
	if (fx_stat("/t", &a) == KERR_NOENT)
		EXPECT_OK(fx_mkdir("/t"));
	EXPECT_OK(fx_write("/t/stays", ""));
	test_on_all_cpus(hammer, nullptr);
}

TEST(tmpfs_on_four_threads)
{
	fixture_boot(&(struct host_config){.cpus = 4, .mode = HOST_THREADS});
	EXPECT_OK(fx_mkdir("/t"));
	EXPECT_OK(fx_write("/t/stays", ""));
	test_on_all_cpus(hammer, nullptr);
}
