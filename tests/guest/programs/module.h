/* Modules of /lib/modules. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* 0, or -1 and errno. */
static inline long module_load(const char *name, const char *parameters)
{
	struct utsname u;
	char path[256];

	uname(&u);
	snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", u.release, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long result = syscall(SYS_finit_module, fd, parameters, 0);
	int error = errno;
	close(fd);
	errno = error;
	return result;
}
