/*
 * Signal frames as Linux lays them for x86_64: programs and their libraries read, change and
 * sometimes build them. From the stack pointer down:
 *
 *   128 bytes of red zone (not on an alternate stack)
 *   FPU state, 64-byte aligned: the XSAVE area with a description in its bytes 464 to 511, an end
 *                               mark behind it. Where there are protection keys, their rights
 *                               stand where XSAVE would put them; what lies between is left
 *                               as it is: features that nobody has
 *   struct rt_frame:            return address, ucontext, siginfo; at 16n + 8, as after a call
 *
 * Everything is gathered in kernel memory first and copied; a page of the user's stack that is not
 * there ends it with KERR_FAULT and the frame unchanged. On the way back nothing that the program
 * wrote is believed: selectors are ours, flags masked, rip made canonical, the FPU area's
 * header and MXCSR made such that XRSTOR accepts them.
 */
#include "user.h"

#include <lib/string.h>

struct signal_stack {
	uint64_t base;
	int32_t flags;
	uint32_t pad;
	uint64_t size;
};

struct signal_context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, old_mask, cr2;
	uint64_t fpu; /* address, 0: none */
	uint64_t reserved[8];
};

struct user_context {
	uint64_t flags, link;
	struct signal_stack stack;
	struct signal_context registers;
	uint64_t mask;
};

struct rt_frame {
	uint64_t restorer;
	struct user_context context;
	uint8_t info[128];
};

static_assert(sizeof(struct signal_context) == 256);
static_assert(sizeof(struct user_context) == 304);
static_assert(sizeof(struct rt_frame) == 440);

#define CONTEXT_FP_XSTATE 1u
#define CONTEXT_SS 2u
#define CONTEXT_STRICT_SS 4u

#define RED_ZONE 128
#define FXSAVE_SIZE 512
#define FPU_MAGIC1 0x46505853u
#define FPU_MAGIC2 0x46505845u
#define FPU_DESCRIPTION 464
#define FPU_MXCSR 24
#define FPU_MXCSR_MASK 28
#define XSAVE_HEADER 512
#define XSAVE_MIN 576 /* x87, SSE, the header */
#define XFEATURES_LEGACY 3ull

struct fpu_description {
	uint32_t magic1, extended_size;
	uint64_t features;
	uint32_t state_size, pad[7];
};

static_assert(FPU_DESCRIPTION + sizeof(struct fpu_description) == FXSAVE_SIZE);

static size_t fpu_bytes(void)
{
	return x86_features.fpu_frame + (x86_features.xsave ? sizeof(uint32_t) : 0);
}

size_t x86_signal_frame_max(void)
{
	return RED_ZONE + sizeof(struct rt_frame) + 16 + fpu_bytes() + 64;
}

static bool user_range(vaddr_t at, size_t size)
{
	vaddr_t end = x86_mmu_geometry()->user_end;
	return at < end && size <= end - at;
}

/* ---- FPU state ----------------------------------------------------------------------------- */

/* Every key gives access until keys_set(): the frame is laid and taken whatever the program
 * allows itself, as on Linux. */
static uint32_t keys_open(void)
{
	if (!x86_features.keys)
		return 0;
	uint32_t pkru = x86_rdpkru();
	x86_wrpkru(0);
	return pkru;
}

static void keys_set(uint32_t pkru)
{
	if (x86_features.keys)
		x86_wrpkru(pkru);
}

static bool keys_push(vaddr_t at, uint32_t pkru)
{
	return !x86_features.keys ||
	       !x86_user_copy((void *)(at + x86_features.fpu_keys), &pkru, sizeof(pkru));
}

/* What the frame says; without a word, what a handler begins with. */
static bool keys_pop(vaddr_t at, bool extended, uint32_t *pkru)
{
	uint64_t present;
	*pkru = PKRU_INITIAL;
	if (!x86_features.keys || !extended)
		return true;
	*pkru = 0;
	if (x86_user_copy(&present, (void *)(at + XSAVE_HEADER), sizeof(present)))
		return false;
	return !(present & XFEATURE_KEYS) ||
	       !x86_user_copy(pkru, (void *)(at + x86_features.fpu_keys), sizeof(*pkru));
}

