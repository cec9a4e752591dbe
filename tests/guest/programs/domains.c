/*
 * Domains: the built-in ones as they are documented; what each isolation level forbids; limits; the gate; and
 * every way that might lead out: fork, exec, threads, descriptors, sockets, /proc, another domain.
 */
#define _GNU_SOURCE
#include "tap.h"

#include "domaincall.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char *self;

static int tried(long value)
{
	return value < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags, 0600), err = tried(fd);

	close(fd);
	return err;
}

static const struct {
	const char *name, *parent;
	uint32_t execution, kind, isolation;
	bool enter;
} built_in[] = {
	{"kernel", "", TERN_EXECUTION_KERNEL, TERN_SECURITY_KERNEL, TERN_ISOLATION_NONE, false},
	{"system", "kernel", TERN_EXECUTION_USER, TERN_SECURITY_SYSTEM, TERN_ISOLATION_NONE, true},
	{"user", "system", TERN_EXECUTION_USER, TERN_SECURITY_USER, TERN_ISOLATION_LIGHT, true},
	{"service", "system", TERN_EXECUTION_USER, TERN_SECURITY_SERVICE, TERN_ISOLATION_STANDARD,
	 true},
	{"driver", "system", TERN_EXECUTION_DRIVER, TERN_SECURITY_SERVICE, TERN_ISOLATION_STANDARD,
	 true},
	{"sandbox", "system", TERN_EXECUTION_SANDBOX, TERN_SECURITY_SANDBOX, TERN_ISOLATION_STRICT,
	 true},
	{"guest", "system", TERN_EXECUTION_SANDBOX, TERN_SECURITY_GUEST, TERN_ISOLATION_PARANOID,
	 true},
	{"container", "system", TERN_EXECUTION_SANDBOX, TERN_SECURITY_CONTAINER,
	 TERN_ISOLATION_STRICT, true},
};
#define BUILT_IN (sizeof(built_in) / sizeof(built_in[0]))

static int inside(const char *name, uint32_t isolation)
{
	struct tern_domain before = domain_of(0), d;

	if (domain_enter(name))
		return 1;
	d = domain_of(0);
	return strcmp(d.name, name) != 0 || d.isolation != isolation || d.processes == 0 ||
	       d.threads == 0 || d.bounding != (before.bounding & d.capabilities) ||
	       (d.permitted & ~d.capabilities);
}

static void built_in_domains(void)
{
	for (size_t i = 0; i < BUILT_IN; i++) {
		struct tern_domain d = {};
		const char *name = built_in[i].name;
		check(domain_call(&d, TERN_DOMAIN_QUERY, name) == 0 &&
			      strcmp(d.parent, built_in[i].parent) == 0 &&
			      d.execution == built_in[i].execution && d.kind == built_in[i].kind &&
			      d.isolation == built_in[i].isolation,
		      "domain %s is as documented", name);
		if (built_in[i].enter)
			check(in_child(_exit(inside(name, built_in[i].isolation))) == 0, "enter %s",
			      name);
		else
			check(domain_enter(name) == -1 && errno == EPERM, "nobody enters %s", name);
	}
	check(domain_enter("nowhere") == -1 && errno == ENOENT, "no such domain");
	check(strcmp(domain_of(0).name, "system") == 0, "programs start in system");
	check(in_child(_exit(domain_enter("service") || domain_enter("system") != -1 ||
			     errno != EPERM || domain_enter("sandbox") != -1)) == 0,
	      "from service no way leads back, or aside");
	check(in_child(_exit(domain_enter("user") || domain_enter("system") != -1 ||
			     domain_enter("sandbox"))) == 0,
	      "from user one leads down");
}

/* ---- Levels ---- */

static void make(const char *name, uint32_t isolation)
{
	struct tern_domain d = {.execution = isolation < TERN_ISOLATION_STRICT
						     ? TERN_EXECUTION_USER
						     : TERN_EXECUTION_SANDBOX,
				.kind = TERN_SECURITY_SANDBOX,
				.isolation = isolation,
				.capabilities = (TERN_CAP_BIT(TERN_CAP_BYPASS_SECURITY) - 1) &
						~TERN_CAP_BIT(TERN_CAP_ANY_IPC)};

	check(domain_call(&d, TERN_DOMAIN_CREATE, name) == 0, "domain %s is made", name);
}

