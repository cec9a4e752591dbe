/*
 * A plugin of the emulator that counts guest instructions from outside. Arguments:
 *
 *   out=FILE     where the result goes when the emulator ends
 *   at=ADDRESS   (up to 8) an instruction to watch for; the first time it runs, a line
 *                "at ADDRESS COUNT NANOSECONDS": instructions and host time since the start.
 *                With ADDRESS:BYTES (a number, the first byte lowest) only if it has these bytes:
 *                other programs may be at the same address
 *   count=on     count for `at`; without it the guest runs at full speed and COUNT is 0
 *   begin= end= pause= resume=ADDRESS
 *                count each instruction by its address while begun and not paused; a line
 *                "pc ADDRESS COUNT" for each
 *
 * For one virtual CPU. Instructions for `at` are added a block at a time (exact under -icount, but
 * for a block that an exception leaves); those by address are counted one by one. The prototypes
 * are QEMU's documented plugin interface, version 1; Debian packages no header for it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef void (*executed)(unsigned int cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed, int, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

#define MARKS_MAX 8
#define SLOTS (1u << 20) /* addresses of code that ran; a power of two */

enum control { BEGIN, END, PAUSE, RESUME, CONTROLS };

static struct mark {
	uint64_t address, bytes, count, ns;
	bool reached;
} marks[MARKS_MAX];

static struct slot {
	uint64_t address, count;
} slots[SLOTS];

static const char *const control_names[] = {"begin", "end", "pause", "resume"};
static uint64_t controls[CONTROLS];
static size_t mark_count;
static bool counting, profiling, begun, paused;
static uint64_t total, started;
static const char *out;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void block_ran(unsigned int cpu, void *data)
{
	total += (uintptr_t)data;
}

static void mark_ran(unsigned int cpu, void *data)
{
	struct mark *m = data;

	if (m->reached)
		return;
	m->count = total;
	m->ns = now() - started;
	m->reached = true;
}

static void instruction_ran(unsigned int cpu, void *data)
{
	if (begun && !paused)
		((struct slot *)data)->count++;
}

static void control_ran(unsigned int cpu, void *data)
{
	switch ((enum control)(uintptr_t)data) {
	case BEGIN:
		begun = true;
		break;
	case END:
		begun = false;
		break;
	case PAUSE:
		paused = true;
		break;
	default:
		paused = false;
		break;
	}
}

static bool is_at(const struct mark *m, const struct qemu_plugin_insn *insn)
{
	size_t size = qemu_plugin_insn_size(insn);

	return m->address == qemu_plugin_insn_vaddr(insn) &&
	       (!m->bytes || memcmp(qemu_plugin_insn_data(insn), &m->bytes,
				    size < sizeof(m->bytes) ? size : sizeof(m->bytes)) == 0);
}

static struct slot *slot_of(uint64_t address)
{
	size_t at = (size_t)(address * 0x9e3779b97f4a7c15u >> 44) % SLOTS;

	for (size_t tried = 0; tried < SLOTS; tried++, at = (at + 1) % SLOTS) {
		if (!slots[at].address)
			slots[at].address = address;
		if (slots[at].address == address)
			return &slots[at];
	}
	fprintf(stderr, "counter: more code than there is room for\n");
	exit(1);
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	if (counting)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, block_ran, NO_REGISTERS, (void *)n);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		for (size_t m = 0; m < mark_count; m++)
			if (is_at(&marks[m], insn))
				qemu_plugin_register_vcpu_insn_exec_cb(insn, mark_ran, NO_REGISTERS,
								       &marks[m]);
		if (!profiling)
			continue;
		for (uintptr_t c = 0; c < CONTROLS; c++)
			if (controls[c] == address)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, control_ran,
								       NO_REGISTERS, (void *)c);
		qemu_plugin_register_vcpu_insn_exec_cb(insn, instruction_ran, NO_REGISTERS,
						       slot_of(address));
	}
}

static void finish(plugin_id id, void *unused)
{
	FILE *file = fopen(out, "w");

	if (!file) {
		perror(out);
		return;
	}
	for (size_t i = 0; i < mark_count; i++)
		if (marks[i].reached)
			fprintf(file, "at %#" PRIx64 " %" PRIu64 " %" PRIu64 "\n", marks[i].address,
				marks[i].count, marks[i].ns);
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].count)
			fprintf(file, "pc %#" PRIx64 " %" PRIu64 "\n", slots[i].address,
				slots[i].count);
	fclose(file);
}

static bool argument(const char *word)
{
	const char *value = strchr(word, '=');

	if (!value)
		return false;
	size_t length = (size_t)(value++ - word);
	if (strncmp(word, "out=", 4) == 0) {
		out = strdup(value);
	} else if (strcmp(word, "count=on") == 0) {
		counting = true;
	} else if (strncmp(word, "at=", 3) == 0 && mark_count < MARKS_MAX) {
		char *more;
		struct mark *m = &marks[mark_count++];
		m->address = strtoull(value, &more, 0);
		m->bytes = *more == ':' ? strtoull(more + 1, NULL, 0) : 0;
	} else {
		for (size_t c = 0; c < CONTROLS; c++) {
			if (length == strlen(control_names[c]) &&
			    strncmp(word, control_names[c], length) == 0) {
				controls[c] = strtoull(value, NULL, 0);
				profiling = true;
				return true;
			}
		}
		return false;
	}
	return true;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!argument(argv[i])) {
			fprintf(stderr, "counter: %s?\n", argv[i]);
			return -1;
		}
	}
	if (!out)
		return -1;
	started = now();
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
