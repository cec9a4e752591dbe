/* Path lookup, names, rights, mounts and what changes the tree: tables of calls and results. */
#include "fs_fixture.h"

/* /a/b/c (file "c"), /a/link -> b, /abs -> /a/b, /dangling -> nowhere, /loop -> loop, links l0..l45 */
static void make_tree(void)
{
	char name[8] = "/l0", target[8];

	EXPECT_OK(fx_mkdir("/a"));
	EXPECT_OK(fx_mkdir("/a/b"));
	EXPECT_OK(fx_write("/a/b/c", "c"));
	EXPECT_OK(fx_symlink("b", "/a/link"));
	EXPECT_OK(fx_symlink("/a/b", "/abs"));
	EXPECT_OK(fx_symlink("nowhere", "/dangling"));
	EXPECT_OK(fx_symlink("loop", "/loop"));
	EXPECT_OK(fx_symlink("a/b/c", name));
	for (int i = 1; i < 45; i++) {
		strlcpy(target, name + 1, sizeof(target));
		name[2] = (char)('0' + i / 10);
		name[3] = (char)('0' + i % 10);
		name[4] = 0;
		EXPECT_OK(fx_symlink(target, name));
	}
}

TEST(fs_lookup)
{
	static const struct {
		const char *name;
		unsigned flags;
		enum kerr result;
		const char *path; /* where it leads */
	} cases[] = {
		{"/", 0, KERR_OK, "/"},
		{"//", 0, KERR_OK, "/"},
		{"/.", 0, KERR_OK, "/"},
		{"/..", 0, KERR_OK, "/"},
		{"/../../a", 0, KERR_OK, "/a"},
		{"", 0, KERR_NOENT, nullptr},
		{"a", 0, KERR_OK, "/a"},
		{"./a/./b//c", 0, KERR_OK, "/a/b/c"},
		{"/a/b/..", 0, KERR_OK, "/a"},
		{"/a/b/../../a/b/c", 0, KERR_OK, "/a/b/c"},
		{"/a/b/", 0, KERR_OK, "/a/b"},
		{"/a/b/c/", 0, KERR_NOTDIR, nullptr},
		{"/a/b/c/.", 0, KERR_NOTDIR, nullptr},
		{"/a/b/c/..", 0, KERR_NOTDIR, nullptr},
		{"/a/b/c/d", 0, KERR_NOTDIR, nullptr},
		{"/a/x", 0, KERR_NOENT, nullptr},
		{"/a/x/..", 0, KERR_NOENT, nullptr},
		{"/a/x/y", 0, KERR_NOENT, nullptr},
		{"/a/link", 0, KERR_OK, "/a/link"},
		{"/a/link", LOOKUP_FOLLOW, KERR_OK, "/a/b"},
		{"/a/link/", 0, KERR_OK, "/a/b"},
		{"/a/link/c", 0, KERR_OK, "/a/b/c"},
		{"/a/link/../link/c", 0, KERR_OK, "/a/b/c"},
		{"/abs/c", 0, KERR_OK, "/a/b/c"},
		{"/abs", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, KERR_OK, "/a/b"},
		{"/a/b/c", LOOKUP_DIRECTORY, KERR_NOTDIR, nullptr},
		{"/dangling", 0, KERR_OK, "/dangling"},
		{"/dangling", LOOKUP_FOLLOW, KERR_NOENT, nullptr},
		{"/dangling/x", 0, KERR_NOENT, nullptr},
		{"/loop", 0, KERR_OK, "/loop"},
		{"/loop", LOOKUP_FOLLOW, KERR_LOOP, nullptr},
		{"/loop/x", 0, KERR_LOOP, nullptr},
		{"/l09", LOOKUP_FOLLOW, KERR_OK, "/a/b/c"},
		{"/l39", LOOKUP_FOLLOW, KERR_OK, "/a/b/c"},
		{"/l40", LOOKUP_FOLLOW, KERR_LOOP, nullptr},
	};

	fixture_boot(nullptr);
	make_tree();
	for (int pass = 0; pass < 2; pass++) { /* the second time from the cache */
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct path p;
			char buf[128];
			const char *start;
			enum kerr err = vfs_lookup(nullptr, cases[i].name, cases[i].flags, &p);
			if (err != cases[i].result)
				ktest_fail(__FILE__, __LINE__, "%s: %s", cases[i].name,
					   kerr_name(err));
			if (err != KERR_OK)
				continue;
			EXPECT_OK(vfs_path_name(&p, buf, sizeof(buf), &start, nullptr));
			if (cases[i].path)
				EXPECT_STR(start, cases[i].path);
			path_put(&p);
		}
	}
}