static int at_level(const char *name, int (*try)(void))
{
	return in_child(if (domain_enter(name)) _exit(99); _exit(try()));
}

static int outside; /* a process that stays in system, of the same user */

static int look(void)
{
	char path[32], link[64];

	snprintf(path, sizeof(path), "/proc/%d/cwd", outside);
	return tried(readlink(path, link, sizeof(link)));
}

static int limit_of(void)
{
	struct rlimit l;

	return tried(prlimit(outside, RLIMIT_CORE, NULL, &l));
}

static int look_at_memory(void)
{
	char path[32], byte;

	snprintf(path, sizeof(path), "/proc/%d/maps", outside);
	return tried(read(open(path, O_RDONLY), &byte, 1));
}

static int limits_file(void)
{
	char path[32], byte;

	snprintf(path, sizeof(path), "/proc/%d/limits", outside);
	return tried(read(open(path, O_RDONLY), &byte, 1));
}

static int send_signal(void)
{
	return tried(kill(outside, 0));
}

static int renice(void)
{
	return tried(setpriority(PRIO_PROCESS, outside, 1));
}

static int see(void)
{
	char path[32];
	struct stat s;

	snprintf(path, sizeof(path), "/proc/%d", outside);
	return tried(stat(path, &s));
}

static int connects(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/tmp/domains-socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return tried(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static int device(void)
{
	return opened("/dev/console", O_WRONLY | O_NOCTTY);
}

static int harmless(void)
{
	return opened("/dev/null", O_RDWR) ?: opened("/dev/urandom", O_RDONLY);
}

static int writes(void)
{
	return opened("/tmp/domains-file", O_WRONLY | O_CREAT);
}

static int renames(void)
{
	int err = tried(mkdir("/tmp/domains-folder", 0700));

	rmdir("/tmp/domains-folder");
	return err;
}

static int own_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	int err = tried(kill(pid, SIGKILL));
	return err ?: status_of(pid) != 128 + SIGKILL;
}

static const struct {
	const char *what;
	int (*try)(void);
	uint32_t from; /* the level that forbids it */
	int error;
} forbidden[] = {
	{"look into a process", look, TERN_ISOLATION_LIGHT, EACCES},
	{"look at its memory", look_at_memory, TERN_ISOLATION_LIGHT, EACCES},
	{"ask for its limits", limit_of, TERN_ISOLATION_LIGHT, EPERM},
	{"read its limits", limits_file, TERN_ISOLATION_LIGHT, EACCES},
	{"signal it", send_signal, TERN_ISOLATION_STANDARD, EPERM},
	{"change its priority", renice, TERN_ISOLATION_STANDARD, EPERM},
	{"see it in /proc", see, TERN_ISOLATION_STRICT, ENOENT},
	{"connect to its socket", connects, TERN_ISOLATION_STRICT, EACCES},
	{"open a device", device, TERN_ISOLATION_STRICT, EPERM},
	{"open /dev/null", harmless, TERN_ISOLATION_COUNT, 0},
	{"write a file", writes, TERN_ISOLATION_PARANOID, EROFS},
	{"make a folder", renames, TERN_ISOLATION_PARANOID, EROFS},
	{"end its own child", own_child, TERN_ISOLATION_COUNT, 0},
};

static void levels(void)
{
	static const char *const names[] = {"level-none", "level-light", "level-standard",
					    "level-strict", "level-paranoid"};
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/tmp/domains-socket"};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	outside = getpid();
	unlink(a.sun_path);
	check(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 100) == 0,
	      "a socket in system");
	for (uint32_t level = 0; level < TERN_ISOLATION_COUNT; level++) {
		make(names[level], level);
		for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
			int error = level < forbidden[i].from ? 0 : forbidden[i].error;
			/* Whom one does not see is not there. */
			if ((forbidden[i].try == look) && level >= TERN_ISOLATION_STRICT)
				error = ENOENT;
			if ((forbidden[i].try == look_at_memory ||
			     forbidden[i].try == limits_file) &&
			    level >= TERN_ISOLATION_STRICT)
				error = EBADF; /* there is nothing to open */
			if (forbidden[i].try == send_signal && level >= TERN_ISOLATION_STRICT)
				error = ESRCH;
			int got = at_level(names[level], forbidden[i].try);
			check(got == error, "%s: %s: %d", names[level], forbidden[i].what, got);
		}
		struct tern_domain d = {};
		check(domain_call(&d, TERN_DOMAIN_DELETE, names[level]) == 0, "%s is deleted",
		      names[level]);
	}
	setpriority(PRIO_PROCESS, 0, 0);
	close(listener);
	unlink(a.sun_path);
	unlink("/tmp/domains-file");
}

