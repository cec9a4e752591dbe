/*
 * tern-ctl: asks the kernel through its own calls (<tern/tern.h>).
 *
 *	tern-ctl info               what runs
 *	tern-ctl stats              what the scheduler did, by CPU
 *	tern-ctl bench              the measurements there are
 *	tern-ctl bench NAME [N]     one of them, N rounds
 *	tern-ctl domain             the domain and capabilities of who asks
 *	tern-ctl domain NAME        that domain
 *	tern-ctl domain NAME -- PROGRAM [ARGUMENT...]   runs it there: for good, there is no way back
 *	tern-ctl intent             the intent of who asks
 *	tern-ctl intent TEXT [-- PROGRAM [ARGUMENT...]]   whether TEXT is accepted, or runs a program with it
 *	tern-ctl slots              what can be exchanged, and what the exchanges cost
 *	tern-ctl swap SLOT PROVIDER exchanges one
 *	tern-ctl heal ...           what is watched and healed (ctl_heal.c)
 *
 * Statuses: 0; 1 if the kernel refused; 2 if the arguments are wrong.
 */
#include "ctl.h"
#include "lib/sys.h"

#include <tern/domain.h>
#include <tern/tern.h>

#define E_PERM 1
#define E_INTR 4
#define E_IO 5
#define E_NOMEM 12
#define E_BUSY 16
#define E_INVAL 22
#define E_RANGE 34
#define E_NOSYS 38
#define E_OPNOTSUPP 95
#define E_TIMEDOUT 110

static const char usage[] =
	"usage: tern-ctl info | stats | bench [NAME [ROUNDS]] | slots | swap SLOT PROVIDER |\n"
	"       domain [NAME [-- PROGRAM [ARGUMENT...]]] | heal [...] (heal help) |\n"
	"       intent [TEXT [-- PROGRAM [ARGUMENT...]]]\n";

int failed(const char *what, const char *why)
{
	print(2, "tern-ctl: ");
	print(2, what);
	print(2, ": ");
	print(2, why);
	print(2, "\n");
	return 1;
}

int refused(const char *what, long err)
{
	static const struct {
		int error;
		const char *why;
	} reasons[] = {{E_PERM, "that is for the privileged"},
		       {E_NOENT, "there is none"},
		       {E_IO, "input or output failed"},
		       {E_NOMEM, "not enough memory"},
		       {E_BUSY, "it is in use"},
		       {E_INVAL, "the kernel does not accept that"},
		       {E_NOSYS, "this kernel has no such call"},
		       {E_OPNOTSUPP, "not possible with that"}};
	char number[] = "error 000";

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (err == -reasons[i].error)
			return failed(what, reasons[i].why);
	for (size_t i = 8; i > 5; i--, err /= 10)
		number[i] = (char)('0' - err % 10);
	return failed(what, number);
}

static void number_line(const char *name, unsigned long value, const char *unit)
{
	print(1, name);
	print(1, " ");
	print_number(1, value);
	print(1, unit);
	print(1, "\n");
}

static void text_line(const char *name, const char *value)
{
	print(1, name);
	print(1, " ");
	print(1, value);
	print(1, "\n");
}

static int info(void)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} features[] = {
		{TERN_FEATURE_SCHED_STATS, " sched-stats"},
		{TERN_FEATURE_HOT_RELOAD, " hot-reload"},
		{TERN_FEATURE_SELF_HEAL, " self-heal"},
		{TERN_FEATURE_BENCHMARK, " benchmark"},
		{TERN_FEATURE_INFO, " info"},
		{TERN_FEATURE_LOCK_CHECKS, " lock-checks"},
	};
	struct tern_info i = {.size = sizeof(i)};
	long err = SYS(TERN_NR_INFO, &i, 0, 0, 0, 0);

	if (err < 0)
		return refused("info", err);
	text_line("version", i.version);
	text_line("release", i.release);
	text_line("machine", i.machine);
	text_line("build", i.build);
	text_line("compiler", i.compiler);
	text_line("profile", i.profile[0] ? i.profile : "-");
	text_line("scheduler", i.scheduler);
	text_line("frames", i.frames);
	number_line("cpus", i.cpus, "");
	number_line("boot", (unsigned long)(i.boot_ns / 1000), " us");
	print(1, "features");
	for (size_t n = 0; n < sizeof(features) / sizeof(features[0]); n++)
		if (i.features & features[n].bit)
			print(1, features[n].name);
	print(1, "\n");
	return 0;
}

