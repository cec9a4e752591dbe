/* What the two files of socket calls share: sys_socket.c (sockets), sys_message.c (what goes through). */
#pragma once

#include "gate.h"
#include <net/socket.h>

/* The socket of a descriptor; *file is referenced. KERR_BADF, KERR_NOTSOCK. */
static inline enum kerr socket_get_fd(int fd, struct file **file, struct socket **out)
{
	*file = fd_get(fd);
	if (unlikely(!*file))
		return KERR_BADF;
	*out = socket_of(*file);
	if (likely(*out))
		return KERR_OK;
	file_put(*file);
	return KERR_NOTSOCK;
}

/* sys_socket.c: a struct sockaddr in and out. In: INVAL, FAULT. */
enum kerr address_read(vaddr_t from, int length, struct socket_address *out);
/* `length_at`: where the caller keeps an int: room in, true length out. */
enum kerr address_write(vaddr_t to, vaddr_t length_at, const struct socket_address *a);