/* ---- The gate and limits ---- */

static int refused_calls(void)
{
	return domain_enter("sandbox") || tried(mount("none", "/tmp", "tmpfs", 0, NULL)) != EPERM ||
	       tried(syscall(SYS_init_module, "", 0, "")) != EPERM ||
	       tried(syscall(SYS_reboot, 0, 0, 0, 0)) != EPERM || tried(chroot("/")) != EPERM ||
	       tried(socket(AF_UNIX, SOCK_STREAM, 0)) != EPERM || domain_of(0).denied_calls == 0;
}

static int own_bitmap(void)
{
	struct tern_domain d = {.execution = TERN_EXECUTION_USER,
				.kind = TERN_SECURITY_USER,
				.capabilities = TERN_CAP_BIT(TERN_CAP_COUNT) - 1};

	d.refused[SYS_getppid / 64] = 1ull << SYS_getppid % 64;
	if (domain_call(&d, TERN_DOMAIN_CREATE, "no-getppid") || getppid() <= 0 ||
	    domain_enter("no-getppid"))
		return 1;
	if (syscall(SYS_getppid) != -1 || errno != EPERM || syscall(SYS_getpid) <= 0)
		return 2;
	/* A domain that refuses less is closed. */
	return domain_enter("system") != -1 || domain_enter("user") != -1;
}

static int over_limit(void)
{
	pid_t made[80];
	int count = 0;

	if (domain_enter("guest"))
		return 90;
	struct tern_domain d = domain_of(0);
	while (count < 80 && (made[count] = fork()) > 0)
		count++;
	int err = errno;
	if (count < 80 && made[count] == 0)
		for (;;)
			pause();
	for (int i = 0; i < count; i++) {
		kill(made[i], SIGKILL);
		status_of(made[i]);
	}
	struct rlimit l;
	getrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_max != d.file_limit)
		return 91;
	l.rlim_max++;
	if (tried(setrlimit(RLIMIT_NOFILE, &l)) != EPERM)
		return 92;
	getrlimit(RLIMIT_AS, &l);
	if (l.rlim_max != d.memory_limit || mmap(NULL, d.memory_limit + 4096, PROT_READ,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		return 93;
	return count + 1 == (int)d.process_limit && err == EAGAIN ? 0 : 94;
}

static void gate(void)
{
	check(in_child(_exit(refused_calls())) == 0, "the gate of a sandbox");
	int got = in_child(_exit(own_bitmap()));
	check(got == 0, "a bitmap of one's own: %d", got);
	struct tern_domain d = {};
	check(domain_call(&d, TERN_DOMAIN_DELETE, "no-getppid") == 0, "its domain goes");
	got = in_child(_exit(over_limit()));
	check(got == 0, "limits of a domain: %d", got);
	check(in_child(char *end = sbrk(0);
		       if (capability_drop(TERN_CAP_BIT(TERN_CAP_MEMORY))) _exit(1);
		       _exit((char *)syscall(SYS_brk, end + 65536) !=
			     (char *)syscall(SYS_brk, 0))) == 0,
	      "brk tells where it is");
}

/* ---- Ways out ---- */

static void *other_thread(void *arg)
{
	volatile int *stage = arg;

	while (*stage == 0)
		sched_yield();
	return (void *)(long)(socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EPERM);
}

/* A thread that was there before is restricted with the others. */
static int threads(void)
{
	volatile int stage = 0;
	pthread_t t;
	void *result;

	if (pthread_create(&t, NULL, other_thread, (void *)&stage) || domain_enter("sandbox"))
		return 1;
	stage = 1;
	pthread_join(t, &result);
	return result != NULL;
}

static int as_program(void)
{
	struct tern_domain d = domain_of(0);

	return strcmp(d.name, "sandbox") != 0 ||
	       tried(mount("none", "/tmp", "tmpfs", 0, NULL)) != EPERM;
}

/* Descriptors that were open, or come through a socket that was: reading and writing files goes on, what is guarded
 * is asked when it is used. */
static int descriptors(void)
{
	int file = open("/tmp/domains-file", O_CREAT | O_RDWR, 0600),
	    mem = open("/dev/mem", O_RDWR),
	    setting = open("/proc/sys/kernel/randomize_va_space", O_WRONLY),
	    slots = open("/sys/kernel/slots", O_WRONLY), folder = open("/proc", O_RDONLY), p[2];

	if (file < 0 || mem < 0 || setting < 0 || slots < 0 || folder < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, p) || domain_enter("guest"))
		return 1;
	if (write(file, "x", 1) != 1)
		return 2;
	if (syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, mem, 0) != -1 || errno != EPERM)
		return 3;
	if (write(setting, "2", 1) != -1 || errno != EPERM)
		return 4;
	if (write(slots, "scheduler fifo", 14) != -1 || errno != EPERM)
		return 5;
	/* A folder is no way round either. */
	char path[32];
	snprintf(path, sizeof(path), "%d/environ", outside);
	if (openat(folder, path, O_RDONLY) != -1 || errno != ENOENT)
		return 6;
	return openat(folder, "../tmp/domains-file", O_WRONLY) != -1 || errno != EROFS ? 7 : 0;
}

