/* Descriptor tables against an array, and the calls that work on them. */
#include "fs_fixture.h"

#include <fs/poll.h>

#define MODEL 200

static struct file *make_file(void)
{
	struct file *f;

	return EXPECT_OK(vfs_open(nullptr, "/f", O_RDWR | O_CREAT, 0644, &f)) ? f : nullptr;
}

static int lowest_free(const bool *used, int from)
{
	while (used[from])
		from++;
	return from;
}

PROPERTY(fd_model, 20)
{
	static bool used[MODEL + 8], marked[MODEL + 8];
	int fd;

	fixture_boot(nullptr);
	EXPECT_OK(fd_close_range(0, UINT32_MAX, 0));
	memset(used, 0, sizeof(used));
	for (int i = 0; i < 1500; i++) {
		int a = (int)test_random_below(random, MODEL),
		    b = (int)test_random_below(random, MODEL);
		bool on = test_random_below(random, 2);
		switch (test_random_below(random, 7)) {
		case 0:
		case 1: {
			int want = lowest_free(used, a / 4);
			if (want >= MODEL)
				break;
			struct file *f = make_file();
			EXPECT_OK(fd_install(f, (unsigned)a / 4, on, &fd));
			EXPECT_EQ(fd, want);
			used[fd] = true;
			marked[fd] = on;
			break;
		}
		case 2:
			EXPECT_EQ(fd_close(a), used[a] ? KERR_OK : KERR_BADF);
			used[a] = false;
			break;
		case 3:
			if (a == b)
				break;
			EXPECT_EQ(fd_duplicate(a, b, on, &fd), used[a] ? KERR_OK : KERR_BADF);
			if (used[a]) {
				EXPECT_EQ(fd, b);
				used[b] = true;
				marked[b] = on;
			}
			break;
		case 4: {
			struct file *f = fd_get(a);
			EXPECT_EQ(f != nullptr, used[a]);
			if (f)
				file_put(f);
			break;
		}
		case 5: {
			bool is = false;
			EXPECT_EQ(fd_close_on_exec(a, &is), used[a] ? KERR_OK : KERR_BADF);
			if (used[a])
				EXPECT_EQ(is, marked[a]);
			break;
		}
		default:
			if (test_random_below(random, 20))
				break;
			if (on) {
				fd_close_on_execve();
				for (int n = 0; n < MODEL + 8; n++)
					used[n] = used[n] && !marked[n];
			} else {
				EXPECT_OK(fd_close_range((unsigned)MIN(a, b), (unsigned)MAX(a, b),
							 0));
				for (int n = MIN(a, b); n <= MAX(a, b); n++)
					used[n] = false;
			}
		}
	}
	int n = -1;
	for (int i = 0; i < MODEL; i++)
		if (used[i]) {
			n = fd_next_of(&fixture_process, n + 1, nullptr);
			EXPECT_EQ(n, i);
		}
}

TEST(fd_edges)
{
	int fd;
	struct file *f;

	fixture_boot(nullptr);
	EXPECT_EQ(fd_close(0), KERR_BADF);
	EXPECT(!fd_get(0));
	f = make_file();
	EXPECT_OK(fd_install(f, 0, false, &fd));
	EXPECT_EQ(fd, 0);
	static const int bad[] = {-1, INT32_MIN, INT32_MAX, 64, 1 << 20};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT(!fd_get(bad[i]));
		EXPECT_EQ(fd_close(bad[i]), KERR_BADF);
		EXPECT_EQ(fd_set_close_on_exec(bad[i], true), KERR_BADF);
		EXPECT_EQ(fd_duplicate(bad[i], 5, false, &fd), KERR_BADF);
	}
	EXPECT_EQ(fd_duplicate(0, 0, false, &fd), KERR_INVAL);
	EXPECT_EQ(fd_duplicate(0, 1024, false, &fd), KERR_BADF);
	EXPECT_EQ(fd_duplicate_from(0, 1024, false, &fd), KERR_INVAL);
	EXPECT_OK(fd_duplicate(0, 1023, false, &fd));
	EXPECT_OK(fd_duplicate_from(0, 1000, true, &fd));
	EXPECT_EQ(fd, 1000);
	/* The limit, then one free number below it. */
	for (int i = 0; i < 1020; i++)
		EXPECT_OK(fd_duplicate(0, -1, false, &fd));
	EXPECT_EQ(fd_capacity_of(&fixture_process), 1024);
	EXPECT_OK(fd_duplicate(0, -1, false, &fd));
	EXPECT_EQ(fd_duplicate(0, -1, false, &fd), KERR_MFILE);
	EXPECT_OK(fd_close(500));
	EXPECT_OK(fd_duplicate(0, -1, false, &fd));
	EXPECT_EQ(fd, 500);
	/* All are one file: the last close ends it. */
	EXPECT_OK(fd_close_range(1, UINT32_MAX, 0));
	f = fd_get(0);
	EXPECT_EQ(f->references, 2);
	file_put(f);
	/* A reserved number is taken but has no file. */
	EXPECT_OK(fd_reserve(0, false, &fd));
	EXPECT_EQ(fd, 1);
	EXPECT(!fd_get(1));
	EXPECT_EQ(fd_close(1), KERR_BADF);
	EXPECT_EQ(fd_duplicate(0, 1, false, &fd), KERR_BUSY);
	fd_release(1);
	EXPECT_OK(fd_duplicate(0, 1, false, &fd));
}