TEST(fs_name_lengths)
{
	char name[300], path[PATH_SIZE];
	struct inode_attributes a;

	fixture_boot(nullptr);
	memset(name, 'n', sizeof(name));
	name[0] = '/';
	name[256] = 0; /* 255 characters */
	EXPECT_OK(fx_write(name, "x"));
	EXPECT_OK(fx_stat(name, &a));
	name[256] = 'n';
	name[257] = 0;
	EXPECT_EQ(fx_write(name, "x"), KERR_NAMETOOLONG);
	EXPECT_EQ(fx_stat(name, &a), KERR_NAMETOOLONG);
	/* Deep, then getcwd. */
	EXPECT_OK(fx_chdir("/"));
	for (int i = 0; i < 40; i++) {
		EXPECT_OK(fx_mkdir("deep-deep-deep-deep-deep-deep-deep-deep-deep"));
		EXPECT_OK(fx_chdir("deep-deep-deep-deep-deep-deep-deep-deep-deep"));
	}
	struct path p;
	const char *start;
	vfs_get_directory(&p);
	EXPECT_OK(vfs_path_name(&p, path, sizeof(path), &start, nullptr));
	EXPECT_EQ(strlen(start), 40 * 45);
	EXPECT_EQ(vfs_path_name(&p, path, 100, &start, nullptr), KERR_RANGE);
	path_put(&p);
}

TEST(fs_open_flags)
{
	char buf[16];
	struct file *f;
	struct inode_attributes a;

	fixture_boot(nullptr);
	make_tree();
	EXPECT_EQ(vfs_open(nullptr, "/new", O_RDONLY, 0, &f), KERR_NOENT);
	EXPECT_EQ(vfs_open(nullptr, "/a/b/c", O_RDWR | O_CREAT | O_EXCL, 0666, &f), KERR_EXIST);
	EXPECT_EQ(vfs_open(nullptr, "/dangling", O_WRONLY | O_CREAT | O_EXCL, 0666, &f),
		  KERR_EXIST);
	EXPECT_EQ(vfs_open(nullptr, "/a", O_WRONLY, 0, &f), KERR_ISDIR);
	EXPECT_EQ(vfs_open(nullptr, "/a", O_RDONLY | O_CREAT, 0, &f), KERR_ISDIR);
	EXPECT_EQ(vfs_open(nullptr, "/a/", O_RDONLY | O_CREAT, 0, &f), KERR_ISDIR);
	EXPECT_EQ(vfs_open(nullptr, "/newdir/", O_RDONLY | O_CREAT, 0, &f), KERR_ISDIR);
	EXPECT_EQ(vfs_open(nullptr, "/a/link", O_RDONLY | O_NOFOLLOW, 0, &f), KERR_LOOP);
	EXPECT_EQ(vfs_open(nullptr, "/a/b/c", O_RDONLY | O_DIRECTORY, 0, &f), KERR_NOTDIR);
	EXPECT_EQ(vfs_open(nullptr, "/loop", O_RDWR | O_CREAT, 0666, &f), KERR_LOOP);
	EXPECT_EQ(vfs_open(nullptr, "/no/such", O_RDWR | O_CREAT, 0666, &f), KERR_NOENT);
	/* Through a dangling link the target is made. */
	EXPECT_OK(fx_write("/dangling", "made"));
	EXPECT_OK(fx_read("/nowhere", buf, sizeof(buf)));
	EXPECT_STR(buf, "made");
	/* Creating truncates only if asked to. */
	EXPECT_OK(vfs_open(nullptr, "/nowhere", O_WRONLY | O_CREAT, 0666, &f));
	file_put(f);
	EXPECT_OK(fx_stat("/nowhere", &a));
	EXPECT_EQ(a.size, 4);
	EXPECT_OK(vfs_open(nullptr, "/nowhere", O_WRONLY | O_TRUNC, 0, &f));
	file_put(f);
	EXPECT_OK(fx_stat("/nowhere", &a));
	EXPECT_EQ(a.size, 0);
	/* umask */
	EXPECT_EQ(vfs_set_umask(027), 022);
	EXPECT_OK(fx_write("/masked", ""));
	EXPECT_OK(fx_stat("/masked", &a));
	EXPECT_EQ(a.mode, S_IFREG | 0640);
	/* O_PATH gives no bytes. */
	EXPECT_OK(vfs_open(nullptr, "/a/link", O_PATH | O_NOFOLLOW, 0, &f));
	size_t done;
	EXPECT_EQ(file_read(f, &(struct io_buffer){(vaddr_t)buf, 1, false}, &done), KERR_BADF);
	file_put(f);
}