/* What a process outside sends through an open socket arrives, and gives no more than it says. */
static int passed(void)
{
	int p[2], got = -1;
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
		return 1;
	pid_t sender = fork();
	if (sender == 0) {
		int mem = open("/dev/mem", O_RDWR);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &mem, sizeof(mem));
		_exit(mem < 0 || sendmsg(p[0], &m, 0) != 1);
	}
	if (status_of(sender) || domain_enter("sandbox") || recvmsg(p[1], &m, 0) != 1)
		return 2;
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	return syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, got, 0) != -1 || errno != EPERM
		       ? 3
		       : 0;
}

static int touching_others(void)
{
	char path[32];

	if (domain_enter("sandbox"))
		return 1;
	for (int pid = 1; pid <= outside; pid++) {
		if (pid != 1 && pid != outside)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		if (opened(path, O_RDWR) != ENOENT)
			return 2;
		if (tried(syscall(SYS_process_vm_writev, pid, NULL, 0, NULL, 0, 0)) == 0)
			return 3;
		if (tried(syscall(SYS_ptrace, 16, pid, 0, 0)) != EPERM)
			return 4;
		if (tried(syscall(SYS_move_pages, pid, 0, NULL, NULL, NULL, 0)) != EPERM)
			return 5;
		if (domain_capabilities(TERN_DOMAIN_REVOKE, pid, 1) != -1 ||
		    domain_capabilities(TERN_DOMAIN_GRANT, pid, 1) != -1)
			return 6;
	}
	struct tern_domain d = {.execution = TERN_EXECUTION_USER};
	if (domain_call(&d, TERN_DOMAIN_CREATE, "mine") != -1 || errno != EPERM)
		return 7;
	return domain_capabilities(TERN_DOMAIN_GRANT, getpid(), 1ull << TERN_CAP_MOUNT) != -1 ? 8
											      : 0;
}

static int sysfs(void)
{
	if (domain_enter("container"))
		return 1;
	return opened("/sys/kernel/security/audit", O_RDONLY) ||
			       tried(write(open("/sys/kernel/security/audit", O_WRONLY), "1", 1)) !=
				       EPERM ||
			       tried(write(open("/sys/kernel/sched/policy", O_WRONLY), "fifo",
					   4)) != EPERM ||
			       tried(write(open("/proc/sys/vm/overcommit_memory", O_WRONLY), "1",
					   1)) != EPERM
		       ? 2
		       : 0;
}

static void ways_out(void)
{
	check(in_child(_exit(threads())) == 0, "all threads are restricted");
	check(in_child(domain_enter("sandbox"); _exit(in_child(_exit(as_program())))) == 0,
	      "a child is where its parent is");
	check(in_child(domain_enter("sandbox"); execl(self, self, "program", NULL)) == 0,
	      "a program is where its caller was");
	check(in_child(domain_enter("sandbox"); _exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
						      tried(setresuid(5, 5, 5)) != EPERM)) == 0,
	      "no new privileges there");
	int got = in_child(_exit(descriptors()));
	check(got == 0, "open descriptors: %d", got);
	got = in_child(_exit(passed()));
	check(got == 0, "a passed descriptor of /dev/mem: %d", got);
	got = in_child(_exit(touching_others()));
	check(got == 0, "other processes: %d", got);
	got = in_child(_exit(sysfs()));
	check(got == 0, "settings from a container: %d", got);
	unlink("/tmp/domains-file");
}