static void stats_line(const char *name, const struct tern_sched_stats *s)
{
	print(1, name);
	number_line(" user", (unsigned long)(s->user_ns / 1000000), " ms");
	print(1, name);
	number_line(" system", (unsigned long)(s->system_ns / 1000000), " ms");
	print(1, name);
	number_line(" idle", (unsigned long)(s->idle_ns / 1000000), " ms");
	print(1, name);
	number_line(" ready", s->ready, "");
	print(1, name);
	number_line(" switches", (unsigned long)s->switches, "");
	print(1, name);
	number_line(" migrations", (unsigned long)s->migrations, "");
	print(1, name);
	number_line(" pulls", (unsigned long)s->pulls, "");
}

static int stats(void)
{
	struct tern_sched_stats s = {.size = sizeof(s), .cpu = TERN_ALL_CPUS};
	char name[] = "cpu00";
	long err = SYS(TERN_NR_SCHED_STATS, &s, 0, 0, 0, 0);

	if (err < 0)
		return refused("stats", err);
	text_line("scheduler", s.scheduler);
	number_line("cpus", s.cpus, "");
	stats_line("all", &s);
	for (uint32_t cpu = 0; cpu < 64; cpu++) {
		s = (struct tern_sched_stats){.size = sizeof(s), .cpu = cpu};
		if (SYS(TERN_NR_SCHED_STATS, &s, 0, 0, 0, 0) < 0)
			continue;
		name[3] = (char)('0' + cpu / 10);
		name[4] = (char)('0' + cpu % 10);
		stats_line(name, &s);
	}
	return 0;
}

static int bench_list(void)
{
	for (uint32_t i = 0;; i++) {
		struct tern_benchmark b = {.size = sizeof(b), .index = i};
		long err = SYS(TERN_NR_BENCHMARK, &b, 0, 0, 0, 0);
		if (err == -E_NOENT)
			return 0;
		if (err < 0)
			return refused("bench", err);
		text_line(b.name, b.what);
	}
}

static int bench(const char *name, const char *rounds)
{
	struct tern_benchmark b = {.size = sizeof(b)};
	size_t length = text_length(name);

	for (; rounds && *rounds; rounds++) {
		if (*rounds < '0' || *rounds > '9' || b.rounds > 100000000) {
			print(2, usage);
			return 2;
		}
		b.rounds = b.rounds * 10 + (uint64_t)(*rounds - '0');
	}
	long err = -E_NOENT;
	if (length > 0 && length < sizeof(b.name)) {
		memcpy(b.name, name, length);
		err = SYS(TERN_NR_BENCHMARK, &b, 0, 0, 0, 0);
	}
	if (err == -E_NOENT)
		return failed("bench", "there is no such measurement (tern-ctl bench lists them)");
	if (err < 0)
		return refused("bench", err);
	unsigned long tenths = (unsigned long)(b.total_ns * 10 / b.rounds);
	print(1, b.name);
	print(1, " ");
	print_number(1, tenths / 10);
	print(1, ".");
	print_number(1, tenths % 10);
	print(1, " ns (");
	print_number(1, (unsigned long)b.rounds);
	print(1, " rounds): ");
	print(1, b.what);
	print(1, "\n");
	return 0;
}

/* ---- Domains ---- */

static void print_hex(const char *name, uint64_t value)
{
	char digits[17] = {};

	for (int i = 15; i >= 0; i--, value >>= 4)
		digits[i] = "0123456789abcdef"[value & 15];
	text_line(name, digits);
}

static int domain_refused(const char *what, long err)
{
	return err == -E_PERM ? failed(what, "not from this domain") : refused(what, err);
}

