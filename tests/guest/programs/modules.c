/* Loadable modules by their system calls: good ones, bad ones, use while they come and go. */
#define _GNU_SOURCE
#include "cpus.h"
#include "tap.h"
#include <elf.h>
#include <fcntl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#define ROUNDS 100
#define READERS 4

struct image {
	unsigned char *bytes;
	size_t size;
};

static struct image hello, counter, stamp;

static bool fails(long result, int error)
{
	if (!(result < 0 && errno == error))
		fprintf(stderr, "# gave %ld, errno %d\n", result, errno);
	return result < 0 && errno == error;
}

static long load(struct image m, const char *parameters)
{
	return syscall(SYS_init_module, m.bytes, m.size, parameters);
}

static long unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK);
}

static int module_file(const char *name)
{
	struct utsname u;
	char path[256];

	uname(&u);
	snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", u.release, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static struct image read_module(const char *name)
{
	struct image m = {NULL, 0};
	struct stat st;
	int fd = module_file(name);

	if (fd < 0 || fstat(fd, &st) < 0)
		return m;
	m.bytes = malloc((size_t)st.st_size);
	m.size = (size_t)read(fd, m.bytes, (size_t)st.st_size);
	close(fd);
	return m;
}

static struct image copy_of(struct image m)
{
	struct image c = {malloc(m.size), m.size};

	memcpy(c.bytes, m.bytes, m.size);
	return c;
}

static Elf64_Ehdr *header(struct image m)
{
	return (Elf64_Ehdr *)m.bytes;
}

static Elf64_Shdr *section(struct image m, const char *name)
{
	Elf64_Shdr *s = (Elf64_Shdr *)(m.bytes + header(m)->e_shoff);
	const char *names = (const char *)m.bytes + s[header(m)->e_shstrndx].sh_offset;

	for (int i = 0; i < header(m)->e_shnum; i++)
		if (strcmp(names + s[i].sh_name, name) == 0)
			return &s[i];
	return NULL;
}

/* The first section of zeroes: compilers name it differently. */
static Elf64_Shdr *zeroes(struct image m)
{
	Elf64_Shdr *s = (Elf64_Shdr *)(m.bytes + header(m)->e_shoff);

	while (s->sh_type != SHT_NOBITS)
		s++;
	return s;
}

static unsigned char *find_bytes(struct image m, const char *text)
{
	return memmem(m.bytes, m.size, text, strlen(text));
}

/* The whole of a small file, as text. */
static const char *text_of(const char *path)
{
	static char buf[65536];
	int fd = open(path, O_RDONLY);
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && n < sizeof(buf) - 1 && (got = read(fd, buf + n, sizeof(buf) - 1 - n)) > 0)
		n += (size_t)got;
	if (fd >= 0)
		close(fd);
	buf[n] = '\0';
	return buf;
}

static bool listed(const char *name)
{
	char wanted[80];
	const char *text = text_of("/proc/modules");

	snprintf(wanted, sizeof(wanted), "%s ", name);
	return strncmp(text, wanted, strlen(wanted)) == 0 ||
	       memmem(text, strlen(text), wanted, strlen(wanted));
}

static bool log_says(const char *text)
{
	static char log[1 << 18];
	int n = klogctl(3, log, sizeof(log) - 1);

	log[n > 0 ? n : 0] = '\0';
	return strstr(log, text);
}

/* ---- Good ones ---- */

