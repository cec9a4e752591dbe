/* Names of kernel results, for logs. */
#include <lib/compiler.h>
#include <lib/kerr.h>

static const struct {
	enum kerr err;
	const char *name;
} names[] = {
	{KERR_OK, "no error"},
	{KERR_PERM, "operation not permitted"},
	{KERR_NOENT, "no such file or entry"},
	{KERR_SRCH, "no such process"},
	{KERR_INTR, "interrupted"},
	{KERR_IO, "input/output error"},
	{KERR_NXIO, "no such device or address"},
	{KERR_TOOBIG, "argument list too long"},
	{KERR_NOEXEC, "not an executable for this machine"},
	{KERR_BADF, "bad file descriptor"},
	{KERR_CHILD, "no child process"},
	{KERR_AGAIN, "try again"},
	{KERR_NOMEM, "out of memory"},
	{KERR_ACCESS, "permission denied"},
	{KERR_FAULT, "bad address"},
	{KERR_BUSY, "busy"},
	{KERR_EXIST, "exists already"},
	{KERR_XDEV, "on another filesystem"},
	{KERR_NODEV, "no such device"},
	{KERR_NOTDIR, "not a directory"},
	{KERR_ISDIR, "is a directory"},
	{KERR_INVAL, "invalid argument"},
	{KERR_NFILE, "too many open files in the system"},
	{KERR_MFILE, "too many open files"},
	{KERR_NOTTY, "not a terminal"},
	{KERR_TXTBSY, "text file busy"},
	{KERR_FBIG, "file too large"},
	{KERR_NOSPC, "no space left"},
	{KERR_SPIPE, "illegal seek"},
	{KERR_ROFS, "read-only filesystem"},
	{KERR_MLINK, "too many links"},
	{KERR_PIPE, "broken pipe"},
	{KERR_DOM, "out of domain"},
	{KERR_RANGE, "out of range"},
	{KERR_DEADLOCK, "would deadlock"},
	{KERR_NAMETOOLONG, "name too long"},
	{KERR_NOSYS, "not implemented"},
	{KERR_NOTEMPTY, "directory not empty"},
	{KERR_LOOP, "too many symbolic links"},
	{KERR_OVERFLOW, "value too large"},
	{KERR_NOTSOCK, "not a socket"},
	{KERR_MSGSIZE, "message too long"},
	{KERR_PROTOTYPE, "wrong type of socket"},
	{KERR_NOPROTOOPT, "no such socket option"},
	{KERR_PROTONOSUPPORT, "protocol not supported"},
	{KERR_SOCKTNOSUPPORT, "socket type not supported"},
	{KERR_OPNOTSUPP, "operation not supported"},
	{KERR_AFNOSUPPORT, "address family not supported"},
	{KERR_ADDRINUSE, "address in use"},
	{KERR_CONNRESET, "connection reset"},
	{KERR_NOBUFS, "no buffer space"},
	{KERR_ISCONN, "connected already"},
	{KERR_NOTCONN, "not connected"},
	{KERR_TOOMANYREFS, "too many references"},
	{KERR_TIMEDOUT, "timed out"},
	{KERR_CONNREFUSED, "connection refused"},
	{KERR_ALREADY, "under way already"},
	{KERR_RESTART, "to be restarted"},
	{KERR_RESTART_ALWAYS, "to be restarted after any handler"},
	{KERR_RESTART_NOHAND, "to be restarted without handler"},
	{KERR_RESTART_BLOCK, "to be restarted with the time left"},
};

const char *kerr_name(enum kerr err)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].err == err)
			return names[i].name;
	return "unknown error";
}
