/*
 * x87, SSE and AVX state: XSAVE in the standard format where the CPU has it, FXSAVE otherwise.
 *
 * The area is the kernel's copy in the same layout that signal frames show to programs (Intel SDM
 * volume 1, 13.4). An area of zeroes stands for the state of a new program; as MXCSR and the x87
 * control word are not zero in that state, and XRSTOR takes MXCSR from memory in any case, a load
 * first looks at the field MXCSR_MASK, which each save makes nonzero.
 *
 * Protection keys' rights (PKRU) go with it, by RDPKRU and WRPKRU: XSAVE would put them far behind
 * everything else, and each area and copy would be three times as large. The area keeps them behind
 * what XSAVE writes, exclusive-ored with what a new program has, so that zeroes are right.
 *
 * The kernel's own uses of SSE (string.S, user_copy.S) leave the registers as they were.
 *
 * Saves and loads happen at each switch of user threads. THREAD_FPU_STALE (own thread) makes both
 * nothing, while x86_signal_pop() rewrites the area with interrupts on.
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
	if (x86_cpu_area()->index)
		return;
	if (f->keys) {
		f->fpu_frame = x86_cpuid(0xd, 0).b;
		f->fpu_keys = x86_cpuid(0xd, 9).b;
	}
	f->fpu_size = ALIGN_UP(f->fpu_used + (f->keys ? sizeof(uint32_t) : 0), 64);
	asm volatile("fxsave64 %0" : "=m"(probe));
	memcpy(&f->mxcsr_mask, probe + OFFSET_MXCSR_MASK, sizeof(f->mxcsr_mask));
	if (!f->mxcsr_mask)
		f->mxcsr_mask = 0xffbf; /* Intel SDM volume 1, 11.6.6 */
}

static inline uint32_t *keys_of(struct hal_thread *thread)
{
	return (uint32_t *)((char *)thread->fpu + x86_features.fpu_used);
}

void x86_fpu_keys_store(struct hal_thread *thread, uint32_t pkru)
{
	if (x86_features.keys)
		*keys_of(thread) = pkru ^ PKRU_INITIAL;
}

void x86_fpu_save(struct hal_thread *thread)
{
	void *area = thread->fpu;
	uint32_t low = (uint32_t)x86_features.xfeatures;
	if (unlikely(thread->flags & THREAD_FPU_STALE))
		return;
	if (x86_features.xsaveopt)
		asm volatile("xsaveopt64 (%0)" ::"r"(area), "a"(low), "d"(0) : "memory");
	else if (x86_features.xsave)
		asm volatile("xsave64 (%0)" ::"r"(area), "a"(low), "d"(0) : "memory");
	else
		asm volatile("fxsave64 (%0)" ::"r"(area) : "memory");
	/* FXSAVE of an old CPU, or an emulator, may leave the mask 0. */
	*(uint32_t *)((char *)area + OFFSET_MXCSR_MASK) = x86_features.mxcsr_mask;
	if (x86_features.keys)
		*keys_of(thread) = x86_rdpkru() ^ PKRU_INITIAL;
	thread->fpu_saves++;
}

void x86_fpu_load(struct hal_thread *thread)
{
	char *area = thread->fpu;
	if (unlikely(thread->flags & THREAD_FPU_STALE)) {
		if (x86_features.keys)
			x86_wrpkru(0); /* x86_signal_pop() reads the frame with all keys */
		return;
	}
	if (!*(uint32_t *)(area + OFFSET_MXCSR_MASK)) {
		*(uint16_t *)(area + OFFSET_FCW) = FCW_INITIAL;
		*(uint32_t *)(area + OFFSET_MXCSR) = MXCSR_INITIAL;
		*(uint32_t *)(area + OFFSET_MXCSR_MASK) = x86_features.mxcsr_mask;
	}
	thread->fpu_loads++;
	if (x86_features.xsave)
		asm volatile("xrstor64 (%0)" ::"r"(area), "a"((uint32_t)x86_features.xfeatures),
			     "d"(0)
			     : "memory");
	else
		asm volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
	if (x86_features.keys)
		x86_wrpkru(*keys_of(thread) ^ PKRU_INITIAL);
}

/* Any context of the current thread. */
void x86_fpu_reset(struct hal_thread *thread)
{
	bool on = x86_cpu_irq_save();
	char *area = thread->fpu;
	if (x86_features.xsave) {
		*(uint64_t *)(area + OFFSET_XSTATE_BV) = 0; /* every part in its initial state */
		*(uint32_t *)(area + OFFSET_MXCSR) = MXCSR_INITIAL;
	} else {
		memset(area, 0, FXSAVE_SIZE);
	}
	x86_fpu_keys_store(thread, PKRU_INITIAL);
	x86_fpu_load(thread);
	x86_cpu_irq_restore(on);
}
