/*
 * CPU features and configuration, threads, FPU, waiting, frame-pointer walks, /proc/cpuinfo.
 *
 * The features used are those of the boot CPU; cpu_configure() sets the same control registers on
 * all. TPIDR_EL1 holds the current thread, TPIDR_EL0 the user's TLS pointer (saved at a switch),
 * TPIDRRO_EL0 is a scratch register of trap.S and reads 0 in user mode.
 * SVE, SME, PAC, BTI and MTE stay switched off: an SVE or SME instruction traps as undefined,
 * the PAC and BTI hints do nothing.
 */
#include "cpu.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>
#include <lib/format.h>
#include <lib/string.h>

#define CPACR_FPEN (3ull << 20)       /* nothing traps */
#define CPACR_FPEN_KERNEL (1ull << 20) /* user mode's use of the unit traps */
#define CNTKCTL_EL0VCTEN (1ull << 1)

bool cpu_has_pan RO_AFTER_INIT;
static bool cpu_has_epan RO_AFTER_INIT;
static bool cpu_has_rng RO_AFTER_INIT;
static uint64_t midr_of[CPU_MAX]; /* each written once, by its CPU */

void cpu_features(void)
{
	cpu_has_pan = id_field(reg_read(id_aa64mmfr1_el1), 20) >= 1;
	cpu_has_epan = id_field(reg_read(id_aa64mmfr1_el1), 20) >= 3;
	cpu_has_rng = id_field(reg_read(id_aa64isar0_el1), 60) >= 1;
}

void cpu_log_protections(void)
{
	core_log("cpu: the kernel runs with PXN%s%s", cpu_has_pan ? " PAN" : "",
		 cpu_has_epan ? " EPAN" : "");
}

void cpu_configure(void)
{
	uint64_t sctlr = SCTLR_KERNEL, tcr = reg_read(tcr_el1);
	uint64_t mmfr1 = reg_read(id_aa64mmfr1_el1);
	if (cpu_has_pan)
		sctlr &= ~SCTLR_SPAN;
	if (cpu_has_epan)
		sctlr |= SCTLR_EPAN;
	if (id_field(reg_read(id_aa64mmfr0_el1), 4) == 2)
		tcr |= TCR_AS;
	if (id_field(mmfr1, 0) >= 1)
		tcr |= TCR_HA;
	if (id_field(mmfr1, 0) >= 2)
		tcr |= TCR_HD;
	reg_write(tcr_el1, tcr | TCR_TBI0);
	reg_write(sctlr_el1, sctlr);
	reg_write(cpacr_el1, CPACR_FPEN_KERNEL);
	reg_write(cntkctl_el1, CNTKCTL_EL0VCTEN);
	reg_write(mdscr_el1, 0);
	unsigned pmu = id_field(reg_read(id_aa64dfr0_el1), 8);
	if (pmu != 0 && pmu != 0xf)
		reg_write(pmuserenr_el0, 0); /* no event counters in user mode */
	reg_write(tpidrro_el0, 0);
	reg_write(vbar_el1, (uint64_t)trap_vectors);
	isb();
	if (cpu_has_pan)
		__asm__ volatile(".arch_extension pan\n\tmsr pan, #1" ::: "memory");
	__asm__ volatile("msr daifclr, #5" ::: "memory"); /* SError, FIQ */
}

void cpu_set_current(struct hal_thread *thread)
{
	reg_write(tpidr_el1, thread);
}

void cpu_relax(void)
{
	__asm__ volatile("yield" ::: "memory");
}

void cpu_wait(void)
{
	/* WFI ends for a pending interrupt even while it is masked, so none is missed. */
	__asm__ volatile("dsb sy\n\t"
			 "wfi\n\t"
			 "msr daifclr, #2\n\t"
			 "isb\n\t"
			 "msr daifset, #2" ::
				 : "memory");
}

/* ---- Threads ----------------------------------------------------------------------------- */

