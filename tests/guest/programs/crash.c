/* Ends in the way that the argument names, for tests of what `./tern run` makes of it. */
#include "tap.h"
#include <signal.h>

static volatile char *volatile nowhere = (char *)8;

static int recurse(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	return n < 0 ? 0 : recurse(n + 1) + room[0];
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	printf("crash: %s\n", how);
	fflush(stdout);
	if (strcmp(how, "null") == 0)
		*nowhere = 1;
	if (strcmp(how, "illegal") == 0)
		__builtin_trap();
	if (strcmp(how, "recursion") == 0)
		return recurse(0);
	if (strcmp(how, "kernel") == 0)
		*(volatile char *)0xffffffff80000000ul = 1;
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "exit") == 0)
		return atoi(argv[2]);
	return 0;
}
