/*
 * Kernel results. A function that can fail returns `enum kerr` and hands its value back through
 * an out-parameter; ignoring a result is a compile error. The numbers are the negated Linux errno
 * values, so that the system-call gate converts by a cast; nothing else relies on that.
 */
#pragma once

enum __attribute__((warn_unused_result)) kerr {
	KERR_OK = 0,
	KERR_PERM = -1,
	KERR_NOENT = -2,
	KERR_SRCH = -3,
	KERR_INTR = -4,
	KERR_IO = -5,
	KERR_NXIO = -6,
	KERR_TOOBIG = -7,
	KERR_NOEXEC = -8,
	KERR_BADF = -9,
	KERR_CHILD = -10,
	KERR_AGAIN = -11,
	KERR_NOMEM = -12,
	KERR_ACCESS = -13,
	KERR_FAULT = -14,
	KERR_BUSY = -16,
	KERR_EXIST = -17,
	KERR_XDEV = -18,
	KERR_NODEV = -19,
	KERR_NOTDIR = -20,
	KERR_ISDIR = -21,
	KERR_INVAL = -22,
	KERR_NFILE = -23,
	KERR_MFILE = -24,
	KERR_NOTTY = -25,
	KERR_TXTBSY = -26,
	KERR_FBIG = -27,
	KERR_NOSPC = -28,
	KERR_SPIPE = -29,
	KERR_ROFS = -30,
	KERR_MLINK = -31,
	KERR_PIPE = -32,
	KERR_DOM = -33,
	KERR_RANGE = -34,
	KERR_DEADLOCK = -35,
	KERR_NAMETOOLONG = -36,
	KERR_NOSYS = -38,
	KERR_NOTEMPTY = -39,
	KERR_LOOP = -40,
	KERR_OVERFLOW = -75,
	KERR_NOTSOCK = -88,
	KERR_MSGSIZE = -90,
	KERR_PROTOTYPE = -91,
	KERR_NOPROTOOPT = -92,
	KERR_PROTONOSUPPORT = -93,
	KERR_SOCKTNOSUPPORT = -94,
	KERR_OPNOTSUPP = -95,
	KERR_AFNOSUPPORT = -97,
	KERR_ADDRINUSE = -98,
	KERR_CONNRESET = -104,
	KERR_NOBUFS = -105,
	KERR_ISCONN = -106,
	KERR_NOTCONN = -107,
	KERR_TOOMANYREFS = -109,
	KERR_TIMEDOUT = -110,
	KERR_CONNREFUSED = -111,
	KERR_ALREADY = -114,
	/* Never seen by a program: the call is done again, or ends as KERR_INTR (signal(7)). */
	KERR_RESTART = -512,        /* again if the handler has SA_RESTART */
	KERR_RESTART_ALWAYS = -513, /* again after any handler */
	KERR_RESTART_NOHAND = -514, /* again only if no handler ran */
	KERR_RESTART_BLOCK = -516,  /* again with the time that is left (nanosleep, poll) */
};

/* A short English name, for logs: "out of memory". Never null. */
const char *kerr_name(enum kerr err);