static void good(void)
{
	struct image m;

	check(load(hello, "times=2 whom=\"a b\"") == 0, "a module is loaded from memory");
	check(listed("hello") && strstr(text_of("/proc/modules"), " 0 - Live 0x"),
	      "/proc/modules lists it");
	check(strcmp(text_of("/sys/module/hello/parameters/times"), "2\n") == 0 &&
		      strcmp(text_of("/sys/module/hello/parameters/whom"), "a b\n") == 0 &&
		      strcmp(text_of("/sys/module/hello/parameters/loud"), "N\n") == 0,
	      "/sys/module shows its parameters");
	check(strcmp(text_of("/sys/module/hello/initstate"), "live\n") == 0 &&
		      strcmp(text_of("/sys/module/hello/refcnt"), "0\n") == 0 &&
		      strcmp(text_of("/sys/module/hello/version"), "1.0\n") == 0 &&
		      strcmp(text_of("/sys/module/hello/health"), "ok\n") == 0,
	      "/sys/module shows its state");
	check(log_says("hello, a b"), "its init ran");
	static char symbols[1 << 20];
	int fd = open("/proc/kallsyms", O_RDONLY);
	size_t n = 0;
	for (ssize_t got; (got = read(fd, symbols + n, sizeof(symbols) - 1 - n)) > 0;)
		n += (size_t)got;
	close(fd);
	check(strstr(symbols, " hello_init\t[hello]\n") && strstr(symbols, " vfs_open\n"),
	      "/proc/kallsyms knows its functions");
	check(fails(load(hello, ""), EEXIST), "the same name again is refused");
	check(unload("hello") == 0 && !listed("hello") && log_says("goodbye, a b"),
	      "it is unloaded");
	check(fails(unload("hello"), ENOENT), "it cannot be unloaded twice");
	check(access("/sys/module/hello", F_OK) < 0, "/sys/module has forgotten it");
	fd = module_file("hello");
	check(syscall(SYS_finit_module, fd, "times=0", 0) == 0 && unload("hello") == 0,
	      "a module is loaded from a file");
	check(fails(syscall(SYS_finit_module, fd, "", 8), EINVAL), "unknown flags are refused");
	check(fails(syscall(SYS_finit_module, fd, "", 2), ENOEXEC), "nothing is forced");
	check(fails(syscall(SYS_finit_module, fd, "", 4), EOPNOTSUPP), "nothing is unpacked");
	close(fd);
	check(fails(syscall(SYS_finit_module, fd, "", 0), EBADF), "a closed descriptor is refused");
	m = copy_of(hello);
	check(load((struct image){m.bytes, m.size}, "nosuch=1") == 0 && unload("hello") == 0 &&
		      log_says("no parameter nosuch"),
	      "an unknown parameter is reported");
	free(m.bytes);
}

static void needs(void)
{
	check(fails(load(stamp, ""), ENOENT) && log_says("unknown symbol counter_take"),
	      "without what it needs it is refused, by name");
	check(load(counter, "first=100") == 0 && load(stamp, "") == 0, "what it needs comes first");
	check(strstr(text_of("/proc/modules"), " 1 stamp, Live"), "who uses a module is listed");
	check(fails(unload("counter"), EAGAIN), "what is needed stays");
	char line[8] = "";
	int fd = open("/dev/stamp", O_RDONLY);
	check(read(fd, line, 7) == 4 && read(fd, line, 7) == 4 && strcmp(line, "101\n") == 0,
	      "both work together");
	close(fd);
	check(unload("stamp") == 0 && unload("counter") == 0, "they go in order");
}

static void in_use(void)
{
	uint64_t n[4];

	check(load(counter, "") == 0, "a driver is loaded");
	int fd = open("/dev/counter", O_RDWR);
	check(fd >= 0 && read(fd, n, sizeof(n)) == sizeof(n) && n[0] == 0 && n[3] == 3,
	      "its device works");
	check(fails(unload("counter"), EAGAIN) && listed("counter"), "an open file keeps it");
	check(read(fd, n, 8) == 8 && n[0] == 4, "and goes on working");
	check(mknod("/tmp/counter", S_IFCHR | 0600, 240 << 8) == 0, "a node elsewhere");
	int other = open("/tmp/counter", O_RDONLY);
	check(other >= 0 && read(other, n, 8) == 8 && n[0] == 5, "it leads to the same device");
	close(other);
	close(fd);
	check(unload("counter") == 0, "closed, it goes");
	check(fails(open("/dev/counter", O_RDONLY), ENOENT), "its node went too");
	check(fails(open("/tmp/counter", O_RDONLY), ENXIO), "the other node leads nowhere");
	unlink("/tmp/counter");
}

