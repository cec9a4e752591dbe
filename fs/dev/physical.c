/*
 * /dev/mem: registers of devices for privileged programs. Only to be mapped, and only what is no RAM: an
 * access to RAM is SIGBUS, as behind a file's end. What no device answers is the machine's to
 * report: SIGBUS, or all ones.
 *
 * One object for all, from address 0 on; its pages are where their index says.
 */
#include "vfs_private.h"

#include <exec/domain.h>
#include <exec/process.h>
#include <fs/device.h>
#include <mm/frame.h>

static struct vm_object physical;

static enum kerr physical_place(struct vm_object *o, uint64_t index, paddr_t *pa, map_flags_t *type)
{
	*pa = index << PAGE_SHIFT;
	*type = MAP_TYPE_IO;
	return frame_at(*pa) ? KERR_PERM : KERR_OK;
}

static const struct vm_object_ops physical_object_ops = {.name = "physical",
							 .place = physical_place};

static enum kerr physical_open(const struct device *d, struct file *f)
{
	if (!process_capable(TERN_CAP_PHYSICAL_MEMORY, LINUX_CAP_SYS_RAWIO))
		return KERR_PERM;
	f->ops = d->ops;
	f->stream = true;
	return KERR_OK;
}

static enum kerr physical_map(struct file *f, struct vm_object **out)
{
	/* Again: the descriptor may have come from who may to who may not. */
	if (!process_capable(TERN_CAP_PHYSICAL_MEMORY, LINUX_CAP_SYS_RAWIO))
		return KERR_PERM;
	vm_object_get(&physical);
	*out = &physical;
	return KERR_OK;
}

static const struct file_ops physical_ops = {.map = physical_map};
static const struct device physical_device = {
	"mem", 0x101, 0640, physical_open, .ops = &physical_ops, .driver = "mem"};

enum kerr physical_device_init(void)
{
	vm_object_init(&physical, &physical_object_ops,
		       (uint64_t)1 << hal.mmu.geometry()->physical_bits, nullptr);
	return device_add(&physical_device);
}
