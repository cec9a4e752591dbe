/* Pipes and FIFOs. */
#pragma once

#include <fs/file.h>

#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#define PIPE_BUF 4096
#define PIPE_SIZE_DEFAULT 65536u
#define PIPE_SIZE_MAX 1048576u

/* Both ends of a new pipe, one reference each. `flags`: O_NONBLOCK (O_CLOEXEC is the caller's). */
enum kerr ipc_pipe_create(struct file **read_end, struct file **write_end, int flags);
