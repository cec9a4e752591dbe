/* What terminals offer to kernel code that talks to a person. */
#pragma once

#include <fs/file.h>

/* For a line editor in the kernel: keys come one by one, without echo and without signals. Off: back
 * to what a program expects to find. KERR_NOTTY: `f` is no terminal. Sleeps. */
enum kerr tty_set_keys(struct file *f, bool on);
/* The width of its window in characters; 80 if it is no terminal. */
unsigned tty_columns(struct file *f);
