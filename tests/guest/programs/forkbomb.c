/* Forks as fast as it can, in every child too, until nothing more is given. Then all are killed. */
#include "tap.h"
#include <signal.h>

static void bomb(void)
{
	for (;;)
		if (fork() < 0)
			sleep_ms(1000);
}

int main(void)
{
	pid_t leader = fork();

	if (leader == 0) {
		if (setpgid(0, 0) == 0)
			bomb();
		_exit(1);
	}
	sleep_ms(1000);
	int killed = 0;
	/* A child that is born during the kill may be missed: until nobody is left. */
	while (kill(-leader, SIGKILL) == 0 && killed < 10000) {
		killed++;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		sleep_ms(1);
	}
	check(kill(-leader, 0) < 0 && errno == ESRCH, "all are dead after %d kills", killed);
	check(in_child(_exit(4)) == 4, "and a fork works again");
	return tap_end();
}
