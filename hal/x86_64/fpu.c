/*
 * x87, SSE and AVX state: XSAVE in the standard format where the CPU has it, FXSAVE otherwise.
 *
 * The area is the kernel's copy in the same layout that signal frames show to programs (Intel SDM
 * volume 1, 13.4). An area of zeroes stands for the state of a new program; as MXCSR and the x87
 * control word are not zero in that state, and XRSTOR takes MXCSR from memory in any case, who loads
 * or shows an area first looks at the field MXCSR_MASK, which each save makes nonzero.
 *
 * Protection keys' rights (PKRU) are not lazy: the kernel's copies are bound by them too. switch_to
 * moves them by RDPKRU and WRPKRU, and an area keeps them behind what XSAVE writes, exclusive-ored
 * with what a new program has, so that zeroes are right. (XSAVE would put them far behind
 * everything else, and each area and copy would be three times as large.)
 *
 * CR0.TS turns the unit off; x86_cpu.fpu_off is a copy of it that is cheaper to read. The kernel's own
 * uses of SSE (string.S, user_copy.S) leave the registers as they were, whoever they belong to.
 * string.S turns the unit on for itself. user_copy.S uses it where it is on, and may find it off
 * after a switch of threads: that trap is answered like a program's.
 */
#include "cpu.h"

#include <lib/string.h>

#define FCW_INITIAL 0x37f
#define MXCSR_INITIAL 0x1f80
#define OFFSET_FCW 0
#define OFFSET_MXCSR 24
#define OFFSET_MXCSR_MASK 28
#define OFFSET_XSTATE_BV 512
#define FXSAVE_SIZE 512

/* x87, SSE, AVX, AVX-512 (three parts): what a context switch can keep without more setup. */
#define XFEATURES_KNOWN 0xe7ull

void x86_fpu_probe(void)
{
	struct x86_features *f = &x86_features;
	f->xfeatures = 3;
	f->fpu_used = f->fpu_frame = FXSAVE_SIZE;
	if (f->xsave) {
		struct x86_cpuid xd = x86_cpuid(0xd, 0);
		f->xfeatures = (xd.a | (uint64_t)xd.d << 32) & XFEATURES_KNOWN;
		if ((f->xfeatures & 0xe0) != 0xe0)
			f->xfeatures &= ~0xe0ull;
		f->xsaveopt = x86_cpuid(0xd, 1).a & 1;
		f->keys &= (xd.a & XFEATURE_KEYS) != 0;
	}
	f->fpu_size = FXSAVE_SIZE;
}

static inline void xsetbv(uint64_t value)
{
	asm volatile("xsetbv" ::"c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

/* The control registers are set. On the boot CPU also learns the sizes, which depend on XCR0. */
void x86_fpu_setup(void)
{
	struct x86_features *f = &x86_features;
	static uint8_t ALIGNED(64) probe[FXSAVE_SIZE] INIT_DATA;
	if (f->xsave)
		xsetbv(f->xfeatures);
	asm volatile("fninit");
	if (!x86_cpu_area()->index && f->xsave)
		f->fpu_used = f->fpu_frame = x86_cpuid(0xd, 0).b;
	if (f->keys) {
		xsetbv(f->xfeatures | XFEATURE_KEYS);
		x86_wrpkru(PKRU_INITIAL);
	}
	if (x86_cpu_area()->index) {
		x86_fpu_enable(false);
		return;
	}
	if (f->keys) {
		f->fpu_frame = x86_cpuid(0xd, 0).b;
		f->fpu_keys = x86_cpuid(0xd, 9).b;
	}
	f->fpu_size = ALIGN_UP(f->fpu_used + (f->keys ? sizeof(uint32_t) : 0), 64);
	asm volatile("fxsave64 %0" : "=m"(probe));
	memcpy(&f->mxcsr_mask, probe + OFFSET_MXCSR_MASK, sizeof(f->mxcsr_mask));
	if (!f->mxcsr_mask)
		f->mxcsr_mask = 0xffbf; /* Intel SDM volume 1, 11.6.6 */
	x86_fpu_enable(false);
}

void x86_fpu_enable(bool on)
{
	x86_cpu_area()->fpu_off = !on;
	if (on)
		asm volatile("clts" ::: "memory");
	else
		x86_write_cr0(CR0_KERNEL | CR0_TS);
}

void x86_fpu_save(struct hal_thread *thread)
{
	void *area = thread->fpu;
	uint32_t low = (uint32_t)x86_features.xfeatures;
	if (x86_features.xsaveopt)
		asm volatile("xsaveopt64 (%0)" ::"r"(area), "a"(low), "d"(0) : "memory");
	else if (x86_features.xsave)
		asm volatile("xsave64 (%0)" ::"r"(area), "a"(low), "d"(0) : "memory");
	else
		asm volatile("fxsave64 (%0)" ::"r"(area) : "memory");
	/* FXSAVE of an old CPU, or an emulator, may leave the mask 0. */
	*(uint32_t *)((char *)area + OFFSET_MXCSR_MASK) = x86_features.mxcsr_mask;
	thread->fpu_saves++;
}

void x86_fpu_complete(struct hal_thread *thread)
{
	char *area = thread->fpu;
	if (likely(*(uint32_t *)(area + OFFSET_MXCSR_MASK)))
		return;
	*(uint16_t *)(area + OFFSET_FCW) = FCW_INITIAL;
	*(uint32_t *)(area + OFFSET_MXCSR) = MXCSR_INITIAL;
	*(uint32_t *)(area + OFFSET_MXCSR_MASK) = x86_features.mxcsr_mask;
}

void x86_fpu_load(struct hal_thread *thread)
{
	const void *area = thread->fpu;
	x86_fpu_complete(thread);
	thread->fpu_loads++;
	if (x86_features.xsave)
		asm volatile("xrstor64 (%0)" ::"r"(area), "a"((uint32_t)x86_features.xfeatures),
			     "d"(0)
			     : "memory");
	else
		asm volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

void x86_fpu_copy(struct hal_thread *to, const struct hal_thread *from)
{
	memcpy(to->fpu, from->fpu, x86_features.fpu_used);
	if (x86_features.keys)
		*x86_fpu_keys(to) = x86_rdpkru() ^ PKRU_INITIAL;
}

void x86_fpu_reset(struct hal_thread *thread)
{
	char *area = thread->fpu;
	if (x86_features.xsave) {
		*(uint64_t *)(area + OFFSET_XSTATE_BV) = 0; /* every part in its initial state */
		*(uint32_t *)(area + OFFSET_MXCSR) = MXCSR_INITIAL;
	} else {
		memset(area, 0, FXSAVE_SIZE);
	}
}
