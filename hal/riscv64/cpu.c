/*
 * The hart: features, interrupt enable, threads, the floating-point unit.
 *
 * The unit: sstatus.FS of this hart is Off while programs may not use it, else it says how the registers
 * relate to the area they were loaded from: Clean: equal; Dirty: newer. While it is Off, unit_state[]
 * remembers which of the two.
 */
#include "riscv64.h"

#include <lib/format.h>
#include <lib/string.h>

#include "fdt.h"

#define SWITCH_WORDS 14 /* SWITCH_SIZE of switch.S / 8: ra, s0 to s11, gp */
#define ISA_MAX 1024
#define ZERO_BLOCK 64 /* what riscv_page_zero's straight-line code is written for */

RO_AFTER_INIT struct cpu_features riscv_cpu_features;
/* The boot hart's ISA string, for people: the device tree is given back after the boot. */
static RO_AFTER_INIT char isa_text[ISA_MAX];
static ALIGNED(ZERO_BLOCK) char zero_probe[ZERO_BLOCK];

RO_AFTER_INIT bool riscv_page_zero_by_block; /* read by riscv_page_zero */
bool riscv_page_zero_probe(void *block);
void riscv_cpu_thread_start(void);
void riscv_fpu_regs_save(struct fpu_area *area);
void riscv_fpu_regs_load(const struct fpu_area *area);
void riscv_fpu_regs_zero(void);

/* ---- Features ---------------------------------------------------------------------------- */

static uint32_t letter(char c)
{
	return c >= 'a' && c <= 'z' ? 1u << (c - 'a') : 0;
}

static bool name_is(const char *s, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(s, name, length) == 0;
}

/* One extension by name, as it stands in riscv,isa after '_' or in riscv,isa-extensions. */
static void extension_add(struct cpu_features *f, const char *name, size_t length)
{
	if (length == 1)
		f->letters |= letter(*name);
	else if (name_is(name, length, "sstc"))
		f->sstc = true;
	else if (name_is(name, length, "svpbmt"))
		f->svpbmt = true;
	else if (name_is(name, length, "zicboz"))
		f->zicboz = true;
}

/* "rv64imafdc_zicsr_sstc": single letters (with versions between them perhaps), then names. */
static void isa_parse(struct cpu_features *f, const char *isa)
{
	isa += strncmp(isa, "rv64", 4) == 0 ? 4 : 0;
	for (; *isa && *isa != '_' && *isa != 's' && *isa != 'z' && *isa != 'x'; isa++)
		f->letters |= *isa == 'g' ? letter('i') | letter('m') | letter('a') | letter('f') |
						    letter('d')
					  : letter(*isa);
	while (*isa) {
		isa += *isa == '_';
		const char *end = strchr(isa, '_');
		size_t length = end ? (size_t)(end - isa) : strlen(isa);
		extension_add(f, isa, length);
		isa += length;
	}
}

static struct cpu_features node_features(const struct fdt *fdt, const struct fdt_node *node)
{
	struct cpu_features f = {};
	const char *isa = fdt_string(fdt, node, "riscv,isa", 0), *name;
	if (isa)
		isa_parse(&f, isa);
	for (size_t i = 0; (name = fdt_string(fdt, node, "riscv,isa-extensions", i)); i++)
		extension_add(&f, name, strlen(name));
	uint32_t block;
	if (!fdt_u32(fdt, node, "riscv,cboz-block-size", 0, &block) || block != ZERO_BLOCK)
		f.zicboz = false;
	f.fpu = (f.letters & letter('f')) && (f.letters & letter('d'));
	return f;
}

/* Keeps the text of a hart: riscv,isa, or its newer form put together again. */
static void isa_text_keep(const struct fdt *fdt, const struct fdt_node *node)
{
	const char *isa = fdt_string(fdt, node, "riscv,isa", 0), *name;
	if (isa) {
		strlcpy(isa_text, isa, sizeof(isa_text));
		return;
	}
	size_t used = strlcpy(isa_text, "rv64", sizeof(isa_text));
	for (size_t i = 0; (name = fdt_string(fdt, node, "riscv,isa-extensions", i)); i++) {
		if (used + strlen(name) + 2 > sizeof(isa_text))
			return;
		if (strlen(name) > 1)
			isa_text[used++] = '_';
		used += strlcpy(isa_text + used, name, sizeof(isa_text) - used);
	}
}

void riscv_cpu_features_read(const struct boot_info *info)
{
	const struct fdt *fdt = riscv_platform_fdt();
	struct fdt_node node;
	uint64_t hart;
	bool first = true;
	for (size_t i = 0; fdt_cpu(fdt, i, &node, &hart); i++) {
		struct cpu_features f = node_features(fdt, &node);
		if (hart == info->cpus[0].hardware_id)
			isa_text_keep(fdt, &node);
		if (first)
			riscv_cpu_features = f;
		riscv_cpu_features.letters &= f.letters;
		riscv_cpu_features.fpu &= f.fpu;
		riscv_cpu_features.sstc &= f.sstc;
		riscv_cpu_features.svpbmt &= f.svpbmt;
		riscv_cpu_features.zicboz &= f.zicboz;
		first = false;
	}
	/* The firmware must have allowed it (menvcfg.CBZE): an illegal instruction tells. */
	riscv_page_zero_by_block = riscv_cpu_features.zicboz && riscv_page_zero_probe(zero_probe);
}

