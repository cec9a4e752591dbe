/*
 * Intents: what may be declared and what is refused, by call and by file; who may; what children get; and
 * under the scheduler `dis`: budgets kept, deadlines met beside hogs, memory budgets, anomalies.
 */
#define _GNU_SOURCE
#include "tap.h"

#include "domaincall.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <tern/tern.h>

#define POLICY "/sys/kernel/sched/policy"
#define MS 1000000ull

/* ---- Helpers ---- */

static long intent(struct tern_intent *i)
{
	i->size = sizeof(*i);
	return syscall(TERN_NR_INTENT, i);
}

static int put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = errno;
	close(fd);
	return err;
}

static char *get_text(const char *path)
{
	static char text[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	n = n > 0 && text[n - 1] == '\n' ? n - 1 : n;
	text[n < 0 ? 0 : n] = 0;
	return text;
}

static long field(const char *path, const char *name)
{
	char *at = strstr(get_text(path), name);

	return at ? atol(at + strlen(name)) : -1;
}

static void compute(uint64_t span)
{
	uint64_t until = cpu_ns() + span;

	while (cpu_ns() < until)
		;
}

/* ---- What is refused ---- */

static const struct {
	const char *text;
	int error;
} texts[] = {
	{"audio_playback", 0},
	{"video_rendering", 0},
	{"ui_thread", 0},
	{"web_server", 0},
	{"database", 0},
	{"compilation", 0},
	{"backup", 0},
	{"gc", 0},
	{"monitoring", 0},
	{"class=critical", 0},
	{"class=realtime", 0},
	{"class=realtime latency=hard:2ms slice=1ms cpu=quota:1ms/10ms", 0},
	{"web_server cpu=percent:20", 0},
	{"preset=database memory=256M", 0},
	{"class=server cpu=shares:2048 flags=numa,no-inherit", 0},
	{"class=batch latency=best-effort slice=1s", 0},
	{"class=interactive latency=bounded:4000000", 0},
	{"none", 0},
	{"", EINVAL},
	{"nonsense", ENOENT},
	{"preset=nonsense", ENOENT},
	{"audio_playback nonsense", EINVAL},
	{"class", ENOENT},
	{"class=", EINVAL},
	{"class=fast", EINVAL},
	{"colour=red", EINVAL},
	{"class=idle latency=soft:1ms", EINVAL},
	{"class=background latency=hard:1ms", EINVAL},
	{"class=server latency=hard:1ms", EINVAL},
	{"class=batch latency=bounded:1ms", EINVAL},
	{"class=realtime latency=best-effort", EINVAL},
	{"class=realtime latency=hard:2ms slice=4ms", EINVAL},
	{"class=realtime latency=soft", EINVAL},
	{"class=realtime latency=soft:", EINVAL},
	{"class=realtime latency=soft:1parsec", EINVAL},
	{"class=realtime latency=soft:0", EINVAL},
	{"class=realtime latency=soft:1", ERANGE},
	{"class=realtime latency=soft:11s", ERANGE},
	{"class=server latency=none:1ms", EINVAL},
	{"class=server slice=1us", ERANGE},
	{"class=server slice=2s", ERANGE},
	{"class=server slice=-1ms", EINVAL},
	{"class=server slice=99999999999999999999s", EINVAL},
	{"cpu=percent:0", ERANGE},
	{"cpu=percent:101", ERANGE},
	{"cpu=percent:1/1ms", ERANGE},
	{"cpu=percent", EINVAL},
	{"cpu=percent:-5", EINVAL},
	{"cpu=quota:5ms", EINVAL},
	{"cpu=quota:11ms/10ms", ERANGE},
	{"cpu=quota:10us/10ms", ERANGE},
	{"cpu=quota:1ms/20s", ERANGE},
	{"cpu=quota:0/10ms", ERANGE},
	{"cpu=shares:1", ERANGE},
	{"cpu=shares:262145", ERANGE},
	{"class=batch cpu=shares:100", EINVAL},
	{"class=realtime cpu=shares:100", EINVAL},
	{"cpu=unlimited:3", EINVAL},
	{"flags=one-core,all-cores", EINVAL},
	{"flags=sideways", EINVAL},
	{"flags=", EINVAL},
	{"memory=1K", ERANGE},
	{"memory=4096G", ERANGE},
	{"memory=much", EINVAL},
	{"memory=64K", ENOMEM},
};

static void bad_texts(void)
{
	char before[400];

	check(put_text("/proc/self/intent", "class=server cpu=shares:3000") == 0, "an intent");
	snprintf(before, sizeof(before), "%s", get_text("/proc/self/intent"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int err = put_text("/proc/self/intent", texts[i].text);
		if (texts[i].text[0] == 0)
			err = EINVAL; /* an empty write reaches nobody */
		bool same = strcmp(before, get_text("/proc/self/intent")) == 0;
		check(err == texts[i].error && (!err || same), "\"%s\": %s", texts[i].text,
		      texts[i].error ? strerror(texts[i].error) : "accepted");
		if (!texts[i].error) {
			char shown[400];
			snprintf(shown, sizeof(shown), "%s", get_text("/proc/self/intent"));
			check(put_text("/proc/self/intent", shown) == 0,
			      "what is shown can be written: %s", shown);
			put_text("/proc/self/intent", "class=server cpu=shares:3000");
		}
	}
	put_text("/proc/self/intent", "none");
	check(strcmp(get_text("/proc/self/intent"), "none") == 0, "none is none");
}

static const struct {
	const char *name;
	struct tern_intent i;
	int error;
} calls[] = {
	{"get", {.op = TERN_INTENT_GET}, 0},
	{"set", {.op = TERN_INTENT_SET, .task_class = TERN_CLASS_BATCH}, 0},
	{"clear", {.op = TERN_INTENT_CLEAR}, 0},
	{"an unknown op", {.op = 4}, EINVAL},
	{"a negative tid", {.tid = -1}, EINVAL},
	{"nobody's tid", {.tid = 99999}, ESRCH},
	{"set for nobody", {.op = TERN_INTENT_SET, .tid = 99999}, ESRCH},
	{"class 8", {.op = TERN_INTENT_SET, .task_class = 8}, EINVAL},
	{"class 256", {.op = TERN_INTENT_SET, .task_class = 256}, EINVAL},
	{"latency 5",
	 {.op = TERN_INTENT_SET, .task_class = 3, .latency = 5, .latency_ns = MS},
	 EINVAL},
	{"budget 4", {.op = TERN_INTENT_SET, .task_class = 3, .budget = 4}, EINVAL},
	{"flags 32", {.op = TERN_INTENT_SET, .task_class = 3, .flags = 32}, EINVAL},
	{"a latency without kind",
	 {.op = TERN_INTENT_SET, .task_class = 3, .latency_ns = MS},
	 EINVAL},
	{"a quota without kind", {.op = TERN_INTENT_SET, .task_class = 3, .quota_ns = MS}, EINVAL},
	{"a quota without period",
	 {.op = TERN_INTENT_SET, .task_class = 3, .budget = TERN_BUDGET_QUOTA, .quota_ns = MS},
	 ERANGE},
	{"a huge quota",
	 {.op = TERN_INTENT_SET,
	  .task_class = 3,
	  .budget = TERN_BUDGET_QUOTA,
	  .quota_ns = UINT64_MAX,
	  .period_ns = UINT64_MAX},
	 ERANGE},
	{"all memory and more",
	 {.op = TERN_INTENT_SET, .task_class = 3, .memory = 1ull << 60},
	 ERANGE},
	{"no preset", {.op = TERN_INTENT_PRESET}, ENOENT},
	{"an unknown preset", {.op = TERN_INTENT_PRESET, .preset = "backups"}, ENOENT},
	{"a preset without end",
	 {.op = TERN_INTENT_PRESET, .preset = "aaaaaaaaaaaaaaaaaaaaaaaa"},
	 EINVAL},
	{"a preset", {.op = TERN_INTENT_PRESET, .preset = "backup"}, 0},
};

static void bad_calls(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct tern_intent in = calls[i].i;
		long r = intent(&in);
		int err = r ? errno : 0;
		check(err == calls[i].error, "505: %s", calls[i].name);
	}
	struct tern_intent got = {.op = TERN_INTENT_GET};
	check(intent(&got) == 0 && got.declared && strcmp(got.preset, "backup") == 0 &&
		      got.task_class == TERN_CLASS_BACKGROUND && got.slice_ns == 100 * MS,
	      "505 tells what holds");
	got.size = 16;
	check(syscall(TERN_NR_INTENT, &got) == -1 && errno == EINVAL, "505: too small");
	got.size = 100000;
	check(syscall(TERN_NR_INTENT, &got) == -1 && errno == E2BIG, "505: too large");
	check(syscall(TERN_NR_INTENT, (void *)-4096l) == -1 && errno == EFAULT, "505: bad address");
	put_text("/proc/self/intent", "none");
}

/* As DI-2 has them. */
static void presets(void)
{
	static const struct {
		const char *name;
		uint32_t task_class, slice_ms, flags;
	} rows[] = {
		{"audio_playback", TERN_CLASS_REALTIME, 1, TERN_INTENT_ONE_CORE},
		{"video_rendering", TERN_CLASS_REALTIME, 2, 0},
		{"ui_thread", TERN_CLASS_INTERACTIVE, 4, TERN_INTENT_BOOT_CPU},
		{"web_server", TERN_CLASS_SERVER, 10, 0},
		{"database", TERN_CLASS_SERVER, 8, TERN_INTENT_NUMA},
		{"compilation", TERN_CLASS_BATCH, 50, TERN_INTENT_ALL_CORES},
		{"backup", TERN_CLASS_BACKGROUND, 100, 0},
		{"gc", TERN_CLASS_BACKGROUND, 20, 0},
		{"monitoring", TERN_CLASS_IDLE, 200, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tern_intent i505 = {.op = TERN_INTENT_PRESET};
		strcpy(i505.preset, rows[i].name);
		check(intent(&i505) == 0 && i505.task_class == rows[i].task_class &&
			      i505.slice_ns == rows[i].slice_ms * MS &&
			      i505.flags == rows[i].flags && !strcmp(i505.preset, rows[i].name),
		      "preset %s", rows[i].name);
	}
	put_text("/proc/self/intent", "none");
}

/* ---- Who may, and who inherits ---- */

static int as_user(void)
{
	struct rlimit none = {0, 0};
	int bad = 0;

	if (setrlimit(RLIMIT_RTPRIO, &none) || setuid(1000))
		return 100;
	bad += put_text("/proc/self/intent", "audio_playback") != EPERM;
	bad += 2 * (put_text("/proc/self/intent", "class=soft-realtime") != EPERM);
	bad += 4 * (put_text("/proc/self/intent", "class=critical") != EPERM);
	bad += 8 * (put_text("/proc/self/intent", "web_server") != 0);
	bad += 16 * (put_text("/proc/1/intent", "web_server") != EPERM);
	bad += 32 * (strcmp(get_text("/proc/self/intent"), "none") == 0);
	return bad;
}

/* What a capability forbids, an intent does not bring back. */
static int without(uint64_t capability, const char *good, const char *bad)
{
	if (put_text("/proc/self/intent", "web_server") || capability_drop(capability))
		return 100;
	if (bad && put_text("/proc/self/intent", bad) != EPERM)
		return 1;
	if (good && put_text("/proc/self/intent", good) != 0)
		return 2;
	struct tern_intent own = {.op = TERN_INTENT_SET, .task_class = TERN_CLASS_INTERACTIVE};
	if (bad && strcmp(bad, "none") == 0 && (intent(&own) == 0 || errno != EPERM))
		return 3;
	return 0;
}

/* A process that loses `cpu` idles, whatever it had declared; and so do its threads to come. */
static int idles(void)
{
	if (put_text("/proc/self/intent", "class=realtime flags=one-core") ||
	    capability_drop(TERN_CAP_BIT(TERN_CAP_CPU)))
		return 100;
	return strcmp(get_text("/proc/self/intent"), "none") != 0 ||
	       syscall(SYS_sched_getscheduler, 0) != SCHED_IDLE ||
	       put_text("/proc/self/intent", "class=critical") != EPERM ||
	       put_text("/proc/self/intent", "class=background") != EPERM ||
	       put_text("/proc/self/intent", "monitoring") != 0;
}

static int user_with_limit(void)
{
	struct rlimit some = {10, 10};

	if (setrlimit(RLIMIT_RTPRIO, &some) || setuid(1000))
		return 100;
	return put_text("/proc/self/intent", "audio_playback");
}

static void *thread_looks(void *arg)
{
	struct tern_intent got = {.op = TERN_INTENT_GET};

	return (void *)(long)(intent(&got) == 0 && got.declared ? (long)got.task_class : -1);
}

static void rights(void)
{
	pthread_t t;
	void *class;

	check(in_child(_exit(as_user())) == 0, "without the right to SCHED_FIFO: no deadlines");
	check(in_child(_exit(user_with_limit())) == 0, "with RLIMIT_RTPRIO: deadlines");
	check(in_child(_exit(without(TERN_CAP_BIT(TERN_CAP_OWN_PRIORITY), NULL, "none"))) == 0,
	      "without own_priority an intent stays as it is");
	check(in_child(_exit(without(TERN_CAP_BIT(TERN_CAP_AFFINITY), "class=server",
				     "class=server flags=one-core"))) == 0,
	      "without affinity nothing is bound");
	int got = in_child(_exit(idles()));
	check(got == 0, "without cpu there is only idling: %d", got);
	put_text("/proc/self/intent", "compilation");
	check(in_child(_exit(strncmp(get_text("/proc/self/intent"), "preset=compilation", 18) !=
			     0)) == 0,
	      "a child inherits");
	pthread_create(&t, NULL, thread_looks, NULL);
	pthread_join(t, &class);
	check((long)class == TERN_CLASS_BATCH, "a thread inherits");
	put_text("/proc/self/intent", "compilation flags=no-inherit");
	check(in_child(_exit(strcmp(get_text("/proc/self/intent"), "none") != 0)) == 0,
	      "unless it shall not");
	cpu_set_t before, now;
	sched_getaffinity(0, sizeof(before), &before);
	put_text("/proc/self/intent", "audio_playback");
	sched_getaffinity(0, sizeof(now), &now);
	check(CPU_COUNT(&now) == 1, "one-core is one CPU");
	check(in_child(cpu_set_t own; sched_getaffinity(0, sizeof(own), &own);
		       _exit(strcmp(get_text("/proc/self/intent"), "none") != 0 ||
			     !CPU_EQUAL(&own, &before))) == 0,
	      "a child of real-time starts without, and unbound");
	put_text("/proc/self/intent", "none");
	sched_getaffinity(0, sizeof(now), &now);
	check(CPU_EQUAL(&now, &before), "without an intent it is unbound again");
}

/* More than 95 % of the CPUs cannot be promised. */
static void promises(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int ready[2], go[2], granted = 0;
	char c;

	if (pipe(ready) || pipe(go))
		exit(1);
	fflush(stdout);
	for (long i = 0; i < cpus * 3; i++)
		if (fork() == 0) {
			close(go[1]);
			int err = put_text("/proc/self/intent",
					   "class=realtime latency=bounded:10ms cpu=quota:4ms/10ms "
					   "flags=one-core");
			c = err == 0 ? 'y' : err == EBUSY ? 'n' : '?';
			if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 0)
				_exit(1);
			_exit(0);
		}
	for (long i = 0; i < cpus * 3; i++)
		granted += read(ready[0], &c, 1) == 1 ? c == 'y' ? 1 : c == 'n' ? 0 : 1000 : 1000;
	check(granted == cpus * 2, "two of 40 %% fit on each CPU, a third is refused (%d)",
	      granted);
	close(go[1]);
	close(go[0]);
	for (long i = 0; i < cpus * 3; i++)
		wait(NULL);
	check(put_text("/proc/self/intent",
		       "class=realtime latency=bounded:10ms cpu=quota:9ms/10ms "
		       "flags=one-core") == 0,
	      "their ends gave all back");
	put_text("/proc/self/intent", "none");
}

/* ---- Budgets ---- */

static void *spin(void *arg)
{
	while (!atomic_load((atomic_bool *)arg))
		;
	return NULL;
}

/* CPU time over ten periods, in thousandths of the quota's. */
static long over_ten_periods(const char *text, uint64_t quota, uint64_t period)
{
	if (put_text("/proc/thread-self/intent", text) && put_text("/proc/self/intent", text))
		return -1;
	compute(quota * 3 / 2); /* into the second period, and held back to its end */
	uint64_t began = now_ns(), used = cpu_ns();
	while (now_ns() - began < 10 * period)
		;
	used = cpu_ns() - used;
	uint64_t took = now_ns() - began;
	put_text("/proc/self/intent", "none");
	return (long)(used * 1000 / (quota * took / period));
}

static void budgets(void)
{
	static const struct {
		const char *text;
		uint64_t quota, period;
	} rows[] = {
		{"class=batch cpu=quota:20ms/100ms", 20 * MS, 100 * MS},
		{"class=server cpu=quota:10ms/50ms", 10 * MS, 50 * MS},
		{"class=realtime latency=bounded:50ms cpu=percent:30/100ms", 30 * MS, 100 * MS},
		{"class=idle cpu=percent:50", 50 * MS, 100 * MS},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* The least of three: what the host takes from a CPU counts as used. Where time is counted
		 * instructions it is exact: exact_budgets(). */
		long s[3];
		for (int k = 0; k < 3; k++)
			s[k] = over_ten_periods(rows[i].text, rows[i].quota, rows[i].period);
		long share = s[0] < s[1] ? s[0] : s[1];
		share = s[2] < share ? s[2] : share;
		printf("# %s: %ld %ld %ld thousandths\n", rows[i].text, s[0], s[1], s[2]);
		check(share >= 0 && share <= 1020, "%s is kept over ten periods", rows[i].text);
	}
	check(field("/proc/self/sched", "dis_throttles : ") > 20, "it was held back");
}

/* Who is over its budget is held back where it holds nothing that others wait for, and not from its end. */
static void held_with_nothing(void)
{
	static char bytes[1 << 20];
	uint64_t longest = 0, began;
	int fd = open("held", O_RDWR | O_CREAT | O_TRUNC, 0600);
	pid_t pid = fork();

	if (pid == 0) {
		if (put_text("/proc/self/intent", "class=server cpu=quota:5ms/3s"))
			_exit(1);
		for (;;)
			if (pwrite(fd, bytes, sizeof(bytes), 0) < 0)
				_exit(2);
	}
	for (int i = 0; i < 20; i++) {
		usleep(20000);
		began = now_ns();
		if (pwrite(fd, "x", 1, 0) != 1)
			longest = UINT64_MAX;
		uint64_t took = now_ns() - began;
		longest = took > longest ? took : longest;
	}
	check(longest < 1000 * MS, "who is held has no file locked (%lu us)",
	      (unsigned long)(longest / 1000));
	began = now_ns();
	kill(pid, SIGKILL);
	check(status_of(pid) == 128 + SIGKILL && now_ns() - began < 1000 * MS,
	      "who is held ends when it is killed");
	close(fd);
	unlink("held");
}

/* Entering a domain sets limits anew; the budget is among them. */
static int memory_in_domain(void)
{
	return put_text("/proc/self/intent", "class=server memory=32M") || domain_enter("user") ||
	       mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		       MAP_FAILED;
}

static int memory_child(void)
{
	char *p;
	int bad = 0;

	if (put_text("/proc/self/intent", "class=server memory=32M"))
		return 100;
	p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bad += !(p == MAP_FAILED && errno == ENOMEM);
	p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bad += 2 * (p == MAP_FAILED);
	if (p != MAP_FAILED)
		memset(p, 1, 8 << 20);
	bad += 4 * (sbrk(64 << 20) != (void *)-1);
	bad += 8 * !(in_child(_exit(mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)) == 1);
	bad += 16 * (put_text("/proc/self/intent", "class=server memory=1M") != ENOMEM);
	bad += 32 * (put_text("/proc/self/intent", "none") != 0);
	p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bad += 64 * (p == MAP_FAILED);
	return bad;
}

/* ---- Under load ---- */

static atomic_bool stop;

static void deadlines(void)
{
	pthread_t hogs[8];
	struct sched_param none = {0};

	for (int i = 0; i < 8; i++)
		pthread_create(&hogs[i], NULL, spin, &stop);
	check(put_text("/proc/self/intent", "audio_playback") == 0, "audio beside eight hogs");
	struct tern_intent got = {.op = TERN_INTENT_GET};
	intent(&got);
	uint64_t before = got.deadlines;
	for (int i = 0; i < 50; i++) {
		usleep(4500);
		compute(MS / 2);
	}
	intent(&got);
	check(got.deadlines - before >= 40, "its deadlines are counted");
	/* How many are kept is measured with counted time (./tern bench): here the host's load is in it. */
	printf("# %lu of %lu missed\n", (long)got.misses, (long)got.deadlines);
	put_text("/proc/self/intent", "none");
	sched_setscheduler(0, SCHED_OTHER, &none);
	atomic_store(&stop, true);
	for (int i = 0; i < 8; i++)
		pthread_join(hogs[i], NULL);
}

/* Since there were `before` anomalies, one of the length of runs has come. */
static bool run_flagged(long before)
{
	return field("/proc/self/sched", "dis_anomalies : ") > before &&
	       strstr(get_text("/proc/self/sched"), "dis_anomaly_run : from ");
}

/* Runs in turns of 1 and 6 ms: foretold, and much better than by the length of the last one. */
static void *in_turns(void *arg)
{
	for (int i = 0; i < 120; i++) {
		compute(i % 2 ? MS : 6 * MS);
		usleep(1000);
	}
	const char *own = "/proc/thread-self/sched";
	long error = field(own, "dis_run_error_thousandths : "),
	     naive = field(own, "dis_run_naive_thousandths : ");
	check(error >= 0 && error < naive * 6 / 10,
	      "runs in turns are foretold: %ld thousandths wrong, as long as the last %ld", error,
	      naive);
	return arg;
}

static void recording(void)
{
	const char *file = "/sys/kernel/sched/dis/trace";
	char own[32];

	check(put_text(file, "4097") == EINVAL && put_text(file, "x") == EINVAL &&
		      put_text(file, "-1") == EINVAL && put_text(file, "99999999") == EINVAL,
	      "what is no number of runs is refused");
	check(put_text(file, "40") == 0, "runs are recorded");
	for (int i = 0; i < 10; i++)
		usleep(1000);
	snprintf(own, sizeof(own), "\n%d ", getpid());
	int mine = 0;
	for (char *at = get_text(file); (at = strstr(at + 1, own)); mine++)
		check(strstr(at, " timer ") && strstr(at, " intents"), "a run of its own");
	check(mine >= 5, "they can be read (%d)", mine);
	check(put_text(file, "0") == 0 &&
		      strcmp(get_text(file), "tid ran waited slept why pages name") == 0,
	      "and forgotten");
}

/* A habit of 2 ms every 4 ms, then much longer ones: flagged. */
static void learning(void)
{
	for (int i = 0; i < 60; i++) {
		compute(MS);
		usleep(3000);
	}
	check(strstr(get_text("/proc/self/sched"), "dis_behaviour : ") &&
		      !strstr(get_text("/proc/self/sched"), "dis_behaviour : unknown"),
	      "its behaviour has a name");
	long samples = field("/proc/self/sched", "dis_samples : ");
	check(samples >= 55, "its runs are learnt");
	long predicted = field("/proc/self/sched", "dis_predicted_run_ns : ");
	check(predicted > 500000 && predicted < 20000000, "the next run is foretold (%ld ns)",
	      predicted);
	long before = field("/proc/self/sched", "dis_anomalies : ");
	/* How far is far depends on how regular the habit was, and an emulator's is not very. */
	for (uint64_t run = 60 * MS; run < 1000 * MS; run *= 2)
		for (int i = 0; i < 4 && !run_flagged(before); i++) {
			compute(run);
			usleep(3000);
		}
	check(run_flagged(before), "a departure from the habit is flagged");
}

static void strategies(void)
{
	static const char *const names[] = {"slice", "priority", "affinity", "energy"};

	for (int i = 0; i < 4; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/sys/kernel/sched/dis/%s", names[i]);
		long was = field(path, "");
		check((was == 0 || was == 1) && put_text(path, "0") == 0 && field(path, "") == 0 &&
			      put_text(path, "1") == 0 && field(path, "") == 1,
		      "strategy %s is switched", names[i]);
		check(put_text(path, "2") == EINVAL && put_text(path, "on") == EINVAL, "%s: 2, on",
		      path);
		usleep(60000);
		put_text(path, was ? "1" : "0");
	}
}

static uint64_t throttles(void)
{
	struct tern_intent got = {.op = TERN_INTENT_GET};

	intent(&got);
	return got.throttles;
}

/* From the end of one time of being held back to that of the tenth after it: CPU time in thousandths of ten quotas, and
 * in *took the time in thousandths of ten periods. */
static long ten_turns(uint64_t quota, uint64_t period, long *took)
{
	uint64_t first = throttles(), last;

	do
		last = throttles();
	while (last == first);
	uint64_t began = now_ns(), used = cpu_ns();
	first = last;
	while (throttles() < first + 10)
		;
	*took = (long)((now_ns() - began) * 100 / period);
	return (long)((cpu_ns() - used) * 100 / quota);
}

/* With counted instructions as time: within 2 % up and down over ten periods. (Beside others:
 * tests/host/exec_dis.c.) */
static int exact_budgets(void)
{
	static const struct {
		const char *text;
		uint64_t quota, period;
	} rows[] = {
		{"class=batch cpu=quota:2ms/10ms", 2 * MS, 10 * MS},
		{"class=server cpu=percent:30/10ms", 3 * MS, 10 * MS},
		{"class=interactive cpu=quota:1ms/5ms", MS, 5 * MS},
		{"class=realtime latency=bounded:4ms cpu=quota:1ms/4ms", MS, 4 * MS},
	};
	long took;

	check(put_text(POLICY, "dis") == 0, "dis");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_text("/proc/self/intent", rows[i].text);
		compute(2 * rows[i].quota); /* what the first turn is too long, the next ones pay */
		long used = ten_turns(rows[i].quota, rows[i].period, &took);
		check(used >= 980 && used <= 1020 && took >= 980 && took <= 1020,
		      "%s: %ld thousandths of ten quotas in %ld of ten periods", rows[i].text, used,
		      took);
		put_text("/proc/self/intent", "none");
	}
	return tap_end();
}

int main(int argc, char **argv)
{
	char was[32];

	if (access(POLICY, F_OK) != 0)
		return 0; /* not this kernel */
	if (argc == 2 && strcmp(argv[1], "exact") == 0)
		return exact_budgets();
	snprintf(was, sizeof(was), "%s", get_text(POLICY));
	bad_texts();
	bad_calls();
	presets();
	rights();
	promises();
	check(in_child(_exit(memory_child())) == 0, "a memory budget is kept");
	check(in_child(_exit(memory_in_domain())) == 0, "also in another domain");
	check(put_text(POLICY, "dis") == 0, "dis");
	budgets();
	held_with_nothing();
	deadlines();
	learning();
	pthread_t turns;
	pthread_create(&turns, NULL, in_turns, NULL);
	pthread_join(turns, NULL);
	recording();
	strategies();
	check(put_text(POLICY, was) == 0, "the first scheduler again");
	return tap_end();
}
