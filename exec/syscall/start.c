/*
 * The first program: the init record `userland`. Process 1 starts in start_init(), opens the console
 * as descriptors 0, 1 and 2, and becomes the first of init=PATH, /init, /sbin/init, /bin/init,
 * /bin/sh that there is. Words of the command line after "--" are its arguments. With `kshell`, or if
 * there is none of these, it stays in the kernel and is the kernel's shell.
 */
#include "gate.h"
#include <core/cmdline.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <fs/file.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <syscall/program.h>

#define ARGUMENTS_MAX 64

/* The root may have no /dev/console yet: then the device filesystem lends it. */
static enum kerr find_console(struct file **out)
{
	struct path where;
	enum kerr err = vfs_open(nullptr, "/dev/console", O_RDWR, 0, out);

	if (err != KERR_NOENT)
		return err;
	err = vfs_make_directory(nullptr, "/dev", 0755);
	if (err != KERR_OK && err != KERR_EXIST)
		return err;
	err = vfs_lookup(nullptr, "/dev", LOOKUP_FOLLOW, &where);
	if (err != KERR_OK)
		return err;
	err = vfs_mount("devtmpfs", &where, "devtmpfs", 0, "");
	path_put(&where);
	if (err != KERR_OK)
		return err;
	err = vfs_open(nullptr, "/dev/console", O_RDWR, 0, out);
	if (vfs_lookup(nullptr, "/dev", LOOKUP_FOLLOW, &where) == KERR_OK) {
		if (vfs_unmount(&where, UNMOUNT_DETACH) != KERR_OK)
			log_warn("init: /dev stays mounted");
		path_put(&where);
	}
	return err;
}

static void open_console(void)
{
	struct file *f;
	int fd;
	enum kerr err = find_console(&f);

	if (err != KERR_OK) {
		log_warn("init: /dev/console: %s", kerr_name(err));
		return;
	}
	for (int i = 0; i < 3; i++) {
		file_get(f);
		err = fd_install(f, 0, false, &fd);
		if (err != KERR_OK) {
			file_put(f);
			log_warn("init: descriptor %d: %s", i, kerr_name(err));
		}
	}
	file_put(f);
}

/* Splits what stands after " -- " into words ("quotes" keep blanks); `text` is changed. */
static void split_arguments(char *text, const char **argv, unsigned *argc)
{
	while (*argc < ARGUMENTS_MAX - 1) {
		while (*text == ' ')
			text++;
		if (!*text)
			return;
		char *out = text;
		bool quoted = false;
		argv[(*argc)++] = text;
		for (; *text && (quoted || *text != ' '); text++) {
			if (*text == '"')
				quoted = !quoted;
			else
				*out++ = *text;
		}
		bool end = !*text;
		*out = '\0';
		if (end)
			return;
		text++;
	}
}

static enum kerr try_program(const char *path, const char **argv)
{
	static const char *const environment[] = {
		"HOME=/", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"TERM=linux", nullptr};

	argv[0] = path;
	enum kerr err = program_run(path, argv, environment);
	if (err == KERR_OK)
		log_info("init: %s", path);
	else if (err != KERR_NOENT)
		log_warn("init: %s: %s", path, kerr_name(err));
	return err;
}

static void (*kernel_shell)(const char *why) RO_AFTER_INIT;

void program_shell_register(void (*run)(const char *why))
{
	kernel_shell = run;
}

/* Somebody may be there to type: not where ./tern runs one program and reads its output. */
static bool is_attended(void)
{
	char mode[16];

	return !cmdline_get("console", mode, sizeof(mode)) || strcmp(mode, "framed") != 0;
}

/* Nothing can run: the kernel's own shell, if somebody is there. Otherwise, under the emulator, that
 * ends it, as a panic does; a real machine keeps the page. */
[[noreturn]] static void give_up(const char *asked)
{
	static const char why[] = "no program 1 found: give an initramfs with /init (./tern run "
				  "makes one), or init=PATH";

	if (asked)
		log_error("init=%s does not start", asked);
	log_error("%s", why);
	if (kernel_shell && is_attended())
		kernel_shell(why);
	console_record("panic", why);
	if (cmdline_has("exit"))
		kernel_power_off(125);
	log_error("halted");
	hal.smp.stop_others();
	hal.platform.power(HAL_POWER_HALT, 0);
}

/* Process 1, in the kernel; its return is the way to user mode. */
static void start_init(void *arg)
{
	static const char *const usual[] = {"/init", "/sbin/init", "/bin/init", "/bin/sh"};
	const char *argv[ARGUMENTS_MAX + 1] = {};
	unsigned argc = 1;
	char asked[128];
	size_t size = strlen(cmdline()) + 1;
	char *line = heap_alloc(size);

	open_console();
	if (kernel_shell && cmdline_has("kshell"))
		kernel_shell(nullptr);
	if (line) {
		strlcpy(line, cmdline(), size);
		char *mark = strstr(line, " -- ");
		if (mark)
			split_arguments(mark + 4, argv, &argc);
	}
	enum kerr err = KERR_NOENT;
	bool given = cmdline_get("init", asked, sizeof(asked));
	if (given)
		err = try_program(asked, argv);
	for (size_t i = 0; !given && err != KERR_OK && i < ARRAY_SIZE(usual); i++)
		err = try_program(usual[i], argv);
	heap_free(line);
	if (err != KERR_OK)
		give_up(given ? asked : nullptr);
}

static void *executable_get(void *file)
{
	file_get(file);
	return file;
}

static void executable_put(void *file)
{
	file_put(file);
}

void program_register(void)
{
	process_executable_register(executable_get, executable_put);
}

static enum kerr userland_init(const struct boot_info *info)
{
	return KERR_OK; /* everything needs the rest of the system: userland_start */
}

static enum kerr userland_start(void)
{
	return process_start_first(start_init, nullptr);
}

static const struct init_ops userland_ops = {.init = userland_init, .start = userland_start};
INIT_SUBSYSTEM(userland, .phase = INIT_RUNTIME, .priority = 100,
	       .requires = INIT_SCHEDULER | INIT_FILESYSTEM | INIT_DRIVERS,
	       .provides = INIT_USERSPACE, INIT_DEPENDS("syscalls", "filesystem", "drivers"),
	       .ops = &userland_ops);