/* What cpu_switch_to takes off the stack, lowest address first. */
struct switch_frame {
	uint64_t fp, lr, x19_28[10];
};
static_assert(sizeof(struct switch_frame) == 96);

void cpu_thread_init(struct hal_thread *thread, void (*entry)(struct hal_thread *prev, void *arg),
		     void *arg)
{
	/* Below the user frame, which the creator may have filled in already. */
	struct switch_frame *frame = (struct switch_frame *)(thread->stack_top - FRAME_SIZE) - 1;
	*frame = (struct switch_frame){
		.lr = (uint64_t)cpu_thread_start,
		.x19_28 = {(uint64_t)entry, (uint64_t)arg},
	};
	thread->kernel_sp = (uintptr_t)frame;
}

/* ---- The unit ----
 *
 * CPACR_EL1.FPEN turns it off for user mode. The kernel does not trap: its copies put aside what they
 * use, with interrupts off, whoever the registers belong to. No ISB is needed: a return to user
 * mode synchronizes.
 */

void cpu_fpu_enable(bool on)
{
	reg_write(cpacr_el1, on ? CPACR_FPEN : CPACR_FPEN_KERNEL);
}

void cpu_fpu_save(struct hal_thread *thread)
{
	cpu_fpu_save_area(thread->fpu);
	thread->fpu_saves++;
}

void cpu_fpu_load(struct hal_thread *thread)
{
	cpu_fpu_load_area(thread->fpu);
	thread->fpu_loads++;
}

void cpu_fpu_copy(struct hal_thread *to, const struct hal_thread *from)
{
	memcpy(to->fpu, from->fpu, FPU_SIZE);
}

bool cpu_entropy(uint64_t *out)
{
	uint64_t value, flags;
	if (!cpu_has_rng)
		return false;
	/* RNDR; Z is set when it has nothing (DDI 0487, D19.2.118). */
	__asm__ volatile("mrs %0, s3_3_c2_c4_0\n\tmrs %1, nzcv" : "=r"(value), "=r"(flags)::"cc");
	*out = value;
	return !(flags & (1ull << 30));
}

bool cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high)
{
	if (!u->fp || (u->fp & 7) || u->fp < low || high - low < 16 || u->fp > high - 16)
		return false;
	const uint64_t *record = (const uint64_t *)u->fp;
	vaddr_t next = record[0];
	u->ip = record[1];
	/* Callers lie higher; the outermost record ends the walk after its own step. */
	u->fp = next > u->fp ? next : 0;
	return u->ip != 0;
}

/* As cpu_switch_to leaves it: x29 and x30 first. */
struct hal_unwind cpu_saved(const struct hal_thread *thread)
{
	const volatile uint64_t *sp = (const volatile uint64_t *)READ_ONCE(thread->kernel_sp);
	return (struct hal_unwind){.ip = sp[1], .fp = sp[0]};
}

/* ---- Features for user programs ---------------------------------------------------------- */

/* An HWCAP bit for each (register, field, least value): Linux's arm64 ELF hwcaps. */
struct hwcap_rule {
	uint8_t bit, shift, least;
};

static uint64_t hwcap_from(uint64_t id, const struct hwcap_rule *rules, size_t count)
{
	uint64_t caps = 0;
	for (size_t i = 0; i < count; i++)
		if (id_field(id, rules[i].shift) >= rules[i].least)
			caps |= 1ull << rules[i].bit;
	return caps;
}

