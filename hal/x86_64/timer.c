/*
 * Time: the TSC counts, the local APIC's timer interrupts.
 *
 * The TSC's rate comes from CPUID where it is told, else it is measured against the ACPI PM timer,
 * else against counter 2 of the 8254. A measurement runs from one tick of the reference to another
 * and ends as soon as the uncertainty of both ends (how long a read takes) is small against the
 * time between them: about 10 ms on hardware, far less where reads are quick, as in an emulator
 * that counts instructions. The APIC timer is measured along with it.
 *
 * now() is TSC * 2^32-scaled rate: no state that changes, no lock. It supposes that the TSCs of all
 * CPUs run together from reset, which holds for all machines with several cores that have
 * an invariant TSC, and for emulators. The timer is in deadline mode where CPUID has it, else
 * one-shot; a one-shot that is too short for the deadline is armed again in its interrupt. Sources:
 * Intel SDM volume 3, 11.5.4 and 18.17; ACPI 6.5, 4.8.3.3; 8254 data sheet.
 */
#include "cpu.h"
#include "platform.h"

#include <hal/upcall.h>

#define PM_TIMER_HZ 3579545u
#define PIT_HZ 1193182u
#define PIT_COMMAND 0x43
#define PIT_COUNTER2 0x42
#define PIT_GATE 0x61

#define LVT_MASKED 0x10000
#define LVT_TSC_DEADLINE 0x40000

#define ERROR_MAX 200 /* millionths: a bound, not the usual error */
#define WINDOWS_MAX 10

/* (const after x86_timer_init) Factors are scaled by 2^32. */
static uint64_t nsec_per_tsc RO_AFTER_INIT, tsc_per_nsec RO_AFTER_INIT, apic_per_nsec RO_AFTER_INIT;
static uint32_t tsc_khz RO_AFTER_INIT;

static inline uint64_t scale(uint64_t value, uint64_t factor)
{
	return (uint64_t)((unsigned __int128)value * factor >> 32);
}

nsec_t x86_timer_from_ticks(uint64_t tsc)
{
	return scale(tsc, nsec_per_tsc);
}

nsec_t x86_timer_now(void)
{
	return x86_timer_from_ticks(x86_rdtsc());
}

uint32_t x86_timer_tsc_khz(void)
{
	return tsc_khz;
}

void x86_timer_delay(nsec_t time)
{
	for (nsec_t end = x86_timer_now() + time; x86_timer_now() < end;)
		x86_relax();
}

/* ---- Calibration --------------------------------------------------------------------------- */

struct reference {
	uint32_t hz, mask;
	uint16_t port; /* of the PM timer; 0: the 8254 */
};

struct edge {
	uint32_t ticks;
	uint64_t tsc, uncertain;
	uint32_t apic;
};

static uint32_t reference_read(const struct reference *r)
{
	if (r->port)
		return x86_inl(r->port) & r->mask;
	x86_outb(PIT_COMMAND, 0x80); /* latch counter 2 */
	uint32_t low = x86_inb(PIT_COUNTER2);
	return (0xffff - (low | (uint32_t)x86_inb(PIT_COUNTER2) << 8)) & r->mask;
}

static struct reference reference_choose(void)
{
	const struct acpi_fadt *fadt = &x86_platform.fadt;
	if (x86_platform.has_fadt && fadt->pm_timer)
		return (struct reference){PM_TIMER_HZ, 0xffffff, fadt->pm_timer};
	x86_outb(PIT_GATE, (uint8_t)((x86_inb(PIT_GATE) & ~2) | 1)); /* gate on, speaker off */
	x86_outb(PIT_COMMAND, 0xb4); /* counter 2, rate generator */
	x86_outb(PIT_COUNTER2, 0);
	x86_outb(PIT_COUNTER2, 0);
	return (struct reference){PIT_HZ, 0xffff, 0};
}

/* The moment when the reference moves on. False: it stands still. */
static bool edge_find(const struct reference *r, struct edge *out)
{
	uint32_t first = reference_read(r);
	for (int looks = 0; looks < 1000000; looks++) {
		uint64_t before = x86_rdtsc();
		uint32_t ticks = reference_read(r);
		if (ticks == first)
			continue;
		out->tsc = x86_rdtsc();
		out->apic = x86_irq_timer_left();
		out->ticks = ticks;
		out->uncertain = out->tsc - before;
		return true;
	}
	return false;
}

/* How far the rate over [start, end] may be wrong, in millionths. */
static uint64_t edges_error(const struct edge *start, const struct edge *end)
{
	return (start->uncertain + end->uncertain) * 1000000 / (end->tsc - start->tsc);
}