TEST(fs_append_and_offsets)
{
	struct file *f, *g;
	char buf[32] = "";
	size_t done;
	uint64_t at;
	struct io_buffer b = {(vaddr_t) "xyz", 3, false},
			 r = {(vaddr_t)buf, sizeof(buf) - 1, false};

	fixture_boot(nullptr);
	EXPECT_OK(vfs_open(nullptr, "/f", O_RDWR | O_CREAT, 0666, &f));
	EXPECT_OK(vfs_open(nullptr, "/f", O_RDWR | O_APPEND, 0666, &g));
	EXPECT_OK(file_write(f, &b, &done));
	EXPECT_OK(file_write(g, &b, &done));
	EXPECT_OK(file_write(f, &(struct io_buffer){(vaddr_t) "1", 1, false}, &done));
	EXPECT_OK(file_read_at(f, &r, 0, &done));
	EXPECT_STR(buf, "xyz1yz");
	EXPECT_OK(file_seek(f, -2, SEEK_END, &at));
	EXPECT_EQ(at, 4);
	EXPECT_EQ(file_seek(f, -7, SEEK_END, &at), KERR_INVAL);
	EXPECT_EQ(file_seek(f, INT64_MAX, SEEK_CUR, &at), KERR_OVERFLOW);
	EXPECT_EQ(file_seek(f, 0, 9, &at), KERR_INVAL);
	EXPECT_OK(file_seek(f, 1, SEEK_DATA, &at));
	EXPECT_EQ(at, 1);
	EXPECT_OK(file_seek(f, 1, SEEK_HOLE, &at));
	EXPECT_EQ(at, 6);
	EXPECT_EQ(file_seek(f, 6, SEEK_DATA, &at), KERR_NXIO);
	file_put(f);
	file_put(g);
}

TEST(fs_unlinked_file_lives_on)
{
	struct file *f;
	char buf[16] = "", name[64];
	const char *start;
	size_t done;
	struct inode_attributes a;

	fixture_boot(nullptr);
	EXPECT_OK(fx_write("/f", "data"));
	EXPECT_OK(vfs_open(nullptr, "/f", O_RDWR, 0, &f));
	EXPECT_OK(fx_unlink("/f"));
	EXPECT_EQ(fx_stat("/f", &a), KERR_NOENT);
	EXPECT_OK(file_read_at(f, &(struct io_buffer){(vaddr_t)buf, 15, false}, 0, &done));
	EXPECT_STR(buf, "data");
	EXPECT_OK(file_stat(f, &a));
	EXPECT_EQ(a.links, 0);
	EXPECT_OK(file_name(f, name, sizeof(name), &start));
	EXPECT_STR(start, "/f (deleted)");
	EXPECT_OK(fx_write("/f", "other"));
	EXPECT_OK(file_read_at(f, &(struct io_buffer){(vaddr_t)buf, 15, false}, 0, &done));
	EXPECT_EQ(done, 4);
	file_put(f);
}

TEST(fs_removing)
{
	fixture_boot(nullptr);
	make_tree();
	EXPECT_EQ(fx_rmdir("/a"), KERR_NOTEMPTY);
	EXPECT_EQ(fx_rmdir("/a/b/c"), KERR_NOTDIR);
	EXPECT_EQ(fx_unlink("/a/b"), KERR_ISDIR);
	EXPECT_EQ(fx_unlink("/a/b/c/"), KERR_NOTDIR);
	EXPECT_EQ(fx_unlink("/x"), KERR_NOENT);
	EXPECT_EQ(fx_rmdir("/a/."), KERR_INVAL);
	EXPECT_EQ(fx_rmdir("/a/b/.."), KERR_NOTEMPTY);
	EXPECT_EQ(fx_rmdir("/"), KERR_BUSY);
	EXPECT_OK(fx_unlink("/abs"));
	EXPECT_OK(fx_unlink("/a/b/c"));
	/* A current directory that is removed stays one, but nothing can be made in it. */
	EXPECT_OK(fx_chdir("/a/b"));
	EXPECT_OK(fx_rmdir("/a/b"));
	EXPECT_EQ(fx_mkdir("x"), KERR_NOENT);
	EXPECT_EQ(fx_write("x", "x"), KERR_NOENT);
	EXPECT_OK(fx_chdir(".."));
	EXPECT_OK(fx_chdir("/"));
	EXPECT_OK(fx_unlink("/a/link"));
	EXPECT_OK(fx_rmdir("/a"));
}

