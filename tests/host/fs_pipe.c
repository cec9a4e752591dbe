/* Pipes: the ring against a queue of bytes, its limits, FIFOs, and two CPUs at its two ends. */
#include "fs_fixture.h"

#include <exec/signal.h>
#include <fs/poll.h>
#include <ipc/pipe.h>
#include <mm/frame.h>
#include <mm/heap.h>

extern int fixture_signal;

PROPERTY(pipe_ring, 30)
{
	static uint8_t out[20000], in[20000];
	uint64_t written = 0, read = 0, head = 0, tail = 0;
	struct file *r, *w;
	size_t done;
	long size = PIPE_SIZE_DEFAULT;

	fixture_boot(nullptr);
	EXPECT_OK(ipc_pipe_create(&r, &w, O_NONBLOCK));
	for (int i = 0; i < 500; i++) {
		size_t n =
			1 + test_random_below(random, test_random_below(random, 4) ? 300 : 20000);
		uint64_t room = tail / PAGE_SIZE * PAGE_SIZE + (uint64_t)size - head;
		switch (test_random_below(random, 9)) {
		case 0:
		case 1:
		case 2:
		case 3:
			for (size_t k = 0; k < n; k++)
				out[k] = fx_pattern(written + k);
			enum kerr err = fx_put(w, out, n, &done);
			size_t want = n <= PIPE_BUF ? (n <= room ? n : 0) : MIN(n, room);
			EXPECT_EQ(done, want);
			EXPECT_EQ(err, want ? KERR_OK : KERR_AGAIN);
			written += done;
			head += done;
			break;
		case 8:
			err = r->ops->control(r, F_SETPIPE_SZ,
					      4096ul << test_random_below(random, 7), &size);
			EXPECT(err == KERR_OK || err == KERR_BUSY);
			if (err == KERR_OK) {
				head -= tail / PAGE_SIZE * PAGE_SIZE;
				tail %= PAGE_SIZE;
			}
			EXPECT_OK(r->ops->control(r, F_GETPIPE_SZ, 0, &size));
			break;
		default:
			err = fx_get(r, in, n, &done);
			EXPECT_EQ(err, written > read ? KERR_OK : KERR_AGAIN);
			EXPECT_EQ(done, MIN(n, written - read));
			for (size_t k = 0; k < done; k++)
				if (in[k] != fx_pattern(read + k)) {
					EXPECT_EQ(in[k], fx_pattern(read + k));
					break;
				}
			read += done;
			tail += done;
			if (tail == head) /* it starts again at its first page */
				head = tail = 0;
		}
		uint64_t left = tail / PAGE_SIZE * PAGE_SIZE + (uint64_t)size - head;
		EXPECT_EQ(file_poll(r, nullptr), written > read ? POLL_IN | POLL_RDNORM : 0);
		EXPECT_EQ(file_poll(w, nullptr), left >= PIPE_BUF ? POLL_OUT | POLL_WRNORM : 0);
	}
	file_put(w);
	while (fx_get(r, in, sizeof(in), &done) == KERR_OK && done)
		read += done;
	EXPECT_EQ(read, written);
	file_put(r);
}

TEST(pipe_ends)
{
	struct file *r, *w;
	struct inode_attributes a;
	char buf[32] = "";
	const char *start;
	size_t done;

	fixture_boot(nullptr);
	EXPECT_OK(ipc_pipe_create(&r, &w, 0));
	EXPECT_EQ(fx_get(w, buf, 1, &done), KERR_BADF);
	EXPECT_EQ(fx_put(r, buf, 1, &done), KERR_BADF);
	EXPECT_OK(file_stat(r, &a));
	EXPECT_EQ(a.mode, S_IFIFO | 0600);
	EXPECT_OK(file_name(r, buf, sizeof(buf), &start));
	EXPECT(strncmp(start, "pipe:[", 6) == 0);
	uint64_t at;
	EXPECT_EQ(file_seek(r, 0, SEEK_CUR, &at), KERR_SPIPE);
	EXPECT_EQ(file_read_at(r, &(struct io_buffer){(vaddr_t)buf, 1, false}, 0, &done),
		  KERR_SPIPE);
	EXPECT_EQ(file_poll(r, nullptr), 0);
	EXPECT_EQ(file_poll(w, nullptr), POLL_OUT | POLL_WRNORM);
	EXPECT_OK(fx_put(w, "xyz", 3, &done));
	EXPECT_EQ(file_poll(r, nullptr), POLL_IN | POLL_RDNORM);
	file_put(w);
	EXPECT_EQ(file_poll(r, nullptr), POLL_IN | POLL_RDNORM | POLL_HUP);
	EXPECT_OK(fx_get(r, buf, 8, &done));
	EXPECT_EQ(done, 3);
	EXPECT_OK(fx_get(r, buf, 8, &done));
	EXPECT_EQ(done, 0);
	file_put(r);
	EXPECT_OK(ipc_pipe_create(&r, &w, 0));
	file_put(r);
	fixture_signal = 0;
	EXPECT_EQ(fx_put(w, "x", 1, &done), KERR_PIPE);
	EXPECT_EQ(fixture_signal, SIGPIPE);
	EXPECT(file_poll(w, nullptr) & POLL_ERR);
	file_put(w);
}

