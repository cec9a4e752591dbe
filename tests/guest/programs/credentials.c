/*
 * Capabilities as Linux's programs use them: capget, capset, prctl, changes of user, and what exec makes of it. Every
 * result here is what Linux gives.
 */
#define _GNU_SOURCE
#include "tap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define VERSION_1 0x19980330u
#define VERSION_3 0x20080522u
#define ALL 0x1ffffffffffull
#define B(n) (1ull << (n))
#define CHOWN 0
#define DAC_OVERRIDE 1
#define DAC_READ_SEARCH 2
#define FOWNER 3
#define SETUID 7
#define SETPCAP 8
#define NET_ADMIN 12
#define SYS_TIME 25

static char *self;

struct sets {
	uint64_t effective, permitted, inheritable;
};

static int get(struct sets *s)
{
	struct {
		uint32_t version;
		int pid;
	} header = {VERSION_3, 0};
	uint32_t words[6];
	int err = (int)syscall(SYS_capget, &header, words);

	*s = (struct sets){words[0] | (uint64_t)words[3] << 32, words[1] | (uint64_t)words[4] << 32,
			   words[2] | (uint64_t)words[5] << 32};
	return err;
}

static int set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct {
		uint32_t version;
		int pid;
	} header = {VERSION_3, 0};
	uint32_t words[6] = {(uint32_t)effective,         (uint32_t)permitted,
			     (uint32_t)inheritable,       (uint32_t)(effective >> 32),
			     (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)};

	return (int)syscall(SYS_capset, &header, words);
}

static bool are(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct sets s;

	return get(&s) == 0 && s.effective == effective && s.permitted == permitted &&
	       s.inheritable == inheritable;
}

static bool status_has(const char *line)
{
	char text[4096] = {};
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	return n > 0 && strstr(text, line);
}

static void versions(void)
{
	struct {
		uint32_t version;
		int pid;
	} h = {0x12345678, 0};
	uint32_t words[6];

	check(syscall(SYS_capget, &h, NULL) == 0 && h.version == VERSION_3, "the version is told");
	h.version = 0x12345678;
	check(syscall(SYS_capget, &h, words) == -1 && errno == EINVAL, "an unknown version");
	h.version = VERSION_1;
	words[3] = 77;
	check(syscall(SYS_capget, &h, words) == 0 && words[0] == UINT32_MAX && words[3] == 77,
	      "version 1 has a word each");
	h.version = VERSION_3;
	h.pid = 99999;
	check(syscall(SYS_capget, &h, words) == -1 && errno == ESRCH, "of nobody");
	h.pid = 1;
	check(syscall(SYS_capget, &h, words) == 0, "of another");
	check(syscall(SYS_capset, &h, words) == -1 && errno == EPERM, "another's are not set");
}

static void capset_rules(void)
{
	check(are(ALL, ALL, 0), "the superuser has all");
	check(status_has("CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\nCapBnd:\t"
			 "000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"),
	      "and /proc tells it");
	check(in_child(_exit(set(B(CHOWN), B(CHOWN) | B(FOWNER), 0) ||
			     !are(B(CHOWN), B(CHOWN) | B(FOWNER), 0))) == 0,
	      "fewer are read back as they were set");
	check(in_child(_exit(set(B(CHOWN), B(CHOWN), 0) || set(ALL, ALL, 0) != -1 ||
			     errno != EPERM)) == 0,
	      "and there is no way back");
	check(in_child(_exit(set(B(CHOWN), B(FOWNER), 0) != -1 || errno != EPERM)) == 0,
	      "effective lies in permitted");
	check(in_child(_exit(set(0, ALL, 0) || set(ALL, ALL, 0))) == 0, "effective comes back");
	check(in_child(_exit(set(B(CHOWN), B(CHOWN), B(FOWNER)) != 0 ||
			     set(B(CHOWN), B(CHOWN), B(FOWNER) | B(SYS_TIME)) != -1)) == 0,
	      "inheritable needs setpcap or permitted");
}

static int tried(long value)
{
	return value < 0 ? errno : 0;
}

/* One of Linux's is not another, where the same of ours stands behind both. */
static void fine_cut(void)
{
	int fd = open("/tmp/credentials-file", O_CREAT | O_WRONLY, 0);
	const char *f = "/tmp/credentials-file";

	close(fd);
	check(chown(f, 1000, 1000) == 0, "a file of another");
	check(in_child(_exit(set(B(CHOWN), B(CHOWN), 0) || tried(chown(f, 1000, 1000)) ||
			     tried(chmod(f, 0)) != EPERM)) == 0,
	      "chown is not fowner");
	check(in_child(_exit(set(B(FOWNER), B(FOWNER), 0) || tried(chmod(f, 0)) ||
			     tried(chown(f, 1001, 1000)) != EPERM)) == 0,
	      "fowner is not chown");
	check(in_child(_exit(set(B(DAC_READ_SEARCH), B(DAC_READ_SEARCH), 0) ||
			     tried(open(f, O_RDONLY)) || tried(open(f, O_WRONLY)) != EACCES)) == 0,
	      "reading all is not writing all");
	check(in_child(_exit(set(B(DAC_OVERRIDE), B(DAC_OVERRIDE), 0) || tried(open(f, O_RDWR)))) ==
		      0,
	      "dac_override is both");
	check(in_child(_exit(set(0, 0, 0) || tried(open(f, O_RDONLY)) != EACCES)) == 0,
	      "user 0 without any is a user");
	check(in_child(_exit(set(B(SETUID), B(SETUID), 0) || tried(setgid(5)) != EPERM ||
			     tried(setuid(5)))) == 0,
	      "setuid is not setgid");
	unlink(f);
}

