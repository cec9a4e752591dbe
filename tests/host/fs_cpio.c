/* The cpio reader: what it makes of good archives, and that no bad one harms. */
#include "fs_fixture.h"
#include "initramfs.h"

#include <lib/format.h>
#include <mm/frame.h>
#include <stdlib.h>

static uint8_t archive[128 * 1024];
static size_t archive_size;

static void pad(void)
{
	while (archive_size % 4)
		archive[archive_size++] = 0;
}

static void add(const char *name, uint32_t mode, const void *data, size_t size, uint32_t ino,
		uint32_t links)
{
	archive_size += (size_t)format(
		(char *)archive + archive_size, 256,
		"070701%08X%08x%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ino, mode, 7u, 8u,
		links, 1000u, size, 0u, 0u, 1u, 3u, strlen(name) + 1, 0u);
	memcpy(archive + archive_size, name, strlen(name) + 1);
	archive_size += strlen(name) + 1;
	pad();
	memcpy(archive + archive_size, data, size);
	archive_size += size;
	pad();
}

static void trailer(void)
{
	add("TRAILER!!!", 0, "", 0, 0, 1);
}

static uint8_t big[10000];

static void good_archive(void)
{
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 >> 3);
	archive_size = 0;
	add(".", S_IFDIR | 0755, "", 0, 1, 2);
	add("etc", S_IFDIR | 0750, "", 0, 2, 2);
	add("etc/text", S_IFREG | 0604, "hello\n", 6, 3, 1);
	add("./etc/big", S_IFREG | 04755, big, sizeof(big), 4, 1);
	add("/lnk", S_IFLNK | 0777, "etc/text", 8, 5, 1);
	add("null", S_IFCHR | 0666, "", 0, 6, 1);
	add("fifo", S_IFIFO | 0644, "", 0, 7, 1);
	add("one", S_IFREG | 0644, "", 0, 8, 2);
	add("two", S_IFREG | 0644, "both", 4, 8, 2);
	trailer();
}

static void unpack(struct cpio_result *r)
{
	/* A copy of exactly this size, so that the sanitizer sees each byte too far. */
	uint8_t *copy = malloc(archive_size ? archive_size : 1);

	memcpy(copy, archive, archive_size);
	cpio_unpack(copy, archive_size, r);
	free(copy);
}

TEST(cpio_good)
{
	struct cpio_result r;
	struct inode_attributes a;
	char buf[64];
	static uint8_t back[sizeof(big) + 1];
	size_t done;

	fixture_boot(nullptr);
	good_archive();
	/* Zeroes, then a second archive that replaces things. */
	archive_size += 512 - archive_size % 512;
	add("etc", S_IFDIR | 0711, "", 0, 2, 2);
	add("etc/text", S_IFREG | 0600, "new", 3, 3, 1);
	add("lnk", S_IFDIR | 0700, "", 0, 9, 2);
	trailer();
	unpack(&r);
	EXPECT_STR(r.what ? r.what : "", "");
	EXPECT_EQ(r.entries, 12);
	EXPECT_OK(fx_read("/etc/text", buf, sizeof(buf)));
	EXPECT_STR(buf, "new");
	EXPECT_OK(fx_stat("/etc", &a));
	EXPECT_EQ(a.mode, S_IFDIR | 0711);
	EXPECT_OK(fx_stat("/lnk", &a));
	EXPECT_EQ(a.mode, S_IFDIR | 0700);
	EXPECT_OK(fx_stat("/etc/big", &a));
	EXPECT_EQ(a.mode, S_IFREG | 04755);
	EXPECT_EQ(a.uid, 7);
	EXPECT_EQ(a.gid, 8);
	EXPECT_EQ(a.mtime, 1000 * NSEC_PER_SEC);
	EXPECT_OK(fx_read_at("/etc/big", 0, back, sizeof(back), &done));
	EXPECT_EQ(done, sizeof(big));
	EXPECT_MEM(back, big, sizeof(big));
	EXPECT_OK(fx_stat("/null", &a));
	EXPECT_EQ(a.rdev, 0x103);
	EXPECT_OK(fx_read("/one", buf, sizeof(buf)));
	EXPECT_STR(buf, "both");
	EXPECT_OK(fx_stat("/two", &a));
	EXPECT_EQ(a.links, 2);
	EXPECT_EQ(vfs_umask(), 022);
}

