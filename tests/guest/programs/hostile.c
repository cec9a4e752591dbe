/*
 * System calls with arguments that no program should pass: wild pointers, huge lengths, negative
 * descriptors, every number. Each round runs in a child, which may die; the machine may not.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static char *area; /* two pages, then nothing */

static long wild(void)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		3,
		8,
		255,
		4095,
		4096,
		4097,
		65536,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x7fffffffffff,
		0x800000000000,
		0x7ffffffffffff000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xffff800000000000,
		0xffffffc000000000,
		0xffffffff80000000,
		0xfffffffffffff000,
		0xfffffffffffffff8,
		(uint64_t)-1,
		(uint64_t)-2,
		(uint64_t)-100,
	};
	uint64_t r = next();

	switch (r % 8) {
	case 0:
		return (long)next();
	case 1:
		return (long)(area + (r >> 8) % 8192);
	case 2:
		return (long)(area + 8192 - (r >> 8) % 16); /* runs over the end */
	case 3:
		return (long)((r >> 8) % 64);
	default:
		return (long)values[(r >> 8) % (sizeof(values) / sizeof(values[0]))];
	}
}

/* Calls that end, stop or block the caller, another program or the machine by design. */
static bool left_out(long number)
{
	static const long numbers[] = {
		SYS_exit,
		SYS_exit_group,
		SYS_rt_sigreturn,
		SYS_reboot,
		SYS_clone,
		SYS_vhangup,
		SYS_kill,
		SYS_tkill,
		SYS_tgkill,
		SYS_rt_sigqueueinfo,
		SYS_rt_tgsigqueueinfo,
		SYS_mount,
		SYS_umount2,
		SYS_pivot_root,
		SYS_chroot,
		SYS_sethostname,
		SYS_settimeofday,
		SYS_clock_settime,
		SYS_prlimit64,
		SYS_syslog,
		SYS_process_vm_writev,
		SYS_setpriority,
		SYS_sched_setaffinity,
		SYS_sched_setparam,
		SYS_sched_setscheduler,
		SYS_sched_setattr,
#ifdef SYS_fork
		SYS_fork,
		SYS_vfork,
		SYS_pause,
#endif
#ifdef SYS_clone3
		SYS_clone3,
#endif
#ifdef SYS_pidfd_send_signal
		SYS_pidfd_send_signal,
#endif
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i] == number)
			return true;
	return number == 9999;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
}

/* Waits for a child that may sleep for ever: after `limit_ms` it is killed. */
static int status_within(pid_t pid, int limit_ms)
{
	int status;

	for (int ms = 0; ms < limit_ms; ms++) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (got < 0)
			return -1;
		sleep_ms(1);
	}
	kill(pid, SIGKILL);
	return status_of(pid);
}

static int attack(long number, int rounds)
{
	pid_t pid = fork();

	if (pid == 0) {
		leave_terminal();
		for (int i = 0; i < rounds; i++)
			syscall(number, wild(), wild(), wild(), wild(), wild(), wild());
		_exit(0);
	}
	return status_within(pid, 300);
}

static int attack_with_all(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		leave_terminal();
		for (uint64_t end = now_ns() + 1000000000u; now_ns() < end;) {
			long number = (long)(next() % 470);
			if (!left_out(number))
				syscall(number, wild(), wild(), wild(), wild(), wild(), wild());
		}
		_exit(0);
	}
	return status_within(pid, 1500);
}

/* ---- Tern's own calls: structures of the right size with nonsense in them ---- */

#define OWN_FIRST 500
#define OWN_LAST 506

/* Names and numbers at any place: of slots, providers, devices, presets, domains, operations. */
static void fill(uint32_t *words, size_t count)
{
	static const char *const names[] = {"scheduler",      "dis",    "heap",  "ram0", "hang",
					    "audio_playback", "system", "switch"};

	for (size_t i = 0; i < count; i++) {
		uint64_t r = next();
		words[i] = r % 4 == 0 ? (uint32_t)wild() : r % 4 == 1 ? (uint32_t)(r >> 8) % 12 : 0;
		if (r % 16 == 15 && i + 6 < count) {
			strncpy((char *)&words[i], names[(r >> 8) % 8], 24);
			i += 5;
		}
	}
}

static int attack_own(long number, unsigned ms)
{
	static const uint32_t sizes[] = {80, 296, 264, 112, 232, 136, 232};
	pid_t pid = fork();

	if (pid == 0) {
		uint32_t words[1024];
		leave_terminal();
		/* Whoever has the right to may well end the machine by some of these. */
		if (setresuid(65534, 65534, 65534))
			_exit(98);
		for (uint64_t end = now_ns() + ms * 1000000u; now_ns() < end;) {
			fill(words, 80);
			words[0] = next() % 8 ? sizes[number - OWN_FIRST] : (uint32_t)wild();
			syscall(number, words);
		}
		_exit(0);
	}
	/* One call may start a thousand threads. */
	return status_within(pid, 30 * (int)ms);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 40;
	int fine = 0, dead = 0, lost = 0;
	char folder[] = "hostile.XXXXXX";

	if (!mkdtemp(folder) || chdir(folder))
		return 99;
	area = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(area + 8192, 4096);
	memset(area, 'a', 8192);
	for (long number = 0; number < 470; number++) {
		if (left_out(number))
			continue;
		next();
		int status = attack(number, rounds);
		if (status < 0)
			lost++;
		else if (status == 0)
			fine++;
		else
			dead++;
	}
	check(fine > dead && lost == 0,
	      "all calls took hostile arguments (%d fine, %d killed, %d lost)", fine, dead, lost);
	for (int i = 0; i < 3; i++) {
		next();
		check(attack_with_all() >= 0, "and in any order");
	}
	for (long number = OWN_FIRST; number <= OWN_LAST; number++)
		check(attack_own(number, 200) == 0, "call %ld took nonsense", number);
	check(in_child(_exit(3)) == 3, "the kernel is alive");
	return tap_end();
}
