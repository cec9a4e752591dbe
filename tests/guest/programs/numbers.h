/* Numbers in the files of /proc. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What follows `name` at the beginning of a line ("": the number in a file of one); -1: nothing. */
static inline long number_in(const char *path, const char *name)
{
	char line[160];
	long value = -1;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = atol(line + strlen(name));
	if (f)
		fclose(f);
	return value;
}

/* Threads of programs that there are; -1: nobody says. */
static inline long threads_there(void)
{
	long running = 0, all = -1;
	FILE *f = fopen("/proc/loadavg", "r");

	if (f && fscanf(f, "%*f %*f %*f %ld/%ld", &running, &all) != 2)
		all = -1;
	if (f)
		fclose(f);
	return all;
}

/* False: it was refused. */
static inline bool write_number(const char *path, long value)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%ld\n", value);
	int fd = open(path, O_WRONLY);
	bool good = write(fd, text, (size_t)length) == length;

	close(fd);
	return good;
}
