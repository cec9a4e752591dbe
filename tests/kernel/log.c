/* Self-tests of the log ring, symbols, the command line, init records and random numbers. */
#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/random.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>
#include <lib/format.h>

/* ---- Log ------------------------------------------------------------------------------------ */

#define MARK "ktest-log "

/* "ktest-log CPU N xxxx", with (N % 200) x. */
static void log_lines(cpu_t cpu, void *arg)
{
	char fill[201];

	memset(fill, 'x', sizeof(fill));
	for (unsigned n = 0; n < *(unsigned *)arg; n++)
		log_write(LOG_DEBUG, MARK "%u %u %.*s", cpu, n, (int)(n % 200), fill);
}

/* Checks a text that log_lines() wrote; false: it is another's. */
static bool line_check(const char *text, cpu_t *cpu, uint64_t *n)
{
	const char *at = strstr(text, MARK), *end;

	if (!at)
		return false;
	*cpu = (cpu_t)str_to_u64(at + strlen(MARK), &end, 10);
	*n = str_to_u64(end + 1, &end, 10);
	size_t fill = 0;
	for (end++; end[fill] == 'x'; fill++)
		;
	EXPECT_EQ(fill, *n % 200);
	EXPECT_EQ(end[fill], '\n');
	return true;
}

KERNEL_TEST(log_ring_wraps_and_stays_whole)
{
	static uint64_t last[CPU_MAX];
	uint64_t sequence = 0, before = log_next_seq(), seen = 0;
	unsigned each = 1500; /* more than the ring holds */
	char text[400];

	memset(last, 0, sizeof(last));
	log_set_console_level(LOG_ERR);
	ktest_on_all_cpus(log_lines, &each);
	EXPECT(log_first_seq() > 0);
	EXPECT(log_next_seq() >= before + (uint64_t)each * ktest_cpu_count());
	uint64_t expected = log_first_seq();
	while (log_read(&sequence, text, sizeof(text), true) > 0) {
		EXPECT(sequence > expected); /* none is seen twice */
		expected = sequence;
		EXPECT_EQ(text[0], '<');
		cpu_t cpu;
		uint64_t n;
		if (!line_check(text, &cpu, &n) || cpu >= CPU_MAX)
			continue;
		EXPECT(n + 1 > last[cpu]); /* in the order of each CPU */
		last[cpu] = n + 1;
		seen++;
	}
	EXPECT(seen > 200);
}

KERNEL_TEST(log_read_cuts_at_the_size)
{
	char text[64];
	uint64_t sequence = log_next_seq();

	log_write(LOG_DEBUG, "0123456789012345678901234567890123456789");
	uint64_t again = sequence;
	size_t n = log_read(&again, text, 20, false);
	EXPECT_EQ(n, 19);
	EXPECT_EQ(strlen(text), 19);
	EXPECT_EQ(again, sequence + 1);
	EXPECT_EQ(text[0], '[');
	EXPECT_EQ(log_read(&again, text, sizeof(text), false), 0);
}

/* ---- Symbols -------------------------------------------------------------------------------- */

static NOINLINE void a_function_with_a_name(void)
{
	hal.cpu.relax();
}

KERNEL_TEST(symbol_of_a_function)
{
	char text[128];

	a_function_with_a_name();
	symbol_format((vaddr_t)(uintptr_t)a_function_with_a_name, text, sizeof(text));
	if (text[0] == '0' && text[1] == 'x') {
		ktest_skip("the image has no symbol table");
		return;
	}
	/* A release build may have merged it into its caller's file; its name stays. */
	EXPECT(strstr(text, "a_function_with_a_name"));
	EXPECT(strstr(text, "+0"));
	symbol_format(8, text, sizeof(text));
	EXPECT_STR(text, "0x8");
}

KERNEL_TEST(backtrace_goes_to_the_log)
{
	uint64_t sequence = log_next_seq(), lines = 0;
	char text[300];

	log_set_console_level(LOG_EMERG);
	backtrace_log((vaddr_t)(uintptr_t)a_function_with_a_name,
		      (vaddr_t)__builtin_frame_address(0));
	log_set_console_level(LOG_ERR);
	while (log_read(&sequence, text, sizeof(text), false) > 0)
		lines += strchr(text, '#') != nullptr;
	EXPECT(lines >= 2);
}

/* ---- Init, random --------------------------------------------------------------------------- */

KERNEL_TEST(init_records_started_in_order)
{
	const struct init_record *r, *last = nullptr;

	for (size_t i = 0; (r = init_get(i)); i++) {
		EXPECT_EQ(r->status->order, i);
		EXPECT(!last || last->phase <= r->phase);
		for (const char *const *d = r->depends; d && *d; d++) {
			const struct init_record *before = nullptr;
			for (size_t k = 0; k < i; k++)
				if (strcmp(init_get(k)->name, *d) == 0)
					before = init_get(k);
			if (!EXPECT(before))
				ktest_note("%s before %s", *d, r->name);
		}
		last = r;
	}
	EXPECT(last);
	EXPECT_STR(init_state_name(INIT_RUNNING), "running");
}

static void random_on_one(cpu_t cpu, void *arg)
{
	uint64_t(*words)[4] = arg;

	random_bytes(words[cpu], sizeof(words[cpu]));
}

KERNEL_TEST(random_numbers_differ)
{
	static uint64_t words[CPU_MAX][4];
	static uint8_t bytes[4096];
	unsigned ones = 0;

	memset(words, 0, sizeof(words));
	ktest_on_all_cpus(random_on_one, words);
	for (cpu_t a = 0; a < CPU_MAX; a++)
		for (cpu_t b = 0; b < a; b++)
			if (words[a][0] && words[b][0])
				EXPECT(words[a][0] != words[b][0]);
	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		ones += (unsigned)__builtin_popcount(bytes[i]);
	/* 16384 of 32768 bits, 90.5 the standard deviation: ten of them are left. */
	EXPECT(ones > 16384 - 905 && ones < 16384 + 905);
}

KERNEL_TEST(cmdline_answers)
{
	char value[64];

	EXPECT(cmdline());
	EXPECT(!cmdline_has("no-such-word-here"));
	EXPECT_EQ(cmdline_u64("no-such-word-here", 77), 77);
	EXPECT(!cmdline_get("no-such-word-here", value, sizeof(value)));
}