void riscv_cpu_start(void)
{
	csr_clear(sstatus, SSTATUS_SPP | SSTATUS_SUM | SSTATUS_FS);
	csr_set(sstatus, SSTATUS_SPIE);
	csr_write(scounteren, 7); /* programs may read cycle, time and instret */
	if (!riscv_cpu_features.fpu)
		return;
	csr_set(sstatus, SSTATUS_FS_DIRTY);
	riscv_fpu_regs_zero();
	csr_clear(sstatus, SSTATUS_FS);
}

size_t riscv_cpu_describe(cpu_t cpu, char *buf, size_t size)
{
	return (size_t)format(buf, size, "hart\t\t: %llu\nisa\t\t: %s\nmmu\t\t: %s\n",
			      (unsigned long long)riscv_smp_hart(cpu), isa_text,
			      riscv_mmu_mode_name());
}

bool riscv_cpu_entropy(uint64_t *out)
{
	return false; /* Zkr's seed register is the firmware's unless it gives it away */
}

/* ---- Interrupt enable, threads ----------------------------------------------------------- */

bool riscv_cpu_irq_enabled(void)
{
	return csr_read(sstatus) & SSTATUS_SIE;
}

void riscv_cpu_set_current(struct hal_thread *thread)
{
	asm volatile("mv tp, %0" ::"r"(thread) : "memory");
}

void riscv_cpu_relax(void)
{
	asm volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory"); /* pause (Zihintpause) */
}

void riscv_cpu_wait(void)
{
	/* wfi wakes for a pending interrupt whether or not it is enabled in sstatus. */
	asm volatile("wfi" ::: "memory");
	riscv_cpu_irq_on();
	riscv_cpu_irq_off();
}

void riscv_cpu_thread_init(struct hal_thread *thread,
			   void (*entry)(struct hal_thread *prev, void *arg), void *arg)
{
	uint64_t *sp = (uint64_t *)(thread->stack_top - FRAME_SIZE) - SWITCH_WORDS;
	memset(sp, 0, SWITCH_WORDS * sizeof(*sp));
	sp[0] = (uint64_t)riscv_cpu_thread_start; /* ra */
	sp[2] = (uint64_t)entry;   /* s1 */
	sp[3] = (uint64_t)arg;        /* s2 */
	thread->kernel_sp = (uintptr_t)sp;
}

/* psABI frame records: the return address is below fp, the caller's fp below that. So the
 * record may begin below `low`, where there may be a guard page. */
bool riscv_cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high)
{
	vaddr_t fp = u->fp;
	if ((fp & 7) || fp < low || fp > high || !riscv_mmu_is_mapped(fp - 16))
		return false;
	const uint64_t *record = (const uint64_t *)fp;
	u->ip = record[-1];
	u->fp = record[-2] > fp ? record[-2] : 0;
	return u->ip != 0;
}

/* As the switch leaves it: ra and s0 first. */
struct hal_unwind riscv_cpu_saved(const struct hal_thread *thread)
{
	const volatile uint64_t *sp = (const volatile uint64_t *)READ_ONCE(thread->kernel_sp);
	return (struct hal_unwind){.ip = sp[0], .fp = sp[1]};
}

/* ---- Floating point ---------------------------------------------------------------------- */

/* (own hart, IRQs off) SSTATUS_FS_* while the unit is off */
static uint32_t unit_state[CPU_MAX];

void riscv_cpu_fpu_enable(bool on)
{
	cpu_t cpu = riscv_cpu_current()->cpu;
	if (!riscv_cpu_features.fpu)
		return;
	if (on) {
		csr_set(sstatus, SSTATUS_FS_CLEAN | unit_state[cpu]);
	} else {
		unit_state[cpu] = (uint32_t)csr_read(sstatus) & SSTATUS_FS;
		csr_clear(sstatus, SSTATUS_FS);
	}
}

void riscv_cpu_fpu_save(struct hal_thread *thread)
{
	if ((csr_read(sstatus) & SSTATUS_FS) != SSTATUS_FS_DIRTY)
		return;
	riscv_fpu_regs_save(thread->fpu);
	thread->fpu_saves++;
	csr_clear(sstatus, SSTATUS_FS_DIRTY & ~SSTATUS_FS_CLEAN);
}

void riscv_cpu_fpu_load(struct hal_thread *thread)
{
	if (!riscv_cpu_features.fpu)
		return;
	riscv_fpu_regs_load(thread->fpu);
	thread->fpu_loads++;
	csr_clear(sstatus, SSTATUS_FS_DIRTY & ~SSTATUS_FS_CLEAN);
}

void riscv_cpu_fpu_copy(struct hal_thread *to, const struct hal_thread *from)
{
	*(struct fpu_area *)to->fpu = *(const struct fpu_area *)from->fpu;
}
