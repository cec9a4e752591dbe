/* Opening a device of a module; guarded.c. */
#pragma once

#include <fs/device.h>

enum kerr guarded_open(const struct device *d, struct file *f);