static bool fpu_push(vaddr_t at, uint32_t pkru)
{
	struct hal_thread *thread = x86_cpu_current();
	struct fpu_description d = {};
	uint32_t magic2 = FPU_MAGIC2;
	size_t used = x86_features.fpu_used, end = x86_features.fpu_frame;
	uint64_t keys = x86_features.keys ? XFEATURE_KEYS : 0;
	if (x86_features.xsave)
		d = (struct fpu_description){.magic1 = FPU_MAGIC1,
					     .extended_size = (uint32_t)fpu_bytes(),
					     .features = x86_features.xfeatures | keys,
					     .state_size = (uint32_t)end};
	x86_fpu_complete(thread);
	memcpy((char *)thread->fpu + FPU_DESCRIPTION, &d, sizeof(d));
	if (x86_features.xsave) {
		uint64_t *present = (uint64_t *)((char *)thread->fpu + XSAVE_HEADER);
		/* Whoever reads the frame looks there, also what is missing. */
		if (!(*present & ~XFEATURES_LEGACY))
			used = XSAVE_MIN;
		*present |= keys;
	}
	return !x86_user_copy((void *)at, thread->fpu, used) && keys_push(at, pkru) &&
	       (!x86_features.xsave || !x86_user_copy((void *)(at + end), &magic2, sizeof(magic2)));
}

/* The area at `at` has the parts beyond FXSAVE's, says its description. */
static bool fpu_is_extended(vaddr_t at, bool *extended)
{
	struct fpu_description d;
	uint32_t magic2 = 0;
	*extended = false;
	if (!x86_features.xsave)
		return true;
	if (x86_user_copy(&d, (void *)(at + FPU_DESCRIPTION), sizeof(d)))
		return false;
	if (d.magic1 != FPU_MAGIC1 || d.state_size != x86_features.fpu_frame ||
	    d.extended_size < fpu_bytes())
		return true;
	if (x86_user_copy(&magic2, (void *)(at + d.state_size), sizeof(magic2)))
		return false;
	*extended = magic2 == FPU_MAGIC2;
	return true;
}

