/*
 * Files of modules: their operations are called guarded, so that a fault in a driver ends the call (EIO) and
 * not the kernel (core/guard.c). The kernel's own files have their own operations and pay nothing for it.
 *
 * A device that is a module's is a file of these six operations; the others are the default ones.
 */
#include "guarded.h"

#include <fs/poll.h>
#include <module/call.h>

static enum kerr guarded_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	*done = 0;
	if (!f->guarded->read)
		return KERR_INVAL;
	enum kerr err = module_call(f->owner, MODULE_FN(f->guarded->read), MODULE_ARG(f),
				    MODULE_ARG(b), offset, MODULE_ARG(done));
	*done = MIN(*done, b->size);
	return err;
}

static enum kerr guarded_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			       size_t *done)
{
	*done = 0;
	if (!f->guarded->write)
		return KERR_INVAL;
	enum kerr err = module_call(f->owner, MODULE_FN(f->guarded->write), MODULE_ARG(f),
				    MODULE_ARG(b), offset, MODULE_ARG(done));
	*done = MIN(*done, b->size);
	return err;
}

static unsigned guarded_poll(struct file *f, struct poll_table *table)
{
	long events;

	if (!f->guarded->poll)
		return POLL_IN | POLL_OUT | POLL_RDNORM | POLL_WRNORM;
	enum kerr err = module_call_long(
		f->owner, MODULE_FN(f->guarded->poll),
		(const uintptr_t[]){MODULE_ARG(f), MODULE_ARG(table), 0, 0}, &events);
	return err == KERR_OK ? (unsigned)events : POLL_ERR;
}

static enum kerr guarded_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	if (!f->guarded->ioctl)
		return KERR_NOTTY;
	return module_call(f->owner, MODULE_FN(f->guarded->ioctl), MODULE_ARG(f), command, argument,
			   MODULE_ARG(result));
}

static enum kerr guarded_map(struct file *f, struct vm_object **out)
{
	if (!f->guarded->map)
		return KERR_NODEV;
	return module_call(f->owner, MODULE_FN(f->guarded->map), MODULE_ARG(f), MODULE_ARG(out), 0,
			   0);
}

static void guarded_close(struct file *f)
{
	if (f->guarded->close &&
	    module_call_last(f->owner, MODULE_FN(f->guarded->close), MODULE_ARG(f)) != KERR_OK)
		return; /* told already; what the file had is lost */
}

static const struct file_ops guarded_ops = {
	.read = guarded_read,
	.write = guarded_write,
	.poll = guarded_poll,
	.ioctl = guarded_ioctl,
	.map = guarded_map,
	.close = guarded_close,
};

enum kerr guarded_open(const struct device *d, struct file *f)
{
	enum kerr err = KERR_OK;

	f->ops = d->ops;
	f->stream = true;
	if (d->open) {
		f->stream = false;
		err = module_call(d->owner, MODULE_FN(d->open), MODULE_ARG(d), MODULE_ARG(f), 0, 0);
	} else if (module_failed(d->owner)) {
		err = KERR_NODEV;
	}
	f->guarded = f->ops;
	f->ops = &guarded_ops;
	return err;
}