static int domain_show(const char *name)
{
	static const char *const executions[] = {"kernel", "user", "driver", "sandbox"};
	static const char *const levels[] = {"none", "light", "standard", "strict", "paranoid"};
	struct tern_domain d = {.size = sizeof(d), .operation = TERN_DOMAIN_QUERY};

	if (name)
		memcpy(d.name, name, text_length(name));
	long err = SYS(TERN_NR_DOMAIN, &d, 0, 0, 0, 0);
	if (err < 0)
		return domain_refused(name ? name : "domain", err);
	text_line("domain", d.name);
	text_line("execution", executions[d.execution % 4]);
	text_line("isolation", levels[d.isolation % 5]);
	number_line("processes", d.processes, "");
	number_line("threads", d.threads, "");
	number_line("refused calls", (unsigned long)d.denied_calls, "");
	number_line("refused accesses", (unsigned long)d.denied_access, "");
	print_hex("capabilities", d.capabilities);
	if (name)
		return 0;
	print_hex("effective", d.effective);
	print_hex("permitted", d.permitted);
	print_hex("inheritable", d.inheritable);
	print_hex("bounding", d.bounding);
	return 0;
}

/* As a shell looks for it: in PATH, or where the name says. */
static long execute(char **argv, char **envp)
{
	static const char *const folders[] = {"/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"};
	char path[256];
	size_t length = text_length(argv[0]);
	long err = -E_NOENT;

	for (size_t i = 0; i < length; i++)
		if (argv[0][i] == '/')
			return SYS(NR_execve, argv[0], argv, envp, 0, 0);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && err == -E_NOENT; i++) {
		size_t folder = text_length(folders[i]);
		if (folder + length + 1 > sizeof(path))
			return -E_NOENT;
		memcpy(path, folders[i], folder);
		memcpy(path + folder, argv[0], length + 1);
		err = SYS(NR_execve, path, argv, envp, 0, 0);
	}
	return err;
}

static int domain(int argc, char **argv, char **envp)
{
	const char *name = argc > 2 ? argv[2] : NULL;

	if (name && text_length(name) >= TERN_DOMAIN_NAME)
		return refused("domain", -E_INVAL);
	if (argc <= 3)
		return domain_show(name);
	if (!text_equal(argv[3], "--") || argc < 5) {
		print(2, usage);
		return 2;
	}
	struct tern_domain d = {.size = sizeof(d), .operation = TERN_DOMAIN_ENTER};
	memcpy(d.name, name, text_length(name));
	long err = SYS(TERN_NR_DOMAIN, &d, 0, 0, 0, 0);
	if (err < 0)
		return domain_refused(name, err);
	err = execute(argv + 4, envp);
	return domain_refused(argv[4], err);
}

/* ---- Intents ---- */

static int intent_refused(long err)
{
	const char *why =
		err == -E_NOENT
			? "no such preset: audio_playback video_rendering ui_thread web_server "
			  "database compilation backup gc monitoring"
		: err == -E_INVAL ? "it contradicts itself, or has a word that is none"
		: err == -E_RANGE ? "a budget or time that cannot be kept"
		: err == -E_PERM
			? "that is for who may use SCHED_FIFO, or the domain has not the right"
		: err == -E_BUSY  ? "the CPUs have been promised to others"
		: err == -E_NOMEM ? "less memory than the process has"
				  : NULL;

	return why ? failed("intent", why) : refused("intent", err);
}

static int intent(int argc, char **argv, char **envp)
{
	char text[400];

	if (argc > 3 && (!text_equal(argv[3], "--") || argc < 5)) {
		print(2, usage);
		return 2;
	}
	if (argc > 2) {
		long to = sys_open("/proc/self/intent", OPEN_WRITE);
		long err = to < 0 ? to : sys_write((int)to, argv[2], text_length(argv[2]));
		if (err < 0)
			return intent_refused(err);
		sys_close((int)to);
	}
	if (argc > 4)
		return domain_refused(argv[4], execute(argv + 4, envp));
	long from = sys_open("/proc/self/intent", OPEN_READ);
	long n = from < 0 ? from : sys_read((int)from, text, sizeof(text));
	if (n < 0)
		return intent_refused(n);
	sys_write(1, text, (size_t)n);
	return 0;
}

/* ---- Slots ---- */

