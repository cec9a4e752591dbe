/* What of files and devices a module may use. */
#include <fs/device.h>
#include <fs/poll.h>
#include <lib/export.h>

EXPORT_SYMBOL(device_add);
EXPORT_SYMBOL(device_remove);
EXPORT_SYMBOL(io_to_buffer);
EXPORT_SYMBOL(io_from_buffer);
