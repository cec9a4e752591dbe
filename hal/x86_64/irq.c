/*
 * Interrupts: the local APIC of each CPU (memory-mapped, or by MSR in x2APIC mode where CPUID has
 * it), the I/O APICs, and the dispatch of vectors.
 *
 * A line is a global system interrupt (GSI). Line n has vector VECTOR_LINE + n, fixed, so nothing
 * is stored per line; lines beyond the last vector cannot be routed. For a line below 16, the ISA
 * interrupt of that number is meant, which the MADT may have moved to another input and given
 * another polarity; portable code and drivers use the ISA number. The old interrupt controllers
 * (8259) are masked and moved off the exception vectors.
 *
 * Lock: `io_apic_lock` (a spin flag, IRQs off) guards the index and data registers of all I/O
 * APICs; it is a leaf. Sources: Intel SDM volume 3, chapter 11; 82093AA data sheet;
 * ACPI 6.5, 5.2.12.
 */
#include "cpu.h"
#include "frame.h"
#include "platform.h"

#include <hal/upcall.h>
#include <stdatomic.h>

#define APIC_ID 0x02
#define APIC_TPR 0x08
#define APIC_EOI 0x0b
#define APIC_LDR 0x0d
#define APIC_DFR 0x0e
#define APIC_SVR 0x0f
#define APIC_ICR 0x30
#define APIC_ICR_HIGH 0x31
#define APIC_LVT_TIMER 0x32
#define APIC_LVT_LINT0 0x35
#define APIC_LVT_LINT1 0x36
#define APIC_LVT_ERROR 0x37
#define APIC_TIMER_INITIAL 0x38
#define APIC_TIMER_CURRENT 0x39
#define APIC_TIMER_DIVIDE 0x3e

#define SVR_ENABLE 0x100
#define LVT_MASKED 0x10000
#define LVT_NMI 0x400
#define ICR_PENDING 0x1000
#define TIMER_DIVIDE_1 0x0b

#define IO_APIC_VERSION 1
#define IO_APIC_ENTRY 16
#define ENTRY_LOW 0x2000
#define ENTRY_LEVEL 0x8000
#define ENTRY_MASKED 0x10000

static bool x2apic RO_AFTER_INIT;
static volatile uint32_t *apic RO_AFTER_INIT;
static atomic_flag io_apic_lock = ATOMIC_FLAG_INIT;

/* ---- Local APIC ---------------------------------------------------------------------------- */

static inline uint32_t apic_read(unsigned reg)
{
	return x2apic ? (uint32_t)x86_rdmsr(MSR_X2APIC + reg) : apic[reg * 4];
}

static inline void apic_write(unsigned reg, uint32_t value)
{
	if (x2apic)
		x86_wrmsr(MSR_X2APIC + reg, value);
	else
		apic[reg * 4] = value;
}

inline void x86_irq_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void x86_irq_timer_mode(uint32_t lvt)
{
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_1);
	apic_write(APIC_LVT_TIMER, lvt);
}

void x86_irq_timer_count(uint32_t count)
{
	apic_write(APIC_TIMER_INITIAL, count);
}

uint32_t x86_irq_timer_left(void)
{
	return apic_read(APIC_TIMER_CURRENT);
}

/* In x2APIC mode the write is one, and not ordered after earlier stores without a fence (SDM
 * volume 3, 11.12.3). Otherwise both halves must not be interleaved with an interrupt's. */
void x86_irq_ipi_send(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		asm volatile("mfence\n\tlfence" ::: "memory");
		x86_wrmsr(MSR_X2APIC + APIC_ICR, command | (uint64_t)apic_id << 32);
		return;
	}
	bool on = x86_cpu_irq_save();
	while (apic[APIC_ICR * 4] & ICR_PENDING)
		x86_relax();
	apic[APIC_ICR_HIGH * 4] = apic_id << 24;
	apic[APIC_ICR * 4] = command;
	x86_cpu_irq_restore(on);
}

void x86_irq_cpu_init(void)
{
	uint64_t base = x86_rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
	x86_wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		x86_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	apic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_LVT_LINT0, LVT_MASKED | VECTOR_SPURIOUS);
	apic_write(APIC_LVT_LINT1, x86_cpu_area()->index ? LVT_MASKED | VECTOR_SPURIOUS : LVT_NMI);
	apic_write(APIC_LVT_ERROR, LVT_MASKED | VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
}

/* ---- I/O APICs ----------------------------------------------------------------------------- */

static bool io_apic_acquire(void)
{
	bool on = x86_cpu_irq_save();
	while (atomic_flag_test_and_set_explicit(&io_apic_lock, memory_order_acquire))
		x86_relax();
	return on;
}