TEST(fs_renaming)
{
	struct inode_attributes a;
	char buf[64];

	fixture_boot(nullptr);
	make_tree();
	EXPECT_OK(fx_mkdir("/d"));
	EXPECT_OK(fx_write("/f", "f"));
	EXPECT_EQ(fx_rename("/x", "/y", 0), KERR_NOENT);
	EXPECT_EQ(fx_rename("/a", "/a/b/x", 0), KERR_INVAL);
	EXPECT_EQ(fx_rename("/a/b", "/a", 0), KERR_NOTEMPTY);
	EXPECT_EQ(fx_rename("/f", "/d", 0), KERR_ISDIR);
	EXPECT_EQ(fx_rename("/d", "/f", 0), KERR_NOTDIR);
	EXPECT_EQ(fx_rename("/d", "/a", 0), KERR_NOTEMPTY);
	EXPECT_EQ(fx_rename("/f", "/a/b/c", RENAME_NOREPLACE), KERR_EXIST);
	EXPECT_EQ(fx_rename("/f", "/y", RENAME_EXCHANGE), KERR_NOENT);
	EXPECT_EQ(fx_rename("/f", "/y/", 0), KERR_NOTDIR);
	EXPECT_EQ(fx_rename("/a/.", "/y", 0), KERR_BUSY);
	EXPECT_OK(fx_rename("/f", "/f", 0));
	EXPECT_OK(fx_rename("/f", "/a/b/c", 0)); /* over a file */
	EXPECT_OK(fx_read("/a/b/c", buf, sizeof(buf)));
	EXPECT_STR(buf, "f");
	EXPECT_EQ(fx_stat("/f", &a), KERR_NOENT);
	EXPECT_OK(fx_rename("/a/b", "/d", 0)); /* over an empty directory */
	EXPECT_OK(fx_read("/d/c", buf, sizeof(buf)));
	EXPECT_OK(fx_stat("/d", &a));
	EXPECT_EQ(a.links, 2);
	EXPECT_OK(fx_stat("/a", &a));
	EXPECT_EQ(a.links, 2);
	EXPECT_OK(fx_write("/g", "g"));
	EXPECT_OK(fx_rename("/d", "/g", RENAME_EXCHANGE)); /* a directory for a file */
	EXPECT_OK(fx_read("/g/c", buf, sizeof(buf)));
	EXPECT_OK(fx_read("/d", buf, sizeof(buf)));
	EXPECT_STR(buf, "g");
	EXPECT_OK(fx_rename("/g/c", "/a/a-name-that-does-not-fit-into-the-entry-itself", 0));
	EXPECT_OK(fx_list("/g", buf, sizeof(buf)));
	EXPECT_STR(buf, "");
	EXPECT_OK(fx_list("/a", buf, sizeof(buf)));
	EXPECT_STR(buf, "link a-name-that-does-not-fit-into-the-entry-itself");
	/* Two names of one file: nothing happens. */
	EXPECT_OK(fx_link("/d", "/d2"));
	EXPECT_OK(fx_rename("/d", "/d2", 0));
	EXPECT_OK(fx_stat("/d", &a));
	EXPECT_EQ(a.links, 2);
}

