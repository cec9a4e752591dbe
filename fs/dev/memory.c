/*
 * The devices without hardware: null, zero, full, random, urandom, kmsg. Linux's major 1.
 *
 * kmsg gives one record of the log a read, in the form "level,number,microseconds,-;text". At the
 * end of the log a read returns 0 instead of waiting: the log is written from any context, also
 * from where nobody can be woken.
 */
#include "vfs_private.h"

#include <core/log.h>
#include <core/random.h>
#include <exec/signal.h>
#include <fs/device.h>
#include <lib/format.h>
#include <mm/heap.h>
#include <mm/user_copy.h>

static enum kerr seek_nowhere(struct file *f, int64_t offset, int whence, uint64_t *out)
{
	*out = 0;
	return KERR_OK;
}

static enum kerr null_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	*done = 0;
	return KERR_OK;
}

static enum kerr null_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	*done = b->size;
	return KERR_OK;
}

static enum kerr zero_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	enum kerr err = KERR_OK;

	if (b->user)
		err = user_zero(b->addr, b->size);
	else
		memset((void *)b->addr, 0, b->size);
	*done = err == KERR_OK ? b->size : 0;
	return err;
}

static enum kerr zero_map(struct file *f, struct vm_object **out)
{
	return vm_object_create_anonymous((uint64_t)1 << 46, out);
}

static enum kerr full_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	*done = 0;
	return b->size ? KERR_NOSPC : KERR_OK;
}

static enum kerr random_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			     size_t *done)
{
	uint8_t chunk[256];
	enum kerr err = KERR_OK;

	*done = 0;
	while (*done < b->size && err == KERR_OK) {
		size_t n = MIN(sizeof(chunk), b->size - *done);
		random_bytes(chunk, n);
		size_t moved = io_to_buffer(b, *done, chunk, n);
		*done += moved;
		if (moved < n)
			err = KERR_FAULT;
		else if (*done % PAGE_SIZE == 0 && signal_pending())
			err = KERR_RESTART;
	}
	memset(chunk, 0, sizeof(chunk));
	return *done ? KERR_OK : err;
}

static enum kerr random_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	uint8_t chunk[256];

	*done = 0;
	while (*done < b->size) {
		size_t n = io_from_buffer(b, *done, chunk, MIN(sizeof(chunk), b->size - *done));
		if (n == 0)
			return *done ? KERR_OK : KERR_FAULT;
		random_mix(chunk, n);
		*done += n;
	}
	return KERR_OK;
}

#define RNDGETENTCNT 0x80045200u

static enum kerr random_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	int bits = 256;

	return command == RNDGETENTCNT ? user_write(argument, &bits, sizeof(bits)) : KERR_NOTTY;
}

/* ---- kmsg ---------------------------------------------------------------------------------------- */

/* "<level>[    s.uuuuuu] text\n" -> "level,seq,us,-;text\n"; the number of bytes. */
static size_t kmsg_format(const char *record, size_t length, uint64_t seq, char *buf, size_t size)
{
	const char *at = record;
	uint64_t level = 6, seconds = 0, fraction = 0;

	if (*at == '<') {
		level = str_to_u64(at + 1, &at, 10);
		at += *at == '>';
	}
	if (*at == '[') {
		at++;
		while (*at == ' ')
			at++;
		seconds = str_to_u64(at, &at, 10);
		if (*at == '.')
			fraction = str_to_u64(at + 1, &at, 10);
		at += *at == ']';
		at += *at == ' ';
	}
	int n = format(buf, size, "%lu,%lu,%lu,-;%.*s", (unsigned long)level, (unsigned long)seq,
		       (unsigned long)(seconds * 1000000 + fraction), (int)(record + length - at),
		       at);
	return MIN((size_t)n, size - 1);
}

static enum kerr kmsg_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	char record[320], text[384];
	uint64_t seq = (uintptr_t)f->private;
	size_t length = log_read(&seq, record, sizeof(record) - 1, true);

	*done = 0;
	if (length == 0)
		return file_nonblocking(f) ? KERR_AGAIN : KERR_OK;
	record[length] = 0;
	size_t size = kmsg_format(record, length, seq - 1, text, sizeof(text));
	if (size > b->size)
		return KERR_INVAL;
	*done = io_to_buffer(b, 0, text, size);
	if (*done < size) {
		*done = 0;
		return KERR_FAULT;
	}
	f->private = (void *)(uintptr_t)seq;
	return KERR_OK;
}

static enum kerr kmsg_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	char line[240];
	const char *text = line;
	enum log_level level = LOG_INFO;
	size_t n = io_from_buffer(b, 0, line, MIN(b->size, sizeof(line) - 1));

	*done = 0;
	if (n == 0)
		return b->size ? KERR_FAULT : KERR_OK;
	line[n] = 0;
	while (n && line[n - 1] == '\n')
		line[--n] = 0;
	if (line[0] == '<') {
		const char *end;
		uint64_t number = str_to_u64(line + 1, &end, 10);
		if (*end == '>') {
			level = (enum log_level)(number & 7);
			text = end + 1;
		}
	}
	log_write(level, "%s", text);
	*done = b->size;
	return KERR_OK;
}

static enum kerr kmsg_seek(struct file *f, int64_t offset, int whence, uint64_t *out)
{
	if (offset != 0)
		return KERR_SPIPE;
	f->private = (void *)(uintptr_t)(whence == SEEK_SET ? 0 : log_next_seq());
	*out = 0;
	return KERR_OK;
}

static unsigned kmsg_poll(struct file *f, struct poll_table *table)
{
	return POLL_OUT | (log_next_seq() > (uintptr_t)f->private ? POLL_IN | POLL_RDNORM : 0);
}

static const struct file_ops null_ops = {
	.read = null_read, .write = null_write, .seek = seek_nowhere};
static const struct file_ops zero_ops = {
	.read = zero_read, .write = null_write, .seek = seek_nowhere, .map = zero_map};
static const struct file_ops full_ops = {
	.read = zero_read, .write = full_write, .seek = seek_nowhere, .map = zero_map};
static const struct file_ops random_ops = {
	.read = random_read, .write = random_write, .seek = seek_nowhere, .ioctl = random_ioctl};
static const struct file_ops kmsg_ops = {
	.read = kmsg_read, .write = kmsg_write, .seek = kmsg_seek, .poll = kmsg_poll};

static const struct device devices[] = {
	{"null", 0x103, 0666, .ops = &null_ops, .driver = "mem"},
	{"zero", 0x105, 0666, .ops = &zero_ops, .driver = "mem"},
	{"full", 0x107, 0666, .ops = &full_ops, .driver = "mem"},
	{"random", 0x108, 0666, .ops = &random_ops, .driver = "mem"},
	{"urandom", 0x109, 0666, .ops = &random_ops, .driver = "mem"},
	{"kmsg", 0x10b, 0644, .ops = &kmsg_ops, .driver = "mem"},
};

static const struct {
	const char *name, *target;
} links[] = {
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
};

enum kerr memory_devices_init(void)
{
	enum kerr err = KERR_OK;

	for (size_t n = 0; n < ARRAY_SIZE(devices) && err == KERR_OK; n++)
		err = device_add(&devices[n]);
	for (size_t n = 0; n < ARRAY_SIZE(links) && err == KERR_OK; n++)
		err = device_link(links[n].name, links[n].target);
	return err;
}