TEST(cpio_refused)
{
	static const struct {
		const char *bytes;
		const char *says;
	} cases[] = {
		{"\x1f\x8b\x08\x00zzzz", "is compressed with gzip"},
		{"\x28\xb5\x2f\xfdzzzz", "is compressed with zstd"},
		{"070707aaaaaa", "is a cpio archive of another kind"},
		{"garbage", "has no cpio header"},
		{"07", "has no cpio header"},
		{"07070100000000", "ends within a header"},
	};
	struct cpio_result r;

	fixture_boot(nullptr);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		archive_size = strlen(cases[i].bytes);
		if (i < 2)
			archive_size = 8;
		memcpy(archive, cases[i].bytes, archive_size);
		unpack(&r);
		EXPECT(r.what && strncmp(r.what, cases[i].says, strlen(cases[i].says)) == 0);
		EXPECT_EQ(r.entries, 0);
	}
	archive_size = 0;
	unpack(&r);
	EXPECT(!r.what);
}

TEST(cpio_names_that_climb)
{
	struct cpio_result r;
	struct inode_attributes a;
	char *name = malloc(400);

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/in"));
	EXPECT_OK(fx_chdir("/in"));
	archive_size = 0;
	add("../evil", S_IFREG | 0644, "x", 1, 1, 1);
	add("a/../../evil", S_IFREG | 0644, "x", 1, 2, 1);
	add("..", S_IFDIR | 0, "", 0, 3, 1);
	memset(name, 'n', 300);
	name[300] = 0;
	add(name, S_IFREG | 0644, "x", 1, 4, 1);
	add("missing/file", S_IFREG | 0644, "x", 1, 5, 1);
	add("..fine", S_IFREG | 0644, "x", 1, 6, 1);
	trailer();
	unpack(&r);
	EXPECT_EQ(r.entries, 1);
	EXPECT_EQ(r.refused, 5);
	EXPECT_OK(fx_stat("/..fine", &a));
	EXPECT_EQ(fx_stat("/evil", &a), KERR_NOENT);
	free(name);
}

/* Cut at every length: what came before is there, and there is one complaint unless it is whole. */
TEST(cpio_truncated)
{
	struct cpio_result r;
	size_t whole;

	fixture_boot(nullptr);
	good_archive();
	whole = archive_size;
	for (size_t size = 1; size < whole; size += size < 1500 ? 7 : 331) {
		archive_size = size;
		unpack(&r);
		EXPECT(r.entries <= 9);
		EXPECT_EQ(r.refused, 0);
	}
	archive_size = whole;
	unpack(&r);
	EXPECT_EQ(r.entries, 9);
}

PROPERTY(cpio_corrupt, 60)
{
	struct cpio_result r;
	uint64_t free_before;

	fixture_boot(nullptr);
	for (int round = 0; round < 8; round++) {
		good_archive();
		free_before = frame_totals().free;
		for (uint64_t n = 1 + test_random_below(random, 8); n; n--) {
			size_t at = (size_t)test_random_below(random, 4)
					    ? test_random_below(random, archive_size)
					    : test_random_below(random, 900);
			archive[at] = test_random_below(random, 2)
					      ? (uint8_t)test_random(random)
					      : (uint8_t)"0123456789abcdefF/."[test_random_below(
							random, 19)];
		}
		unpack(&r);
		EXPECT(r.entries + r.refused <= 20);
		EXPECT(frame_totals().free + 200 > free_before);
		struct inode_attributes a;
		EXPECT_OK(fx_stat("/", &a));
	}
}

TEST(cpio_no_room)
{
	struct cpio_result r;
	static uint8_t lots[60000];

	fixture_boot(nullptr);
	EXPECT_OK(fx_mkdir("/small"));
	EXPECT_OK(fx_mount("tmpfs", "/small", "size=16k"));
	archive_size = 0;
	add("small/a", S_IFREG | 0644, lots, sizeof(lots), 1, 1);
	add("small/dir", S_IFDIR | 0755, "", 0, 2, 1);
	trailer();
	unpack(&r);
	EXPECT_EQ(r.refused, 1);
	EXPECT_EQ(r.entries, 1);
}