static void users(void)
{
	check(in_child(_exit(setresuid(1000, 1000, 1000) || !are(0, 0, 0))) == 0,
	      "leaving root drops all");
	check(in_child(_exit(setresuid(-1, 1000, -1) || !are(0, ALL, 0) || setresuid(-1, 0, -1) ||
			     !are(ALL, ALL, 0))) == 0,
	      "leaving it for a while keeps the permitted");
	check(in_child(_exit(prctl(PR_SET_KEEPCAPS, 1) || setresuid(1000, 1000, 1000) ||
			     !are(0, ALL, 0) || set(B(NET_ADMIN), B(NET_ADMIN), 0) ||
			     !are(B(NET_ADMIN), B(NET_ADMIN), 0))) == 0,
	      "KEEPCAPS keeps the permitted, too");
	check(in_child(_exit(prctl(PR_SET_SECUREBITS, 4) || setresuid(1000, 1000, 1000) ||
			     !are(ALL, ALL, 0))) == 0,
	      "without the fixup nothing happens");
	check(in_child(setfsuid(1000); struct sets s; get(&s);
		       _exit((s.effective & (B(DAC_OVERRIDE) | B(CHOWN))) ||
			     !(s.effective & B(SYS_TIME)) || s.permitted != ALL)) == 0,
	      "setfsuid takes those of files");
	check(in_child(setfsuid(1000); setfsuid(0); _exit(!are(ALL, ALL, 0))) == 0,
	      "and gives them back");
	check(prctl(PR_SET_KEEPCAPS, 2) == -1 && errno == EINVAL, "KEEPCAPS is 0 or 1");
}

/* ---- exec ---- */

/* As another program: 0 if the sets are as the arguments say. */
static int are_sets(char **argv)
{
	return !are(strtoull(argv[0], NULL, 16), strtoull(argv[1], NULL, 16),
		    strtoull(argv[2], NULL, 16));
}

static int execute(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	char e[20], p[20], i[20];

	snprintf(e, sizeof(e), "%llx", (unsigned long long)effective);
	snprintf(p, sizeof(p), "%llx", (unsigned long long)permitted);
	snprintf(i, sizeof(i), "%llx", (unsigned long long)inheritable);
	execl(self, self, "are", e, p, i, NULL);
	return 97;
}

static int ambient(int what, int cap)
{
	return prctl(PR_CAP_AMBIENT, what, cap, 0, 0);
}

static void programs(void)
{
	check(in_child(_exit(set(B(CHOWN), B(CHOWN), 0) || execute(ALL, ALL, 0))) == 0,
	      "root's programs have all");
	check(in_child(_exit(prctl(PR_CAPBSET_DROP, SYS_TIME) || prctl(PR_CAPBSET_READ, SYS_TIME) ||
			     execute(ALL & ~B(SYS_TIME), ALL & ~B(SYS_TIME), 0))) == 0,
	      "but those out of bounds");
	check(in_child(_exit(prctl(PR_SET_SECUREBITS, 1) || execute(0, 0, 0))) == 0,
	      "user 0 is nobody with NOROOT");
	check(in_child(_exit(prctl(PR_SET_KEEPCAPS, 1) || setresuid(1000, 1000, 1000) ||
			     set(B(CHOWN), B(CHOWN), 0) || execute(0, 0, 0))) == 0,
	      "a user's programs have none");
	check(in_child(_exit(prctl(PR_SET_KEEPCAPS, 1) || setresuid(1000, 1000, 1000) ||
			     set(B(CHOWN), B(CHOWN), B(CHOWN)) ||
			     ambient(PR_CAP_AMBIENT_RAISE, CHOWN) ||
			     ambient(PR_CAP_AMBIENT_IS_SET, CHOWN) != 1 ||
			     execute(B(CHOWN), B(CHOWN), B(CHOWN)))) == 0,
	      "but the ambient ones");
	check(in_child(_exit(ambient(PR_CAP_AMBIENT_RAISE, CHOWN) != -1 || errno != EPERM)) == 0,
	      "ambient needs inheritable");
	check(in_child(_exit(set(ALL, ALL, B(CHOWN)) || ambient(PR_CAP_AMBIENT_RAISE, CHOWN) ||
			     set(ALL, ALL, 0) || ambient(PR_CAP_AMBIENT_IS_SET, CHOWN))) == 0,
	      "and goes with it");
	check(in_child(_exit(set(ALL, ALL, B(CHOWN)) || ambient(PR_CAP_AMBIENT_RAISE, CHOWN) ||
			     setresuid(1000, 1000, 1000) ||
			     ambient(PR_CAP_AMBIENT_IS_SET, CHOWN))) == 0,
	      "and with the superuser");
	check(in_child(_exit(set(ALL, ALL, B(CHOWN)) || ambient(PR_CAP_AMBIENT_RAISE, CHOWN) ||
			     ambient(PR_CAP_AMBIENT_CLEAR_ALL, 0) ||
			     ambient(PR_CAP_AMBIENT_IS_SET, CHOWN))) == 0,
	      "or is cleared");
	check(in_child(_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || set(B(CHOWN), B(CHOWN), 0) ||
			     execute(B(CHOWN), B(CHOWN), 0))) == 0,
	      "no new privileges: not even root's");
	check(in_child(_exit(set(ALL & ~B(SETPCAP), ALL, 0) ||
			     prctl(PR_CAPBSET_DROP, CHOWN) != -1 || errno != EPERM)) == 0,
	      "bounds need setpcap");
	check(prctl(PR_CAPBSET_READ, 41) == -1 && errno == EINVAL, "there are 41");
	check(in_child(_exit(prctl(PR_SET_SECUREBITS, 3) || prctl(PR_SET_SECUREBITS, 2) != -1 ||
			     errno != EPERM || prctl(PR_GET_SECUREBITS) != 3)) == 0,
	      "locked secure bits stay");
}