/* Whoever may write to /dev gives the node other names, and its name to something else. */
static void renamed(void)
{
	char byte = 'x';

	check(load(counter, "") == 0 && rename("/dev/counter", "/dev/moved") == 0 &&
		      link("/dev/moved", "/dev/linked") == 0,
	      "its node gets other names");
	check(mkfifo("/dev/counter", 0600) == 0, "something else has its name");
	int fifo = open("/dev/counter", O_RDWR);
	check(write(fifo, &byte, 1) == 1, "that is used");
	check(unload("counter") == 0, "the driver goes");
	check(fails(open("/dev/moved", O_RDONLY), ENXIO), "the renamed node leads nowhere");
	check(fails(open("/dev/linked", O_RDONLY), ENXIO), "the linked one neither");
	int same = open("/dev/counter", O_RDONLY | O_NONBLOCK);
	check(read(same, &byte, 1) == 1 && byte == 'x', "what has its name stays as it was");
	close(same);
	close(fifo);
	check(fails(load(counter, ""), EEXIST) && unlink("/dev/counter") == 0,
	      "the name is not taken from it");
	uint64_t n;
	check(load(counter, "first=7") == 0, "the driver comes again");
	int fd = open("/dev/moved", O_RDONLY);
	check(read(fd, &n, 8) == 8 && n == 7, "the renamed node leads to it, by its number");
	close(fd);
	check(unlink("/dev/counter") == 0 && unload("counter") == 0, "its new node goes before it");
	check(fails(open("/dev/moved", O_RDONLY), ENXIO), "then nothing leads anywhere");
	unlink("/dev/moved");
	unlink("/dev/linked");
}

/* ---- Bad ones ---- */

static void refused(const char *what, struct image m, int error)
{
	check(fails(load(m, "times=0"), error) && !listed("hello"), "%s is refused", what);
	free(m.bytes);
}

static void broken(void)
{
	struct image m;
	size_t accepted = 0;

	for (size_t size = 0; size < hello.size; size++)
		accepted +=
			load((struct image){hello.bytes, size}, "times=0") == 0 || errno != ENOEXEC;
	check(accepted == 0, "a module cut off at any of %zu lengths is refused", hello.size);

	m = copy_of(hello);
	header(m)->e_machine = header(m)->e_machine == EM_X86_64 ? EM_AARCH64 : EM_X86_64;
	refused("one for another architecture", m, ENOEXEC);
	m = copy_of(hello);
	find_bytes(m, " abi-")[6] ^= 1;
	refused("one for another kernel", m, ENOEXEC);
	m = copy_of(hello);
	memcpy(find_bytes(m, "log_write"), "log_wrote", 9);
	refused("one with an unknown symbol", m, ENOENT);
	check(log_says("unknown symbol log_wrote"), "the log says which");
	m = copy_of(hello);
	section(m, ".data")->sh_offset = section(m, ".text")->sh_offset;
	refused("one whose sections overlap", m, ENOEXEC);
	m = copy_of(hello);
	zeroes(m)->sh_size = 1ull << 60;
	refused("a huge section", m, ENOEXEC);
	m = copy_of(hello);
	section(m, ".text")->sh_flags |= SHF_WRITE;
	refused("writable code", m, ENOEXEC);
	m = copy_of(hello);
	section(m, ".data")->sh_addralign = 3;
	refused("an impossible alignment", m, ENOEXEC);

	m = copy_of(hello);
	Elf64_Shdr *s = section(m, ".rela.text");
	Elf64_Rela *r = (Elf64_Rela *)(m.bytes + s->sh_offset);
	for (size_t i = 0; i < s->sh_size / sizeof(*r); i++)
		r[i].r_addend += 1ll << 40;
	refused("a relocation that does not reach", m, ENOEXEC);
	m = copy_of(hello);
	s = section(m, ".rela.tern_module");
	r = (Elf64_Rela *)(m.bytes + s->sh_offset);
	for (size_t i = 0; i < s->sh_size / sizeof(*r); i++)
		r[i].r_addend += 1ll << 30;
	refused("a record that leads out of the module", m, ENOEXEC);
	m = copy_of(hello);
	s = section(m, ".rela.text");
	r = (Elf64_Rela *)(m.bytes + s->sh_offset);
	r->r_info = ELF64_R_INFO(ELF64_R_SYM(r->r_info), 250);
	refused("an unknown relocation", m, ENOEXEC);

	check(fails(load(hello, "times=101"), EINVAL) && !listed("hello"), "its init says no");
	check(fails(load(hello, "times=many"), EINVAL) && !listed("hello"), "a value is wrong");
	check(fails(syscall(SYS_init_module, NULL, 4096, ""), EFAULT), "no memory there");
	check(fails(syscall(SYS_init_module, hello.bytes, hello.size, NULL), EFAULT),
	      "no parameters there");
	check(fails(syscall(SYS_init_module, hello.bytes, 1ul << 40, ""), ENOMEM), "too large");
	check(fails(unload("../hello"), ENOENT), "no such module");
	check(load(hello, "times=0") == 0 && unload("hello") == 0, "a good one still works");
}