static bool slot_get(uint32_t index, struct tern_hot_reload *s)
{
	*s = (struct tern_hot_reload){
		.size = sizeof(*s), .flags = TERN_RELOAD_LIST, .index = index};
	return SYS(TERN_NR_HOT_RELOAD, s, 0, 0, 0, 0) == 0;
}

static void pause_text(const char *name, uint64_t ns)
{
	print(1, name);
	print_number(1, (unsigned long)(ns / 1000));
	print(1, ".");
	print_number(1, (unsigned long)(ns / 100 % 10));
}

static void slot_line(const struct tern_hot_reload *s)
{
	print(1, s->slot);
	print(1, " ");
	print(1, s->provider);
	print(1, " (");
	print(1, s->providers);
	print(1, ") swaps ");
	print_number(1, (unsigned long)s->swaps);
	print(1, " rolled-back ");
	print_number(1, (unsigned long)s->rollbacks);
	pause_text(" pause-us last ", s->pause_last);
	pause_text(" median ", s->pause_median);
	pause_text(" max ", s->pause_max);
	print(1, "\n");
}

static int slots(void)
{
	struct tern_hot_reload s = {.size = sizeof(s), .flags = TERN_RELOAD_LIST};
	long err = SYS(TERN_NR_HOT_RELOAD, &s, 0, 0, 0, 0);

	if (err < 0 && err != -E_NOENT)
		return refused("slots", err);
	for (uint32_t i = 0; slot_get(i, &s); i++)
		slot_line(&s);
	return 0;
}

/* Which of the two names the kernel does not know. */
static const char *unknown(const char *slot)
{
	struct tern_hot_reload s;

	for (uint32_t i = 0; slot_get(i, &s); i++)
		if (text_equal(s.slot, slot))
			return "the slot has no such provider (tern-ctl slots lists them)";
	return "there is no such slot (tern-ctl slots lists them)";
}

static int swap(const char *slot, const char *provider)
{
	struct tern_hot_reload s = {.size = sizeof(s)};
	size_t slot_length = text_length(slot), provider_length = text_length(provider);
	long err = -E_NOENT;

	if (slot_length < sizeof(s.slot) && provider_length < sizeof(s.provider)) {
		memcpy(s.slot, slot, slot_length);
		memcpy(s.provider, provider, provider_length);
		err = SYS(TERN_NR_HOT_RELOAD, &s, 0, 0, 0, 0);
	}
	if (err == 0) {
		slot_line(&s);
		return 0;
	}
	const char *why = err == -E_NOENT       ? unknown(slot)
			  : err == -E_OPNOTSUPP ? "that provider cannot take over a running machine"
			  : err == -E_BUSY      ? "the slot is being swapped already"
			  : err == -E_INTR      ? "interrupted while the slot was being healed"
			  : err == -E_TIMEDOUT  ? "the old provider did not become quiet, and stays"
			  : err == -E_IO        ? "a step failed, the old provider stays"
						: NULL;
	return why ? failed("swap", why) : refused("swap", err);
}

int main(int argc, char **argv, char **envp)
{
	if (argc == 2 && text_equal(argv[1], "info"))
		return info();
	if (argc == 2 && text_equal(argv[1], "stats"))
		return stats();
	if (argc == 2 && text_equal(argv[1], "bench"))
		return bench_list();
	if ((argc == 3 || argc == 4) && text_equal(argv[1], "bench"))
		return bench(argv[2], argc == 4 ? argv[3] : NULL);
	if (argc >= 2 && text_equal(argv[1], "domain"))
		return domain(argc, argv, envp);
	if (argc >= 2 && text_equal(argv[1], "intent"))
		return intent(argc, argv, envp);
	if (argc == 2 && text_equal(argv[1], "slots"))
		return slots();
	if (argc == 4 && text_equal(argv[1], "swap"))
		return swap(argv[2], argv[3]);
	if (argc >= 2 && text_equal(argv[1], "heal"))
		return ctl_heal(argc - 2, argv + 2);
	print(argc == 2 && text_equal(argv[1], "help") ? 1 : 2, usage);
	return argc == 2 && text_equal(argv[1], "help") ? 0 : 2;
}