/* ---- looking at others ---- */

static pid_t other; /* a process, made by run_as() */

static void run_as(uint32_t real, uint32_t effective, uint32_t saved, int dumpable)
{
	int p[2];
	char byte;

	fflush(stdout);
	if (pipe(p) || (other = fork()) < 0)
		exit(98);
	if (other == 0) {
		if (setresuid(real, effective, saved) ||
		    (dumpable >= 0 && prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0)) ||
		    write(p[1], "x", 1) != 1)
			_exit(99);
		for (;;)
			pause();
	}
	close(p[1]);
	if (read(p[0], &byte, 1) != 1)
		exit(98);
	close(p[0]);
}

static int looked(const char *what)
{
	char path[40], text[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", other, what);
	if (strcmp(what, "maps") != 0)
		return tried(readlink(path, text, sizeof(text)));
	int fd = open(path, O_RDONLY), err = tried(read(fd, text, sizeof(text)));
	close(fd);
	return err;
}

/* What user 1000 gets of it: all four the same. */
static int seen_by_user(void)
{
	if (setgid(1000) || setresuid(1000, 1000, 1000))
		return 97;
	int first = looked("cwd");

	return looked("exe") == first && looked("root") == first && looked("maps") == first ? first
											    : 96;
}

static void looking(void)
{
	static const struct {
		const char *what;
		uint32_t real, effective, saved;
		int dumpable, error;
	} rows[] = {
		{"one's own", 1000, 1000, 1000, 1, 0},
		{"one's own that keeps to itself", 1000, 1000, 1000, 0, EACCES},
		{"one's own that was another", 1000, 1000, 1000, -1, EACCES},
		{"root", 0, 0, 0, 1, EACCES},
		{"who acts as another", 1000, 1001, 1000, 1, EACCES},
		{"who may become another", 1000, 1000, 1001, 1, EACCES},
		{"another", 1001, 1001, 1001, 1, EACCES},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (setgid(1000))
			exit(98);
		run_as(rows[i].real, rows[i].effective, rows[i].saved, rows[i].dumpable);
		int got = in_child(_exit(seen_by_user()));
		check(got == rows[i].error, "a user looks at %s: %s", rows[i].what, strerror(got));
		check(looked("maps") == 0 && looked("cwd") == 0, "root does");
		struct rlimit l;
		got = in_child(_exit(setresuid(1000, 1000, 1000) ||
				     tried(prlimit(other, RLIMIT_CORE, NULL, &l)) == EPERM));
		bool own =
			rows[i].real == 1000 && rows[i].effective == 1000 && rows[i].saved == 1000;
		check(got == (own ? 0 : 1), "its limits");
		kill(other, SIGKILL);
		status_of(other);
	}
}

/* A limit of memory that another process is given holds at once. */
static void limits_of_others(void)
{
	int go[2];
	char byte;

	fflush(stdout);
	if (pipe(go))
		exit(98);
	pid_t child = fork();
	if (child == 0)
		_exit(read(go[0], &byte, 1) != 1 ||
		      mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0) != MAP_FAILED);
	struct rlimit l = {32 << 20, 32 << 20};
	check(prlimit(child, RLIMIT_DATA, &l, NULL) == 0 && write(go[1], "x", 1) == 1,
	      "a limit for another");
	check(status_of(child) == 0, "holds");
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 5 && strcmp(argv[1], "are") == 0)
		return are_sets(argv + 2);
	versions();
	capset_rules();
	fine_cut();
	users();
	programs();
	looking();
	limits_of_others();
	return tap_end();
}