uint64_t cpu_hwcap(void)
{
	static const struct hwcap_rule isar0[] = {
		{3, 4, 1},   {4, 4, 2},   {5, 8, 1},   {6, 12, 1},  {21, 12, 2},
		{7, 16, 1},  {8, 20, 2},  {12, 28, 1}, {17, 32, 1}, {18, 36, 1},
		{19, 40, 1}, {20, 44, 1}, {23, 48, 1}, {27, 52, 1},
	};
	static const struct hwcap_rule isar1[] = {
		{16, 0, 1}, {13, 12, 1}, {14, 16, 1}, {15, 20, 1}, {26, 20, 2}, {29, 36, 1},
	};
	uint64_t pfr0 = reg_read(id_aa64pfr0_el1);
	uint64_t caps = hwcap_from(reg_read(id_aa64isar0_el1), isar0, ARRAY_SIZE(isar0)) |
			hwcap_from(reg_read(id_aa64isar1_el1), isar1, ARRAY_SIZE(isar1));
	if (id_field(pfr0, 16) != 0xf) /* FP; 1: half precision too */
		caps |= 1ull << 0 | (uint64_t)(id_field(pfr0, 16) == 1) << 9;
	if (id_field(pfr0, 20) != 0xf) /* AdvSIMD */
		caps |= 1ull << 1 | (uint64_t)(id_field(pfr0, 20) == 1) << 10;
	if (id_field(reg_read(id_aa64mmfr2_el1), 32) >= 1) /* unaligned atomics */
		caps |= 1ull << 25;
	return caps;
}

uint64_t cpu_hwcap2(void)
{
	static const struct hwcap_rule isar0[] = {{7, 52, 2}, {16, 60, 1}};
	static const struct hwcap_rule isar1[] = {
		{0, 0, 2}, {8, 32, 1}, {14, 44, 1}, {15, 48, 1}, {13, 52, 1},
	};
	return hwcap_from(reg_read(id_aa64isar0_el1), isar0, ARRAY_SIZE(isar0)) |
	       hwcap_from(reg_read(id_aa64isar1_el1), isar1, ARRAY_SIZE(isar1));
}

/* ---- /proc/cpuinfo ----------------------------------------------------------------------- */

void cpu_identify(cpu_t cpu)
{
	midr_of[cpu] = reg_read(midr_el1);
}

/* Names of the HWCAP bits, in order; those never set here are missing. */
static const char hwcap_names[32][9] = {
	[0] = "fp",        [1] = "asimd",  [3] = "aes",     [4] = "pmull",    [5] = "sha1",
	[6] = "sha2",      [7] = "crc32",  [8] = "atomics", [9] = "fphp",     [10] = "asimdhp",
	[12] = "asimdrdm", [13] = "jscvt", [14] = "fcma",   [15] = "lrcpc",   [16] = "dcpop",
	[17] = "sha3",     [18] = "sm3",   [19] = "sm4",    [20] = "asimddp", [21] = "sha512",
	[23] = "asimdfhm", [25] = "uscat", [26] = "ilrcpc", [27] = "flagm",   [29] = "sb",
};

/* format() behind what is in buf already. */
#define APPEND(...)                                                                                \
	(length += (size_t)format(length < size ? buf + length : nullptr,                          \
				  length < size ? size - length : 0, __VA_ARGS__))

size_t cpu_describe(cpu_t cpu, char *buf, size_t size)
{
	uint64_t midr = midr_of[cpu], caps = user_info_data.hwcap,
		 bogo = reg_read(cntfrq_el0) / 5000;
	size_t length = 0;
	APPEND("BogoMIPS\t: %llu.%02llu\nFeatures\t:", (unsigned long long)bogo / 100,
	       (unsigned long long)bogo % 100);
	for (unsigned bit = 0; bit < 32; bit++)
		if ((caps & (1ull << bit)) && hwcap_names[bit][0])
			APPEND(" %s", hwcap_names[bit]);
	APPEND("\nCPU implementer\t: 0x%02x\nCPU architecture: 8\nCPU variant\t: 0x%x\n"
	       "CPU part\t: 0x%03x\nCPU revision\t: %u\n",
	       (unsigned)(midr >> 24) & 0xff, (unsigned)(midr >> 20) & 0xf,
	       (unsigned)(midr >> 4) & 0xfff, (unsigned)midr & 0xf);
	return length;
}
