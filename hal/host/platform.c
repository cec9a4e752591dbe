/*
 * Console, power, entropy. Console output goes to standard output and, when asked, into a buffer;
 * input is what host_console_type() was given. Power ends the process with the kernel's status, 125
 * where a kernel only halts (a panic).
 */
#include "machine.h"

#include <lib/format.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define EXIT_HALTED 125

static struct {
	pthread_mutex_t lock; /* all of it */
	char text[65536];
	size_t length;
	bool capture, quiet;
	char typed[1024];
	size_t typed_count;
} console = {.lock = PTHREAD_MUTEX_INITIALIZER};

void host_platform_early(struct boot_info *info)
{
	info->machine = "Tern host machine";
}

enum kerr host_platform_init(struct boot_info *info)
{
	info->wall_seconds = host_is_simulated() ? 1000000000 : (uint64_t)time(nullptr);
	return KERR_OK;
}

void host_platform_cpu_init(cpu_t cpu)
{
}

/* ---- Console -------------------------------------------------------------------------------- */

static void console_keep(const char *bytes, size_t count)
{
	size_t room = sizeof(console.text) - 1;

	if (count > room) {
		bytes += count - room;
		count = room;
	}
	if (console.length + count > room) {
		size_t drop = console.length + count - room;
		memmove(console.text, console.text + drop, console.length - drop);
		console.length -= drop;
	}
	memcpy(console.text + console.length, bytes, count);
	console.length += count;
	console.text[console.length] = '\0';
}

void host_platform_console_write(const char *bytes, size_t count)
{
	pthread_mutex_lock(&console.lock);
	if (console.capture)
		console_keep(bytes, count);
	if (!console.quiet) {
		fflush(stdout);
		while (count > 0) {
			ssize_t n = write(STDOUT_FILENO, bytes, count);
			if (n <= 0)
				break;
			bytes += n;
			count -= (size_t)n;
		}
	}
	pthread_mutex_unlock(&console.lock);
}

void host_console_capture(bool quiet)
{
	console.capture = true;
	console.quiet = quiet;
}

const char *host_console_text(void)
{
	return console.text;
}

void host_console_type(const char *bytes, size_t count)
{
	pthread_mutex_lock(&console.lock);
	count = MIN(count, sizeof(console.typed) - console.typed_count);
	memcpy(console.typed + console.typed_count, bytes, count);
	console.typed_count += count;
	pthread_mutex_unlock(&console.lock);
	host_pend(&host.cpus[0], PENDING_CONSOLE);
}

size_t host_console_take(char *buf, size_t size)
{
	pthread_mutex_lock(&console.lock);
	size_t n = MIN(size, console.typed_count);
	memcpy(buf, console.typed, n);
	memmove(console.typed, console.typed + n, console.typed_count - n);
	console.typed_count -= n;
	bool more = console.typed_count > 0;
	pthread_mutex_unlock(&console.lock);
	if (more)
		host_pend(&host.cpus[0], PENDING_CONSOLE);
	return n;
}

/* ---- Power, entropy, description ------------------------------------------------------------ */

void host_power_hook(void (*hook)(enum hal_power how, int status))
{
	host.power_hook = hook;
}

void host_platform_power(enum hal_power how, int status)
{
	if (host.power_hook)
		host.power_hook(how, status);
	fflush(nullptr);
	_exit(how == HAL_POWER_HALT ? EXIT_HALTED : status);
}

bool host_platform_entropy(uint64_t *out)
{
	if (!host_is_simulated())
		return getrandom(out, sizeof(*out), 0) == sizeof(*out);
	*out = host_random();
	return true;
}

size_t host_platform_describe(cpu_t cpu, char *buf, size_t size)
{
	return (size_t)format(buf, size, "model name\t: Tern host machine\nphysical id\t: 0\n");
}
