/* Modules: init_module, finit_module, delete_module. What they do is in core/module/load.c. */
#include "gate.h"
#include <exec/domain.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <module/loader.h>

#define PARAMETERS_MAX 4096u

/* finit_module's flags: to look away from what does not fit, which nothing here does, and compressed files. */
#define MODULE_INIT_IGNORE_MODVERSIONS 1ul
#define MODULE_INIT_IGNORE_VERMAGIC 2ul
#define MODULE_INIT_COMPRESSED_FILE 4ul

static long load(void *image, size_t size, vaddr_t parameters)
{
	char *text = heap_alloc(PARAMETERS_MAX);
	if (!text)
		return KERR_NOMEM;
	enum kerr err = user_read_string(text, parameters, PARAMETERS_MAX, nullptr);
	if (err == KERR_NAMETOOLONG)
		err = KERR_TOOBIG;
	if (err == KERR_OK)
		err = module_load(image, size, text);
	heap_free(text);
	return err;
}

SYSCALL(init_module)
{
	if (!process_capable(TERN_CAP_LOAD_MODULE, LINUX_CAP_SYS_MODULE))
		return KERR_PERM;
	if (a1 < 64)
		return KERR_NOEXEC;
	if (a1 > MODULE_FILE_MAX)
		return KERR_NOMEM;
	void *image = heap_alloc(a1);
	if (!image)
		return KERR_NOMEM;
	long result = user_read(image, a0, a1);
	if (result == KERR_OK)
		result = load(image, a1, a2);
	heap_free(image);
	return result;
}

/* The whole file; its size may change meanwhile, then what was read counts. */
static enum kerr file_whole(struct file *f, void **image, size_t *size)
{
	struct inode_attributes a;
	enum kerr err = file_stat(f, &a);
	if (err != KERR_OK)
		return err;
	if ((a.mode & S_IFMT) != S_IFREG)
		return KERR_INVAL;
	if (a.size > MODULE_FILE_MAX)
		return KERR_FBIG;
	*size = 0;
	*image = heap_alloc(a.size ? a.size : 1);
	if (!*image)
		return KERR_NOMEM;
	while (*size < a.size) {
		struct io_buffer b = {(vaddr_t)*image + *size, a.size - *size, false};
		size_t done;
		err = file_read_at(f, &b, *size, &done);
		if (err != KERR_OK || done == 0)
			break;
		*size += done;
	}
	if (err != KERR_OK)
		heap_free(*image);
	return err;
}

SYSCALL(finit_module)
{
	int fd = (int)a0;
	unsigned long flags = (unsigned)a2;
	void *image;
	size_t size;

	if (!process_capable(TERN_CAP_LOAD_MODULE, LINUX_CAP_SYS_MODULE))
		return KERR_PERM;
	if (flags & ~(MODULE_INIT_IGNORE_MODVERSIONS | MODULE_INIT_IGNORE_VERMAGIC |
		      MODULE_INIT_COMPRESSED_FILE))
		return KERR_INVAL;
	if (flags & MODULE_INIT_COMPRESSED_FILE)
		return KERR_OPNOTSUPP;
	if (flags)
		return KERR_NOEXEC;
	struct file *f = fd_get(fd);
	if (!f)
		return KERR_BADF;
	enum kerr err = f->readable ? file_whole(f, &image, &size) : KERR_BADF;
	file_put(f);
	if (err != KERR_OK)
		return err;
	long result = load(image, size, a1);
	heap_free(image);
	return result;
}

SYSCALL(delete_module)
{
	char name[MODULE_NAME_SIZE];

	if (!process_capable(TERN_CAP_LOAD_MODULE, LINUX_CAP_SYS_MODULE))
		return KERR_PERM;
	/* Waiting for users (without O_NONBLOCK) and forcing (O_TRUNC) went out of Linux too. */
	enum kerr err = user_read_string(name, a0, sizeof(name), nullptr);
	if (err != KERR_OK)
		return err == KERR_NAMETOOLONG ? KERR_NOENT : err;
	return module_unload(name);
}