/* ---- The call itself ---- */

static void bad_calls(void)
{
	struct tern_domain d = {.size = 8};

	check(syscall(TERN_NR_DOMAIN, &d) == -1 && errno == EINVAL, "506 with too small a size");
	check(syscall(TERN_NR_DOMAIN, NULL) == -1 && errno == EFAULT, "506 with nothing");
	d = (struct tern_domain){};
	check(domain_call(&d, TERN_DOMAIN_OPERATIONS, NULL) == -1 && errno == EINVAL,
	      "506 with no such operation");
	memset(d.name, 'x', sizeof(d.name));
	check(domain_call(&d, TERN_DOMAIN_ENTER, NULL) == -1 && errno == EINVAL,
	      "506 with a name without end");
	d = (struct tern_domain){.pid = 99999};
	check(domain_call(&d, TERN_DOMAIN_QUERY, NULL) == -1 && errno == ESRCH, "506 of nobody");
	d = (struct tern_domain){};
	check(domain_call(&d, TERN_DOMAIN_DELETE, "system") == -1 && errno == EPERM,
	      "the built-in ones stay");
	d = (struct tern_domain){.execution = TERN_EXECUTION_USER, .isolation = 9};
	check(domain_call(&d, TERN_DOMAIN_CREATE, "odd") == -1 && errno == EINVAL, "no such level");
	d = (struct tern_domain){.execution = TERN_EXECUTION_KERNEL};
	check(domain_call(&d, TERN_DOMAIN_CREATE, "odd") == -1 && errno == EPERM,
	      "no kernel domain is made");
	d = (struct tern_domain){.execution = TERN_EXECUTION_USER, .kind = TERN_SECURITY_USER};
	check(domain_call(&d, TERN_DOMAIN_CREATE, "system") == -1 && errno == EEXIST,
	      "no second one of a name");
}

static void busy(void)
{
	struct tern_domain d = {.execution = TERN_EXECUTION_USER, .kind = TERN_SECURITY_USER};
	int p[2];
	char byte;

	check(domain_call(&d, TERN_DOMAIN_CREATE, "busy") == 0 && pipe(p) == 0, "a domain");
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		close(p[1]);
		_exit(domain_enter("busy") || read(p[0], &byte, 1) != 0);
	}
	close(p[0]);
	for (int i = 0; i < 500 && strcmp(domain_of(child).name, "busy") != 0; i++)
		sleep_ms(2);
	check(domain_call(&d, TERN_DOMAIN_DELETE, "busy") == -1 && errno == EBUSY,
	      "with a process it stays");
	d = (struct tern_domain){.execution = TERN_EXECUTION_USER, .kind = TERN_SECURITY_USER};
	check(domain_call(&d, TERN_DOMAIN_MODIFY, "busy") == -1 && errno == EBUSY,
	      "and stays as it is");
	close(p[1]);
	check(status_of(child) == 0, "its process ends");
	d = (struct tern_domain){.execution = TERN_EXECUTION_USER,
				 .kind = TERN_SECURITY_SERVICE,
				 .isolation = TERN_ISOLATION_STANDARD,
				 .process_limit = 7};
	check(domain_call(&d, TERN_DOMAIN_MODIFY, "busy") == 0, "now it changes");
	d = (struct tern_domain){};
	check(domain_call(&d, TERN_DOMAIN_QUERY, "busy") == 0 && d.process_limit == 7 &&
		      d.isolation == TERN_ISOLATION_STANDARD && d.capabilities == 0,
	      "as it was asked");
	check(domain_call(&d, TERN_DOMAIN_DELETE, "busy") == 0, "and goes");
}

int main(int argc, char **argv)
{
	self = argv[0];
	outside = getpid();
	if (argc == 2 && strcmp(argv[1], "program") == 0)
		return as_program();
	built_in_domains();
	levels();
	gate();
	ways_out();
	bad_calls();
	busy();
	return tap_end();
}