static void io_apic_release(bool on)
{
	atomic_flag_clear_explicit(&io_apic_lock, memory_order_release);
	x86_cpu_irq_restore(on);
}

static uint32_t io_apic_read(const struct x86_io_apic *io, uint32_t reg)
{
	io->registers[0] = reg;
	return io->registers[4];
}

static void io_apic_write(const struct x86_io_apic *io, uint32_t reg, uint32_t value)
{
	io->registers[0] = reg;
	io->registers[4] = value;
}

static enum kerr io_apic_init(struct x86_io_apic *io)
{
	io->registers = core_device_map(io->address, PAGE_SIZE);
	if (!io->registers)
		return KERR_NOMEM;
	io->lines = (io_apic_read(io, IO_APIC_VERSION) >> 16 & 0xff) + 1;
	for (uint32_t i = 0; i < io->lines; i++)
		io_apic_write(io, IO_APIC_ENTRY + 2 * i, ENTRY_MASKED);
	return KERR_OK;
}

static struct x86_io_apic *io_apic_of(uint32_t gsi)
{
	for (unsigned i = 0; i < x86_platform.io_apic_count; i++) {
		struct x86_io_apic *io = &x86_platform.io_apics[i];
		if (gsi - io->first_line < io->lines)
			return io;
	}
	return nullptr;
}

enum kerr x86_irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu)
{
	bool level = trigger == IRQ_LEVEL, low = level;
	uint32_t gsi = line, low_word = ENTRY_MASKED;
	if (line > VECTOR_LINE_LAST - VECTOR_LINE || (cpu != CPU_NONE && cpu >= x86_cpu_count))
		return KERR_INVAL;
	if (line < ISA_IRQS) {
		const struct x86_isa_irq *isa = &x86_platform.isa[line];
		gsi = isa->gsi;
		level = level || isa->level;
		low = isa->active_low;
	}
	struct x86_io_apic *io = io_apic_of(gsi);
	if (!io)
		return KERR_INVAL;
	if (cpu != CPU_NONE)
		low_word = (VECTOR_LINE + line) | (level ? ENTRY_LEVEL : 0) | (low ? ENTRY_LOW : 0);
	uint32_t reg = IO_APIC_ENTRY + 2 * (gsi - io->first_line);
	bool on = io_apic_acquire();
	io_apic_write(io, reg, ENTRY_MASKED);
	io_apic_write(io, reg + 1, cpu == CPU_NONE ? 0 : x86_cpus[cpu].apic_id << 24);
	io_apic_write(io, reg, low_word);
	io_apic_release(on);
	return KERR_OK;
}

/* ---- Start --------------------------------------------------------------------------------- */

/* Initialisation words 1 to 4 move both to vectors 0x20 to 0x2f, then everything is masked. (8259A
 * data sheet.) A spurious interrupt of theirs would look like a line: none can come when masked. */
static void pic_mask(void)
{
	x86_outb(0x20, 0x11);
	x86_outb(0xa0, 0x11);
	x86_outb(0x21, VECTOR_LINE);
	x86_outb(0xa1, VECTOR_LINE + 8);
	x86_outb(0x21, 4);
	x86_outb(0xa1, 2);
	x86_outb(0x21, 1);
	x86_outb(0xa1, 1);
	x86_outb(0x21, 0xff);
	x86_outb(0xa1, 0xff);
}

enum kerr x86_irq_init(void)
{
	pic_mask();
	x2apic = x86_features.x2apic;
	if (!x2apic) {
		apic = core_device_map(x86_platform.local_apic, PAGE_SIZE);
		if (!apic)
			return KERR_NOMEM;
	}
	for (unsigned i = 0; i < x86_platform.io_apic_count; i++) {
		enum kerr err = io_apic_init(&x86_platform.io_apics[i]);
		if (err != KERR_OK)
			return err;
	}
	x86_irq_cpu_init();
	return KERR_OK;
}

/* ---- Dispatch ------------------------------------------------------------------------------ */

void x86_irq_dispatch(struct hal_frame *frame, bool from_user);

/* From trap.S with interrupts off. */
void x86_irq_dispatch(struct hal_frame *frame, bool from_user)
{
	unsigned vector = (unsigned)frame->vector;
	core_irq_enter();
	if (vector == VECTOR_TIMER) {
		x86_irq_eoi();
		if (x86_timer_expired())
			core_timer();
	} else if (vector == VECTOR_IPI) {
		x86_irq_eoi();
		core_ipi();
	} else if (vector <= VECTOR_LINE_LAST) {
		unsigned line = vector - VECTOR_LINE;
		if (x86_console_line(line))
			x86_console_interrupt();
		else
			core_irq(line);
		x86_irq_eoi();
	}
	core_irq_exit(frame, from_user);
}