TEST(fs_rights)
{
	char buf[8];
	struct inode_attributes a;

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/open"));
	EXPECT_OK(fx_chmod("/open", 01777));
	EXPECT_OK(fx_mkdir("/closed"));
	EXPECT_OK(fx_write("/closed/f", "x"));
	EXPECT_OK(fx_write("/open/roots", "x"));
	EXPECT_OK(fx_chmod("/closed", 0700));
	fixture_set_user(1000, 1000);
	EXPECT_EQ(fx_read("/closed/f", buf, 8), KERR_ACCESS);
	EXPECT_EQ(fx_write("/open/roots", "y"), KERR_ACCESS);
	EXPECT_OK(fx_read("/open/roots", buf, 8));
	EXPECT_EQ(fx_write("/f", "x"), KERR_ACCESS);
	EXPECT_EQ(fx_mkdir("/d"), KERR_ACCESS);
	EXPECT_OK(fx_write("/open/mine", "x"));
	EXPECT_EQ(fx_unlink("/open/roots"), KERR_PERM); /* sticky */
	EXPECT_EQ(fx_rename("/open/mine", "/open/roots", 0), KERR_PERM);
	EXPECT_OK(fx_chmod("/open/mine", 0200));
	EXPECT_EQ(fx_read("/open/mine", buf, 8), KERR_ACCESS);
	EXPECT_EQ(fx_chmod("/open/roots", 0777), KERR_PERM);
	EXPECT_EQ(fx_chroot("/open"), KERR_PERM);
	EXPECT_EQ(fx_mount("tmpfs", "/open", ""), KERR_PERM);
	EXPECT_EQ(vfs_make_node(nullptr, "/open/null", S_IFCHR | 0666, 0x103), KERR_PERM);
	EXPECT_OK(fx_stat("/open/mine", &a));
	EXPECT_EQ(a.uid, 1000);
	EXPECT_OK(fx_unlink("/open/mine"));
	fixture_set_user(0, 0);
	EXPECT_OK(fx_read("/closed/f", buf, 8));
	EXPECT_OK(fx_unlink("/open/roots"));
}

TEST(fs_mounts)
{
	struct inode_attributes a;
	struct file *f;
	char buf[32];

	fixture_boot(nullptr);
	make_tree();
	EXPECT_EQ(fx_mount("nofs", "/a", ""), KERR_NODEV);
	EXPECT_EQ(fx_mount("tmpfs", "/a/b/c", ""), KERR_NOTDIR);
	EXPECT_EQ(fx_mount("tmpfs", "/a", "size=banana"), KERR_INVAL);
	EXPECT_OK(fx_mount("tmpfs", "/a/b", "size=1m,mode=700"));
	EXPECT_EQ(fx_stat("/a/b/c", &a), KERR_NOENT);
	EXPECT_OK(fx_stat("/a/b", &a));
	EXPECT_EQ(a.mode, S_IFDIR | 0700);
	EXPECT_OK(fx_write("/a/b/new", "n"));
	EXPECT_EQ(fx_rename("/a/b/new", "/new", 0), KERR_XDEV);
	EXPECT_EQ(fx_link("/a/b/new", "/new"), KERR_XDEV);
	EXPECT_EQ(fx_rmdir("/a/b"), KERR_BUSY);
	EXPECT_EQ(fx_rename("/a/b", "/z", 0), KERR_BUSY);
	EXPECT_OK(fx_chdir("/a/b"));
	EXPECT_OK(fx_stat("../link", &a)); /* .. leaves the mount */
	EXPECT_EQ(fx_unmount("/a/b"), KERR_BUSY);
	EXPECT_OK(fx_chdir("/"));
	EXPECT_OK(vfs_open(nullptr, "/a/b/new", O_RDONLY, 0, &f));
	EXPECT_EQ(fx_unmount("/a/b"), KERR_BUSY);
	file_put(f);
	EXPECT_OK(fx_mount("tmpfs", "/a/b", "")); /* one upon the other */
	EXPECT_EQ(fx_stat("/a/b/new", &a), KERR_NOENT);
	EXPECT_OK(fx_unmount("/a/b"));
	EXPECT_OK(fx_read("/a/b/new", buf, sizeof(buf)));
	EXPECT_OK(fx_unmount("/a/b"));
	EXPECT_OK(fx_read("/a/b/c", buf, sizeof(buf)));
	EXPECT_EQ(fx_unmount("/a/b"), KERR_INVAL);
	EXPECT_EQ(fx_unmount("/"), KERR_INVAL);
	/* A lazy unmount: gone from the tree, alive in the file. */
	EXPECT_OK(fx_mount("tmpfs", "/a", ""));
	EXPECT_OK(fx_write("/a/x", "lazy"));
	EXPECT_OK(vfs_open(nullptr, "/a/x", O_RDONLY, 0, &f));
	struct path p;
	EXPECT_OK(vfs_lookup(nullptr, "/a", 0, &p));
	EXPECT_OK(vfs_unmount(&p, UNMOUNT_DETACH));
	path_put(&p);
	EXPECT_OK(fx_stat("/a/b/c", &a));
	size_t done;
	memset(buf, 0, sizeof(buf));
	EXPECT_OK(file_read(f, &(struct io_buffer){(vaddr_t)buf, 8, false}, &done));
	EXPECT_STR(buf, "lazy");
	file_put(f);
	fx_settle();
}

