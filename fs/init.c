/*
 * The filesystem record: caches, filesystem types, the root tmpfs, the initial files in it.
 */
#include "initramfs.h"
#include "tmpfs.h"

#include <core/init.h>

static enum kerr filesystem_init(const struct boot_info *info)
{
	enum kerr err = dcache_init();

	if (err == KERR_OK)
		err = file_cache_init();
	if (err != KERR_OK)
		return err;
	fd_init();
	tmpfs_init();
	err = tmpfs_slot_init();
	if (err != KERR_OK)
		return err;
	filesystem_register(&tmpfs_type);
	filesystem_register(&devtmpfs_type);
	filesystem_register(&proc_type);
	filesystem_register(&sysfs_type);
	err = mount_root(&rootfs_type, "mode=755");
	if (err == KERR_OK)
		err = devtmpfs_init();
	if (err == KERR_OK)
		err = memory_devices_init();
	if (err == KERR_OK)
		err = physical_device_init();
	if (err == KERR_OK)
		initramfs_unpack(info);
	return err;
}

static const struct init_ops ops = {.init = filesystem_init};
INIT_SUBSYSTEM(filesystem, .phase = INIT_LATE, .priority = 10,
	       .requires = INIT_MEMORY | INIT_HEAP | INIT_TIMERS | INIT_SCHEDULER,
	       .provides = INIT_FILESYSTEM, .ops = &ops);