/* sendfile from a stream is refused before a byte is taken: its end would be read twice. */
TEST(pipe_is_not_copied_from)
{
	struct file *r, *w, *f;
	char buf[8];
	size_t done;

	fixture_boot(nullptr);
	EXPECT_OK(ipc_pipe_create(&r, &w, 0));
	EXPECT_OK(vfs_open(nullptr, "/f", O_RDWR | O_CREAT, 0644, &f));
	EXPECT_OK(fx_put(w, "abc", 3, &done));
	EXPECT_EQ(file_copy(r, nullptr, f, nullptr, 10, &done), KERR_INVAL);
	EXPECT_OK(fx_get(r, buf, 8, &done));
	EXPECT_EQ(done, 3);
	EXPECT_OK(fx_write("/f", "text"));
	EXPECT_OK(file_copy(f, nullptr, w, nullptr, 10, &done));
	EXPECT_EQ(done, 4);
	EXPECT_OK(fx_get(r, buf, 8, &done));
	EXPECT_MEM(buf, "text", 4);
	file_put(f);
	file_put(w);
	file_put(r);
}

TEST(pipe_gives_back)
{
	static uint8_t bytes[65536];
	struct file *r, *w;
	size_t done;

	fixture_boot(nullptr);
	uint64_t free_before = 0;
	for (int i = 0; i < 200; i++) {
		EXPECT_OK(ipc_pipe_create(&r, &w, 0));
		EXPECT_OK(fx_put(w, bytes, sizeof(bytes), &done));
		file_put(i % 2 ? r : w);
		file_put(i % 2 ? w : r);
		fx_settle();
		if (i == 20)
			free_before = frame_totals().free;
	}
	EXPECT(frame_totals().free + 64 > free_before);
}

TEST(pipe_fifo)
{
	struct file *r, *w, *both;
	char buf[16];
	size_t done;

	fixture_boot(nullptr);
	EXPECT_OK(vfs_make_node(nullptr, "/fifo", S_IFIFO | 0644, 0));
	EXPECT_EQ(vfs_open(nullptr, "/fifo", O_WRONLY | O_NONBLOCK, 0, &w), KERR_NXIO);
	EXPECT_OK(vfs_open(nullptr, "/fifo", O_RDONLY | O_NONBLOCK, 0, &r));
	EXPECT_OK(fx_get(r, buf, 4, &done)); /* nobody writes: the end */
	EXPECT_EQ(done, 0);
	EXPECT_OK(vfs_open(nullptr, "/fifo", O_WRONLY, 0, &w));
	EXPECT_EQ(fx_get(r, buf, 4, &done), KERR_AGAIN);
	EXPECT_OK(fx_put(w, "data", 4, &done));
	EXPECT_OK(fx_get(r, buf, 2, &done));
	EXPECT_EQ(done, 2);
	file_put(w);
	file_put(r); /* two bytes go with the last user */
	EXPECT_OK(vfs_open(nullptr, "/fifo", O_RDWR | O_NONBLOCK, 0, &both));
	EXPECT_EQ(fx_get(both, buf, 4, &done), KERR_AGAIN);
	EXPECT_OK(fx_put(both, "more", 4, &done));
	EXPECT_OK(fx_get(both, buf, 4, &done));
	EXPECT_MEM(buf, "more", 4);
	file_put(both);
	EXPECT_OK(fx_unlink("/fifo"));
}

/* ---- Two CPUs ------------------------------------------------------------------------------------ */

static struct {
	struct file *r, *w;
	uint64_t total;
} shared;

static void both_ends(cpu_t cpu, void *arg)
{
	fx_stream(cpu, shared.w, shared.r, shared.total);
}

static void run_two(struct host_config config)
{
	fixture_boot(&config);
	EXPECT_OK(ipc_pipe_create(&shared.r, &shared.w, 0));
	shared.total = 600000;
	test_on_all_cpus(both_ends, nullptr);
	file_put(shared.r);
	file_put(shared.w);
}

TEST(pipe_between_two_simulated_cpus)
{
	run_two((struct host_config){.cpus = 2, .interleave = 12, .seed = test_seed()});
}

TEST(pipe_between_two_threads)
{
	run_two((struct host_config){.cpus = 2, .mode = HOST_THREADS});
}