static void rights(void)
{
	check(in_child(if (setuid(65534)) _exit(9); _exit(!fails(load(hello, ""), EPERM))) == 0,
	      "loading is for the privileged");
	check(in_child(if (setuid(65534)) _exit(9); _exit(!fails(unload("hello"), EPERM))) == 0,
	      "unloading too");
	check(in_child(int fd = module_file("hello"); if (setuid(65534)) _exit(9);
		       _exit(!fails(syscall(SYS_finit_module, fd, "", 0), EPERM))) == 0,
	      "and from a file");
}

/* ---- Under load ---- */

struct shared {
	_Atomic bool stop;
	_Atomic uint64_t opened, read, wrong;
};

/* Opens the device whenever it is there; what one open file reads must rise. */
static void reader(struct shared *s, int cpu)
{
	keep_on(0, cpu);
	while (!s->stop) {
		uint64_t n[16], last = 0;
		int fd = open("/dev/counter", O_RDONLY);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENXIO) {
				printf("# open: %s\n", strerror(errno));
				s->wrong++;
			}
			usleep(100);
			continue;
		}
		s->opened++;
		for (int i = 0; i < 8; i++) {
			ssize_t got = read(fd, n, sizeof(n));
			if (got != sizeof(n)) {
				printf("# read: %zd %s\n", got, strerror(errno));
				s->wrong++;
				break;
			}
			for (int k = 0; k < 16; k++) {
				if ((i || k) && n[k] <= last) {
					printf("# %lu after %lu\n", (unsigned long)n[k],
					       (unsigned long)last);
					s->wrong++;
				}
				last = n[k];
			}
			s->read += 16;
		}
		close(fd);
		usleep(1000); /* or somebody always has it open */
	}
}

static unsigned long memory_free(void)
{
	struct sysinfo info;

	sysinfo(&info);
	return info.freeram * info.mem_unit / 1024;
}

static void under_load(void)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[READERS];
	unsigned busy = 0, failed = 0, rounds = 0;

	fflush(stdout);
	for (int i = 0; i < READERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			reader(s, i);
			fflush(stdout);
			_exit(0);
		}
	}
	while (rounds < ROUNDS) {
		uint64_t opened = s->opened;
		failed += load(counter, "") != 0;
		for (int i = 0; s->opened == opened && i < 1000; i++)
			usleep(100);
		while (unload("counter") != 0) {
			failed += errno != EAGAIN;
			busy++;
			usleep(200);
		}
		rounds++;
	}
	s->stop = true;
	for (int i = 0; i < READERS; i++)
		failed += status_of(pids[i]) != 0;
	printf("# %u rounds, %u times busy, %lu opens, %lu numbers\n", rounds, busy,
	       (unsigned long)s->opened, (unsigned long)s->read);
	check(failed == 0, "%d times loaded and unloaded under load", ROUNDS);
	check(s->wrong == 0 && s->opened > 0, "no reader saw anything wrong");
	check(!listed("counter") && access("/dev/counter", F_OK) < 0, "nothing is left of it");
}

static void leaks(void)
{
	load(hello, "times=0");
	unload("hello");
	unsigned long before = memory_free();
	for (int i = 0; i < 200; i++) {
		load(hello, i % 4 ? "times=0" : "times=101");
		text_of("/sys/module/hello/parameters/times");
		unload("hello");
	}
	unsigned long after = memory_free();
	check(after + 256 > before, "200 loads leak nothing (%lu KiB before, %lu after)", before,
	      after);
}

int main(void)
{
	hello = read_module("hello");
	counter = read_module("counter");
	stamp = read_module("stamp");
	check(hello.size && counter.size && stamp.size, "the modules are in /lib/modules");
	if (tap_failed)
		return 1;
	good();
	needs();
	in_use();
	renamed();
	broken();
	rights();
	under_load();
	leaks();
	return tap_end();
}