TEST(fs_chroot)
{
	struct inode_attributes a;
	struct path p;
	char buf[64];
	const char *start;

	fixture_boot(nullptr);
	make_tree();
	EXPECT_OK(fx_chdir("/a/b"));
	EXPECT_OK(fx_chroot("/a"));
	EXPECT_OK(fx_stat("/b/c", &a));
	EXPECT_OK(fx_stat("/../../b/c", &a));
	EXPECT_EQ(fx_stat("/abs", &a), KERR_NOENT);
	EXPECT_OK(vfs_lookup(nullptr, "c", 0, &p));
	EXPECT_OK(vfs_path_name(&p, buf, sizeof(buf), &start, nullptr));
	EXPECT_STR(start, "/b/c");
	path_put(&p);
}

TEST(fs_programs_and_writers)
{
	struct file *f, *g;

	fixture_boot(nullptr);
	EXPECT_OK(fx_write("/prog", "#!"));
	EXPECT_EQ(vfs_open_program(nullptr, "/prog", LOOKUP_FOLLOW, &f), KERR_ACCESS);
	EXPECT_OK(fx_chmod("/prog", 0755));
	EXPECT_OK(vfs_open_program(nullptr, "/prog", LOOKUP_FOLLOW, &f));
	EXPECT_EQ(vfs_open(nullptr, "/prog", O_WRONLY, 0, &g), KERR_TXTBSY);
	EXPECT_EQ(fx_truncate("/prog", 0), KERR_TXTBSY);
	EXPECT_OK(vfs_open(nullptr, "/prog", O_RDONLY, 0, &g));
	file_put(g);
	file_put(f);
	EXPECT_OK(vfs_open(nullptr, "/prog", O_RDWR, 0, &g));
	EXPECT_EQ(vfs_open_program(nullptr, "/prog", LOOKUP_FOLLOW, &f), KERR_TXTBSY);
	file_put(g);
	EXPECT_OK(vfs_open_program(nullptr, "/prog", LOOKUP_FOLLOW, &f));
	file_put(f);
	EXPECT_EQ(vfs_open_program(nullptr, "/", 0, &f), KERR_ACCESS);
}

TEST(fs_devices)
{
	char buf[64];
	struct file *f;
	size_t done;
	uint64_t at;
	struct io_buffer b = {(vaddr_t)buf, sizeof(buf), false};

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/dev"));
	EXPECT_OK(fx_mount("devtmpfs", "/dev", ""));
	EXPECT_OK(vfs_open(nullptr, "/dev/zero", O_RDWR, 0, &f));
	memset(buf, 1, sizeof(buf));
	EXPECT_OK(file_read(f, &b, &done));
	EXPECT_EQ(done, sizeof(buf));
	EXPECT_EQ(buf[0] | buf[63], 0);
	EXPECT_OK(file_seek(f, 100, SEEK_SET, &at));
	EXPECT_EQ(at, 0);
	file_put(f);
	EXPECT_OK(vfs_open(nullptr, "/dev/null", O_RDWR | O_TRUNC, 0, &f));
	EXPECT_OK(file_read(f, &b, &done));
	EXPECT_EQ(done, 0);
	EXPECT_OK(file_write(f, &b, &done));
	EXPECT_EQ(done, sizeof(buf));
	file_put(f);
	EXPECT_OK(vfs_open(nullptr, "/dev/full", O_RDWR, 0, &f));
	EXPECT_EQ(file_write(f, &b, &done), KERR_NOSPC);
	file_put(f);
	EXPECT_OK(vfs_make_node(nullptr, "/mynull", S_IFCHR | 0666, 0x103));
	EXPECT_OK(vfs_open(nullptr, "/mynull", O_WRONLY, 0, &f));
	file_put(f);
	EXPECT_OK(vfs_make_node(nullptr, "/nothing", S_IFCHR | 0666, 0x9903));
	EXPECT_EQ(vfs_open(nullptr, "/nothing", O_WRONLY, 0, &f), KERR_NXIO);
	EXPECT_OK(fx_unmount("/dev")); /* the nodes stay */
	EXPECT_OK(fx_mount("devtmpfs", "/dev", ""));
	EXPECT_OK(vfs_open(nullptr, "/dev/urandom", O_RDONLY, 0, &f));
	file_put(f);
}