TEST(fd_shared_offset)
{
	char buf[8] = "";
	int fd;
	size_t done;
	struct file *f, *g;

	fixture_boot(nullptr);
	EXPECT_OK(fx_write("/f", "abcdef"));
	EXPECT_OK(fd_install(make_file(), 0, false, &fd));
	EXPECT_OK(fd_duplicate(0, -1, false, &fd));
	f = fd_get(0);
	g = fd_get(1);
	EXPECT_OK(file_read(f, &(struct io_buffer){(vaddr_t)buf, 2, false}, &done));
	EXPECT_OK(file_read(g, &(struct io_buffer){(vaddr_t)buf, 2, false}, &done));
	EXPECT_STR(buf, "cd");
	file_put(f);
	file_put(g);
}

TEST(fd_polling)
{
	struct poll_item items[3] = {{.fd = -1, .events = POLL_IN},
				     {.fd = 7, .events = POLL_IN},
				     {.fd = 0, .events = POLL_IN | POLL_OUT}};
	struct poll_result result;
	int fd;

	fixture_boot(nullptr);
	EXPECT_OK(fd_install(make_file(), 0, false, &fd));
	EXPECT_OK(fd_poll(items, 3, 0, &result));
	EXPECT_EQ(result.ready, 2);
	EXPECT_EQ(result.first, 1);
	EXPECT_EQ(result.end, 3);
	EXPECT_EQ(items[0].found, 0);
	EXPECT_EQ(items[1].found, POLL_NVAL);
	EXPECT_EQ(items[2].found, POLL_IN | POLL_OUT);
	EXPECT_OK(fd_poll(items, 3, 0, &result));
	EXPECT_EQ(result.ready, 2);
	EXPECT(result.first >= result.end); /* the same answers again */
}

static void open_and_close(cpu_t cpu, void *arg)
{
	struct test_random r = {cpu};
	int fd;

	fixture_enter(cpu);
	for (int i = 0; i < 400; i++) {
		int n = (int)test_random_below(&r, 90);
		struct file *f;
		enum kerr err = KERR_OK;
		switch (test_random_below(&r, 4)) {
		case 0:
			err = fd_duplicate(0, n + 1, false, &fd);
			EXPECT(err == KERR_OK || err == KERR_BUSY);
			break;
		case 1:
			err = fd_close(n + 1);
			break;
		default:
			f = fd_get(n);
			if (f) {
				EXPECT(f->references > 0);
				file_put(f);
			}
		}
	}
}

PROPERTY(fd_on_four_cpus, 5)
{
	int fd;

	fixture_boot(&(struct host_config){.cpus = 4, .interleave = 6, .seed = test_seed()});
	EXPECT_OK(fd_close_range(0, UINT32_MAX, 0));
	EXPECT_OK(fd_install(make_file(), 0, false, &fd));
	test_on_all_cpus(open_and_close, nullptr);
	EXPECT_OK(fd_close_range(1, UINT32_MAX, 0));
	struct file *f = fd_get(0);
	EXPECT_EQ(f->references, 2);
	file_put(f);
}

TEST(fd_on_four_threads)
{
	int fd;

	fixture_boot(&(struct host_config){.cpus = 4, .mode = HOST_THREADS});
	EXPECT_OK(fd_install(make_file(), 0, false, &fd));
	test_on_all_cpus(open_and_close, nullptr);
}