/* XRSTOR refuses unknown features, the compacted format and anything in the reserved words. */
static void fpu_clean(char *area, bool extended)
{
	uint64_t *header = (uint64_t *)(area + XSAVE_HEADER);
	uint32_t mxcsr;
	memcpy(&mxcsr, area + FPU_MXCSR, sizeof(mxcsr));
	mxcsr &= x86_features.mxcsr_mask;
	memcpy(area + FPU_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(area + FPU_MXCSR_MASK, &x86_features.mxcsr_mask, sizeof(mxcsr));
	if (!x86_features.xsave)
		return;
	header[0] = extended ? header[0] & x86_features.xfeatures : 3;
	memset(header + 1, 0, 56);
}

static bool fpu_pop(vaddr_t at, uint32_t *pkru)
{
	struct hal_thread *thread = x86_cpu_current();
	bool extended, good = false;
	if (!at) {
		x86_fpu_reset(thread);
		*pkru = PKRU_INITIAL;
		return true;
	}
	if (!user_range(at, x86_features.fpu_frame + 4) || !fpu_is_extended(at, &extended) ||
	    !keys_pop(at, extended, pkru))
		return false;
	good = !x86_user_copy(thread->fpu, (void *)at,
			      extended ? x86_features.fpu_used : FXSAVE_SIZE);
	fpu_clean(thread->fpu, extended && good);
	return good;
}

/* ---- Delivery ------------------------------------------------------------------------------ */

static void context_fill(struct user_context *uc, const struct hal_frame *f,
			 const struct hal_signal *signal, vaddr_t fpu)
{
	*uc = (struct user_context){
		.flags = CONTEXT_SS | CONTEXT_STRICT_SS |
			 (x86_features.xsave ? CONTEXT_FP_XSTATE : 0),
		.stack = {.base = signal->alt_base,
			  .flags = signal->alt_flags,
			  .size = signal->alt_size},
		.mask = signal->mask,
		.registers = {.r8 = f->r8,
			      .r9 = f->r9,
			      .r10 = f->r10,
			      .r11 = f->r11,
			      .r12 = f->r12,
			      .r13 = f->r13,
			      .r14 = f->r14,
			      .r15 = f->r15,
			      .rdi = f->rdi,
			      .rsi = f->rsi,
			      .rbp = f->rbp,
			      .rbx = f->rbx,
			      .rdx = f->rdx,
			      .rax = f->rax,
			      .rcx = f->rcx,
			      .rsp = f->rsp,
			      .rip = f->rip,
			      .rflags = f->rflags,
			      .cs = SELECTOR_USER_CODE,
			      .ss = SELECTOR_USER_DATA,
			      .error = signal->fault_code & 0xffffffff,
			      .trap = signal->fault_code >> 32,
			      .old_mask = signal->mask,
			      .cr2 = signal->fault_addr,
			      .fpu = fpu},
	};
}

enum kerr x86_signal_push(struct hal_frame *frame, const struct hal_signal *signal)
{
	vaddr_t top = signal->stack_top ? signal->stack_top : frame->rsp - RED_ZONE;
	vaddr_t fpu = ALIGN_DOWN(top - fpu_bytes(), 64);
	vaddr_t at = ALIGN_DOWN(fpu - sizeof(struct rt_frame), 16) - 8;
	struct rt_frame rt;
	if (at > top || !user_range(at, top - at))
		return KERR_FAULT;
	frame_own(frame);
	rt.restorer = signal->restorer;
	context_fill(&rt.context, frame, signal, fpu);
	memcpy(rt.info, signal->info, sizeof(rt.info));
	uint32_t pkru = keys_open();
	x86_cpu_current()->flags |= THREAD_FPU_HELD;
	bool good = !x86_user_copy((void *)at, &rt, sizeof(rt)) && fpu_push(fpu, pkru);
	x86_cpu_current()->flags &= ~(uint32_t)THREAD_FPU_HELD;
	if (!good) {
		keys_set(pkru);
		return KERR_FAULT;
	}
	x86_fpu_reset(x86_cpu_current());
	keys_set(PKRU_INITIAL);
	frame->rdi = (uint64_t)(int64_t)signal->signo;
	frame->rsi = at + offsetof(struct rt_frame, info);
	frame->rdx = at + offsetof(struct rt_frame, context);
	frame->rax = 0;
	frame->rip = x86_user_ip_clean(signal->handler);
	frame->rsp = at;
	frame->rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
	return KERR_OK;
}

/* ---- Return -------------------------------------------------------------------------------- */

static void registers_take(struct hal_frame *f, const struct signal_context *r)
{
	f->r8 = r->r8;
	f->r9 = r->r9;
	f->r10 = r->r10;
	f->r11 = r->r11;
	f->r12 = r->r12;
	f->r13 = r->r13;
	f->r14 = r->r14;
	f->r15 = r->r15;
	f->rdi = r->rdi;
	f->rsi = r->rsi;
	f->rbp = r->rbp;
	f->rbx = r->rbx;
	f->rdx = r->rdx;
	f->rax = r->rax;
	f->rcx = r->rcx;
	f->rsp = r->rsp;
	f->rip = x86_user_ip_clean(r->rip);
	f->rflags = (r->rflags & RFLAGS_USER) | RFLAGS_IF | RFLAGS_FIXED;
	f->cs = SELECTOR_USER_CODE;
	f->ss = SELECTOR_USER_DATA;
}

enum kerr x86_signal_pop(struct hal_frame *frame, struct hal_signal *out)
{
	struct rt_frame rt;
	vaddr_t at = frame->rsp - sizeof(rt.restorer); /* the handler's RET took it */
	uint32_t before = keys_open(), pkru;
	x86_cpu_current()->flags |= THREAD_FPU_HELD;
	bool good = user_range(at, sizeof(rt)) && !x86_user_copy(&rt, (void *)at, sizeof(rt)) &&
		    fpu_pop(rt.context.registers.fpu, &pkru);
	x86_cpu_current()->flags &= ~(uint32_t)THREAD_FPU_HELD;
	if (!good) {
		keys_set(before);
		return KERR_FAULT;
	}
	keys_set(pkru);
	frame_own(frame);
	registers_take(frame, &rt.context.registers);
	*out = (struct hal_signal){
		.mask = rt.context.mask,
		.alt_base = rt.context.stack.base,
		.alt_size = rt.context.stack.size,
		.alt_flags = rt.context.stack.flags,
	};
	return KERR_OK;
}
