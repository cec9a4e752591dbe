/*
 * Time: the `time` counter, the same on all harts, at the device tree's timebase-frequency. The
 * deadline goes into stimecmp where the CPU has Sstc, else to the firmware.
 * Both conversions are one multiplication by a fixed-point factor, exact to a tick over centuries.
 */
#include "riscv64.h"

#include "fdt.h"
#include "sbi.h"

static RO_AFTER_INIT uint64_t nsec_per_tick;  /* times 2^32 */
static RO_AFTER_INIT uint64_t ticks_per_nsec; /* times 2^64: below 1 GHz */

void riscv_timer_init(const struct boot_info *info)
{
	struct fdt_node node;
	uint64_t frequency = 0;
	if (!fdt_find_path(riscv_platform_fdt(), "/cpus", &node) ||
	    !fdt_number(riscv_platform_fdt(), &node, "timebase-frequency", &frequency) ||
	    frequency == 0 || frequency >= NSEC_PER_SEC)
		core_panic("riscv64: no usable timebase-frequency in the device tree (%llu)",
			   (unsigned long long)frequency);
	nsec_per_tick = (NSEC_PER_SEC << 32) / frequency;
	/* frequency * 2^64 / 10^9, in two halves */
	uint64_t scaled = frequency << 32;
	ticks_per_nsec =
		(scaled / NSEC_PER_SEC << 32) + (scaled % NSEC_PER_SEC << 32) / NSEC_PER_SEC;
}

nsec_t riscv_timer_from_ticks(uint64_t ticks)
{
	return (nsec_t)((unsigned __int128)ticks * nsec_per_tick >> 32);
}

nsec_t riscv_timer_now(void)
{
	return riscv_timer_from_ticks(csr_read(time));
}

void riscv_timer_arm(nsec_t deadline)
{
	uint64_t ticks = UINT64_MAX;
	if (deadline != NSEC_NEVER)
		ticks = (uint64_t)((unsigned __int128)deadline * ticks_per_nsec >> 64) + 1;
	if (riscv_cpu_features.sstc)
		csr_write(CSR_STIMECMP, ticks);
	else
		sbi_timer_set(ticks);
	csr_set(sie, SIE_TIMER);
}

/* The interrupt is pending until a later deadline is set: off until core sets one. */
void riscv_timer_interrupt(void)
{
	csr_clear(sie, SIE_TIMER);
	core_timer();
}
