/*
 * Program 1. Mounts what a Linux program expects, starts the shell or the one program that
 * ./tern was asked to run, reaps orphans until that ends, and powers off with its status.
 *
 * /etc/tern-run       NUL-separated argv of the one program; without it an interactive shell runs
 * /etc/tern-run-tty   the program gets an ordinary terminal; without it the console is raw, so that
 *                     bytes pass unchanged both ways
 *
 * Statuses: the program's exit code, 128 + signal if it was killed, 127 if it is missing, 126 if
 * it cannot be executed.
 */
#include "lib/sys.h"

#define ARGUMENTS_SIZE 65536
#define ARGUMENTS_MAX 1024

#define TCGETS 0x5401
#define TCSETS 0x5402
#define TIOCSCTTY 0x540e
#define TIOCSPGRP 0x5410

#define REBOOT_MAGIC1 0xfee1dead
#define REBOOT_MAGIC2 672274793
#define REBOOT_POWER_OFF 0x4321fedc

/* struct termios of the kernel ABI, the same on the three architectures. */
struct terminal {
	uint32_t input, output, control, local;
	uint8_t line, characters[19];
};

/* What asm-generic/termbits.h calls the bits that make the console a plain byte stream. */
#define OUTPUT_POST 1u
#define LOCAL_CANONICAL_ECHO_SIGNALS 0x803bu /* ISIG ICANON ECHO ECHOE ECHOK IEXTEN */
#define VTIME_INDEX 5
#define VMIN_INDEX 6

static char *const environment[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin",
				    "HOME=/root",
				    "TERM=vt100",
				    "USER=root",
				    "LOGNAME=root",
				    "SHELL=/bin/sh",
				    "PWD=/",
				    NULL};

static const struct {
	const char *type, *where;
} mounts[] = {
	{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"},
	{"tmpfs", "/tmp"}, {"tmpfs", "/run"},
};

static void complain(const char *what, const char *name, long err)
{
	print(2, "init: ");
	print(2, what);
	print(2, name);
	print(2, ": error ");
	print_number(2, (unsigned long)-err);
	print(2, "\n");
}

static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		SYS(NR_mkdirat, AT_CWD, mounts[i].where, 0755, 0, 0);
		long err = SYS(NR_mount, mounts[i].type, mounts[i].where, mounts[i].type, 0, 0);
		if (err < 0)
			complain("cannot mount ", mounts[i].where, err);
	}
}

/* Descriptors 0, 1, 2 on the console, whichever the kernel gave. */
static void open_console(void)
{
	long fd = sys_open("/dev/console", OPEN_BOTH | OPEN_NOCTTY);

	if (fd < 0)
		return;
	for (int to = 0; to < 3; to++)
		if (fd != to)
			SYS(NR_dup3, fd, to, 0, 0, 0);
	if (fd > 2)
		sys_close((int)fd);
}

static void make_raw(int fd)
{
	struct terminal t;

	if (sys_ioctl(fd, TCGETS, &t) < 0)
		return;
	t.input = 0;
	t.output &= ~OUTPUT_POST;
	t.local &= ~LOCAL_CANONICAL_ECHO_SIGNALS;
	t.characters[VMIN_INDEX] = 1;
	t.characters[VTIME_INDEX] = 0;
	sys_ioctl(fd, TCSETS, &t);
}

/* The file's words into argv; 0: there is no such file, it is empty or too large. */
static int read_arguments(char **argv)
{
	static char text[ARGUMENTS_SIZE];
	size_t size = 0;
	int argc = 0;
	long n, fd = sys_open("/etc/tern-run", OPEN_READ);

	if (fd < 0)
		return 0;
	while ((n = sys_read((int)fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	sys_close((int)fd);
	if (size == sizeof(text) - 1) {
		print(2, "init: the arguments in /etc/tern-run are too long\n");
		return 0;
	}
	for (size_t at = 0; at < size && argc < ARGUMENTS_MAX - 1; at += text_length(text + at) + 1)
		argv[argc++] = text + at;
	argv[argc] = NULL;
	return argc;
}

/* Tries PATH for a name without a slash, as a shell does. Returns only if nothing was started. */
static long execute(char **argv)
{
	static const char *const folders[] = {"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"};
	char path[512];
	long result = -E_NOENT;

	for (const char *s = argv[0]; *s; s++)
		if (*s == '/')
			return SYS(NR_execve, argv[0], argv, environment, 0, 0);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t folder = text_length(folders[i]), name = text_length(argv[0]);
		if (folder + name + 1 > sizeof(path))
			break;
		memcpy(path, folders[i], folder);
		memcpy(path + folder, argv[0], name + 1);
		long err = SYS(NR_execve, path, argv, environment, 0, 0);
		if (err != -E_NOENT)
			result = err;
	}
	return result;
}

[[noreturn]] static void run_child(char **argv)
{
	SYS(NR_setsid, 0, 0, 0, 0, 0);
	sys_ioctl(0, TIOCSCTTY, NULL);
	SYS(NR_chdir, "/", 0, 0, 0, 0);
	long err = execute(argv);
	print(2, "init: cannot run ");
	print(2, argv[0]);
	print(2, err == -E_NOENT ? ": no such program\n" : ": not executable\n");
	sys_exit(err == -E_NOENT ? 127 : 126);
}

static int shell_status(int status)
{
	int signal = status & 0x7f;

	return signal ? 128 + signal : (status >> 8) & 0xff;
}

/* Waits for everything that ends until `pid` does. */
static int reap_until(long pid)
{
	for (;;) {
		int status = 0;
		long ended = sys_wait(-1, &status);
		if (ended == pid)
			return shell_status(status);
		if (ended < 0 && ended != -E_INTR)
			return 125;
	}
}

[[noreturn]] static void power_off(int status)
{
	char text[8];
	int n = 0;
	long fd = sys_open("/proc/tern/exit-status", OPEN_WRITE);

	for (int unit = 100; unit; unit /= 10)
		text[n++] = (char)('0' + status / unit % 10);
	if (fd >= 0)
		sys_write((int)fd, text, (size_t)n);
	SYS(NR_reboot, REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_POWER_OFF, 0, 0);
	sys_exit(status);
}

int main(int argc, char **argv, char **envp)
{
	static char *arguments[ARGUMENTS_MAX];
	static char *shell[] = {"/bin/sh", "-l", NULL};

	mount_all();
	open_console();
	SYS(NR_sethostname, "tern", 4, 0, 0, 0);
	char **program = read_arguments(arguments) ? arguments : shell;
	if (program != shell) {
		long tty = sys_open("/etc/tern-run-tty", OPEN_READ);
		if (tty < 0)
			make_raw(0);
		else
			sys_close((int)tty);
	}
	long pid = sys_fork();
	if (pid == 0)
		run_child(program);
	if (pid < 0) {
		complain("cannot fork for ", program[0], pid);
		power_off(125);
	}
	power_off(reap_until(pid));
}