/*
 * Windows of at most 20 ms (the 8254 wraps after 55), each from the end of the one before, until
 * one is exact enough: an emulator's host may have stopped us at an edge, which shows as its
 * uncertainty. After the last window the best one counts.
 */
static bool calibrate(uint64_t *tsc_hz, uint64_t *apic_hz)
{
	struct reference r = reference_choose();
	struct edge start, end;
	uint64_t best = UINT64_MAX;
	x86_irq_timer_mode(LVT_MASKED | VECTOR_TIMER);
	x86_irq_timer_count(UINT32_MAX);
	if (!edge_find(&r, &start))
		return false;
	for (int windows = 0; windows < WINDOWS_MAX && best > ERROR_MAX;) {
		if (!edge_find(&r, &end))
			return false;
		uint64_t ticks = (end.ticks - start.ticks) & r.mask;
		uint64_t error = edges_error(&start, &end);
		if (error < best) {
			best = error;
			*tsc_hz = (end.tsc - start.tsc) * r.hz / ticks;
			*apic_hz = (uint64_t)(start.apic - end.apic) * r.hz / ticks;
		}
		if (ticks < r.hz / 50)
			continue;
		start = end;
		windows++;
	}
	x86_irq_timer_count(0);
	return *tsc_hz && *apic_hz;
}

/* Leaf 0x15: crystal and ratio. Leaf 0x40000010: what hypervisors tell, kHz. 0: not told. */
static uint64_t tsc_hz_told(void)
{
	if (x86_cpuid(0, 0).a >= 0x15) {
		struct x86_cpuid r = x86_cpuid(0x15, 0);
		if (r.a && r.b && r.c)
			return (uint64_t)r.c * r.b / r.a;
	}
	if (x86_features.hypervisor && x86_cpuid(0x40000000, 0).a >= 0x40000010 &&
	    x86_cpuid(0x40000000, 0).a < 0x40010000)
		return x86_cpuid(0x40000010, 0).a * 1000ull;
	return 0;
}

enum kerr x86_timer_init(void)
{
	uint64_t told = tsc_hz_told(), hz = told, apic_hz = 0;
	if ((!told || !x86_features.tsc_deadline) && !calibrate(&hz, &apic_hz)) {
		core_log("x86: no clock to measure the TSC with\n");
		return KERR_NODEV;
	}
	hz = told ? told : hz;
	/* In 64 bits: up to 17 GHz. */
	nsec_per_tsc = (NSEC_PER_SEC << 32) / hz;
	tsc_per_nsec = (hz << 30) / NSEC_PER_SEC << 2;
	apic_per_nsec = (apic_hz << 30) / NSEC_PER_SEC << 2;
	tsc_khz = (uint32_t)(hz / 1000);
	core_log("x86: TSC %u.%03u MHz (%s), %s\n", tsc_khz / 1000, tsc_khz % 1000,
		 told ? "told" : "measured",
		 x86_features.tsc_deadline ? "deadline timer" : "one-shot APIC timer");
	return KERR_OK;
}

/* ---- Alarms -------------------------------------------------------------------------------- */

void x86_timer_cpu_init(void)
{
	x86_irq_timer_mode(x86_features.tsc_deadline ? LVT_TSC_DEADLINE | VECTOR_TIMER
						     : VECTOR_TIMER);
	/* The mode is in effect before the first write of a deadline (SDM volume 3, 11.5.4.1). */
	asm volatile("mfence" ::: "memory");
}

static void alarm_set(nsec_t deadline)
{
	if (x86_features.tsc_deadline) {
		/* From now on, so that the error of the quotient does not grow with the uptime. */
		uint64_t tsc = x86_rdtsc();
		nsec_t at = x86_timer_from_ticks(tsc), left = deadline > at ? deadline - at : 0;
		x86_wrmsr(MSR_TSC_DEADLINE,
			  deadline == NSEC_NEVER ? 0 : tsc + scale(left, tsc_per_nsec) + 1);
		return;
	}
	if (deadline == NSEC_NEVER) {
		x86_irq_timer_count(0);
		return;
	}
	nsec_t now = x86_timer_now();
	uint64_t count = deadline > now ? scale(deadline - now, apic_per_nsec) + 1 : 1;
	x86_irq_timer_count((uint32_t)MIN(count, UINT32_MAX));
}

void x86_timer_arm(nsec_t deadline)
{
	x86_cpu_area()->deadline = deadline;
	alarm_set(deadline);
}

bool x86_timer_expired(void)
{
	struct x86_cpu *cpu = x86_cpu_area();
	if (cpu->deadline == NSEC_NEVER)
		return false;
	if (x86_timer_now() < cpu->deadline) {
		alarm_set(cpu->deadline);
		return false;
	}
	cpu->deadline = NSEC_NEVER;
	return true;
}
