/*
 * execve(2): a new address space is built beside the old one, complete with stack and registers'
 * values; only then, when nothing can fail any more, are the other threads ended and the old one
 * replaced. (Linux passes that point earlier; here a failed exec leaves the program running.)
 *
 * The stack of a new program, from the top down: 8 zero bytes, the path (AT_EXECFN), argument and
 * environment strings, platform name, 16 random bytes; below, 16-byte aligned, argc, argv, envp and
 * the auxiliary vector (System V ABI, "Process Initialization").
 */
#include "elf.h"
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <core/random.h>
#include <exec/domain.h>
#include <exec/exec.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/huge.h>

#define STACK_MIN ((size_t)128 << 10)
#define TICKS_PER_SECOND 100
#define ADDR_NO_RANDOMIZE 0x0040000u /* personality(2) */
#define CLEAR_ON_SETID 0x0740000u /* .. and what a program with other rights does not inherit */

enum {
	AT_NULL = 0,
	AT_PHDR = 3,
	AT_PHENT = 4,
	AT_PHNUM = 5,
	AT_PAGESZ = 6,
	AT_BASE = 7,
	AT_FLAGS = 8,
	AT_ENTRY = 9,
	AT_UID = 11,
	AT_EUID = 12,
	AT_GID = 13,
	AT_EGID = 14,
	AT_PLATFORM = 15,
	AT_HWCAP = 16,
	AT_CLKTCK = 17,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_HWCAP2 = 26,
	AT_EXECFN = 31,
	AT_MINSIGSTKSZ = 51,
};

/* A new program on its way. */
struct program {
	const struct exec_request *request;
	struct aspace *aspace;
	struct elf_image elf, loader; /* loader: PT_INTERP's, if any */
	struct vm_object *loader_object; /* null: none */
	vaddr_t base, loader_base;    /* what was added to their addresses */
	vaddr_t entry;                /* where it starts: the loader's or its own */
	vaddr_t trampoline;
	vaddr_t stack_top, sp;
	vaddr_t arg_start, arg_end, env_end;
};

/* ---- The signal trampoline ---- */

static struct vm_object *trampoline_object; /* (trampoline_lock) made once */
static struct mutex trampoline_lock = MUTEX_INIT(trampoline_lock);

static enum kerr trampoline_get(struct vm_object **out)
{
	const struct hal_user_info *info = hal.user.info();
	enum kerr err = KERR_OK;
	size_t done;

	mutex_lock(&trampoline_lock);
	if (!trampoline_object) {
		struct vm_object *o;
		err = vm_object_create_anonymous(PAGE_SIZE, &o);
		if (err == KERR_OK) {
			err = vm_object_write(o, 0, (vaddr_t)info->trampoline,
					      info->trampoline_size, false, &done);
			if (err == KERR_OK)
				trampoline_object = o;
			else
				vm_object_put(o);
		}
	}
	*out = trampoline_object;
	mutex_unlock(&trampoline_lock);
	return err;
}

static enum kerr map_trampoline(struct program *p)
{
	struct vm_object *o = READ_ONCE(trampoline_object);

	if (!o) {
		enum kerr err = trampoline_get(&o);
		if (err != KERR_OK)
			return err;
	}
	p->trampoline = 0;
	enum kerr err = aspace_map(p->aspace, &p->trampoline, PAGE_SIZE, PROT_READ | PROT_EXEC,
				   MMAP_SHARED, o, 0);
	if (err == KERR_OK)
		aspace_name(p->aspace, p->trampoline, "[vdso]");
	return err;
}

/* ---- Mapping ---- */

/*
 * Where things go (VM-22), in bits of page numbers. Where user addresses have 47 bits or more these are
 * what Linux gives at most by default; Sv39 has fewer to give.
 *
 *	            47 bits and more   Sv39
 *	mmap, PIE   28                 24
 *	stack       22                 18
 *	brk         18                 18
 */
#define BRK_BITS 18

_Atomic unsigned exec_randomize = 2;

static bool wide(void)
{
	return aspace_user_end() >> 46;
}

static unsigned map_bits(void)
{
	return wide() ? 28 : 24;
}

static unsigned stack_bits(void)
{
	return wide() ? 22 : 18;
}

/* Whether the new program's addresses of this sort are random: 1, or the heap's: 2. */
static bool randomized(unsigned sort)
{
	return atomic_load_explicit(&exec_randomize, memory_order_relaxed) >= sort &&
	       !(current_process()->personality & ADDR_NO_RANDOMIZE);
}

static vaddr_t random_pages(unsigned bits, unsigned sort)
{
	return randomized(sort) ? (random_u64() & (((uint64_t)1 << bits) - 1)) << PAGE_SHIFT : 0;
}

static enum kerr map_program(struct program *p)
{
	vaddr_t end;

	if (!p->elf.fixed)
		p->base = ALIGN_DOWN(aspace_user_top() / 3 * 2 - random_pages(map_bits(), 1),
				     p->elf.align) -
			  p->elf.low;
	enum kerr err = elf_map(&p->elf, p->aspace, p->base, &end);
	if (err != KERR_OK)
		return err;
	p->entry = p->base + p->elf.entry;
	aspace_set_brk(p->aspace, ALIGN_UP(end, PAGE_SIZE) + random_pages(BRK_BITS, 2));
	return KERR_OK;
}

static enum kerr map_loader(struct program *p)
{
	vaddr_t at = 0, end;
	size_t size;
	enum kerr err;

	if (!p->loader_object)
		return KERR_OK;
	if (p->loader.fixed) {
		p->loader_base = 0;
	} else {
		/* A free range of its size, which its segments then replace. */
		size = p->loader.high - p->loader.low + p->loader.align;
		err = aspace_map(p->aspace, &at, size, PROT_NONE,
				 MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_NORESERVE, nullptr, 0);
		if (err != KERR_OK)
			return err;
		err = aspace_unmap(p->aspace, at, size);
		if (err != KERR_OK)
			return err;
		p->loader_base = ALIGN_UP(at, p->loader.align) - p->loader.low;
	}
	err = elf_map(&p->loader, p->aspace, p->loader_base, &end);
	p->entry = p->loader_base + p->loader.entry;
	return err;
}

static enum kerr open_images(struct program *p)
{
	const struct exec_request *r = p->request;
	enum kerr err = elf_read(r->object, &p->elf);

	if (err != KERR_OK || !p->elf.interpreter[0])
		return err;
	err = r->interpreter(r->context, p->elf.interpreter, &p->loader_object);
	if (err != KERR_OK)
		return err;
	err = elf_read(p->loader_object, &p->loader);
	/* A loader that is no ELF file is a broken library, not a script to try. */
	return err == KERR_NOEXEC ? KERR_ACCESS : err;
}

/* ---- The stack ---- */

struct stack_image {
	uint8_t *bytes; /* a copy of [bottom, top) */
	vaddr_t bottom, top;
	vaddr_t at;     /* the lowest address in use */
};

static vaddr_t push(struct stack_image *s, const void *data, size_t size)
{
	s->at -= size;
	memcpy(s->bytes + (s->at - s->bottom), data, size);
	return s->at;
}

static void put_aux(uint64_t **v, uint64_t type, uint64_t value)
{
	*(*v)++ = type;
	*(*v)++ = value;
}

struct stack_addresses {
	vaddr_t path, platform, random;
};

static uint64_t *write_aux(const struct program *p, const struct stack_addresses *a, uint64_t *v)
{
	const struct hal_user_info *info = hal.user.info();
	const struct credentials *c = &current_process()->credentials;

	put_aux(&v, AT_HWCAP, info->hwcap);
	put_aux(&v, AT_PAGESZ, PAGE_SIZE);
	put_aux(&v, AT_CLKTCK, TICKS_PER_SECOND);
	put_aux(&v, AT_PHDR, p->elf.headers ? p->base + p->elf.headers : 0);
	put_aux(&v, AT_PHENT, sizeof(struct elf_segment));
	put_aux(&v, AT_PHNUM, p->elf.count);
	put_aux(&v, AT_BASE, p->loader_base);
	put_aux(&v, AT_FLAGS, 0);
	put_aux(&v, AT_ENTRY, p->base + p->elf.entry);
	put_aux(&v, AT_UID, c->uid);
	put_aux(&v, AT_EUID, p->request->euid);
	put_aux(&v, AT_GID, c->gid);
	put_aux(&v, AT_EGID, p->request->egid);
	put_aux(&v, AT_SECURE, p->request->secure);
	put_aux(&v, AT_RANDOM, a->random);
	put_aux(&v, AT_HWCAP2, info->hwcap2);
	put_aux(&v, AT_EXECFN, a->path);
	put_aux(&v, AT_PLATFORM, a->platform);
	put_aux(&v, AT_MINSIGSTKSZ, info->min_signal_stack);
	put_aux(&v, AT_NULL, 0);
	return v;
}
#define AUX_WORDS 40

/* Pointers to `count` strings from `at` on; returns where they end. */
static vaddr_t write_pointers(uint64_t **v, const char *text, vaddr_t at, unsigned count)
{
	while (count--) {
		size_t size = strlen(text) + 1;
		*(*v)++ = at;
		at += size;
		text += size;
	}
	*(*v)++ = 0;
	return at;
}

static enum kerr fill_stack(struct program *p, struct stack_image *s)
{
	const struct exec_request *r = p->request;
	const char *platform = hal.user.info()->machine;
	size_t words = 1 + r->argc + 1 + r->envc + 1 + AUX_WORDS;
	struct stack_addresses a;
	uint8_t seed[16];

	random_bytes(seed, sizeof(seed));
	s->at = s->top - 8;
	a.path = push(s, r->path, strlen(r->path) + 1);
	p->arg_start = push(s, r->strings, r->strings_size);
	a.platform = push(s, platform, strlen(platform) + 1);
	a.random = push(s, seed, sizeof(seed));
	s->at = p->sp = ALIGN_DOWN(s->at - words * 8, (vaddr_t)16);

	uint64_t *v = (uint64_t *)(s->bytes + (s->at - s->bottom));
	*v++ = r->argc;
	p->arg_end = write_pointers(&v, r->strings, p->arg_start, r->argc);
	p->env_end =
		write_pointers(&v, r->strings + (p->arg_end - p->arg_start), p->arg_end, r->envc);
	write_aux(p, &a, v);
	size_t used = s->top - s->at;
	return aspace_access(p->aspace, s->at, s->bytes + (s->at - s->bottom), used, true) == used
		       ? KERR_OK
		       : KERR_NOMEM;
}

static enum kerr build_stack(struct program *p)
{
	const struct exec_request *r = p->request;
	size_t need = 8 + strlen(r->path) + 1 + r->strings_size + 64 + 16 +
		      (3 + r->argc + r->envc + AUX_WORDS) * 8 + 32;
	size_t size = ALIGN_UP(need, (size_t)16);
	struct stack_image s = {.bytes = heap_alloc_zeroed(size)};

	if (!s.bytes)
		return KERR_NOMEM;
	p->stack_top = aspace_user_top() - PAGE_SIZE - random_pages(stack_bits(), 1);
	s.top = p->stack_top;
	s.bottom = s.top - size;
	size_t region = ALIGN_UP(size, (size_t)PAGE_SIZE) + STACK_MIN;
	vaddr_t start = s.top - region;
	enum kerr err =
		aspace_map(p->aspace, &start, region, PROT_READ | PROT_WRITE,
			   MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED | MMAP_GROWSDOWN | MMAP_STACK,
			   nullptr, 0);
	if (err == KERR_OK) {
		aspace_name(p->aspace, start, "[stack]");
		err = fill_stack(p, &s);
	}
	heap_free(s.bytes);
	return err;
}

/* ---- The point of no return ---- */

/* Ends all other threads and takes the process's number. KERR_INTR: this one is being ended. */
static enum kerr become_single(struct process *p)
{
	struct thread *self = current_thread(), *t;
	bool on = spin_lock_irq(&p->lock);
	bool ended = p->exiting || self->must_end;

	if (!ended && p->thread_count > 1) {
		p->exec_waits = true;
		list_for_each(t, &p->threads, process_link) {
			if (t == self)
				continue;
			t->must_end = true;
			thread_notify(t, TASK_WORK_STOP);
		}
		while (p->thread_count > 1 && !p->exiting) {
			spin_unlock_irq(&p->lock, on);
			enum kerr err = sched_park(WAIT_OTHER, false, NSEC_NEVER);
			(void)err; /* not interruptible, no deadline */
			on = spin_lock_irq(&p->lock);
		}
		p->exec_waits = false;
		ended = p->exiting;
	}
	spin_unlock_irq(&p->lock, on);
	if (ended)
		return KERR_INTR;
	if (self->tid != p->pid) {
		int old = self->tid;
		on = spin_lock_irq(&process_tree_lock);
		thread_rehash_locked(self, p->pid);
		spin_unlock_irq(&process_tree_lock, on);
		id_release(old);
	}
	return KERR_OK;
}

static void reset_thread(struct thread *t)
{
	t->alt_stack_base = t->alt_stack_size = 0;
	t->clear_child_tid = 0;
	t->robust_list = 0;
	t->restart = 0;
	t->restore_mask = false;
	fpu_new_program();
}

/* A process whose actions are shared with another gets its own (CLONE_SIGHAND). */
static enum kerr own_actions(struct process *p, struct signal_actions **out)
{
	*out = nullptr;
	if (!signal_actions_shared(p->actions))
		return KERR_OK;
	*out = signal_actions_copy(p->actions);
	return *out ? KERR_OK : KERR_NOMEM;
}

static void commit(struct program *prog, struct signal_actions *actions)
{
	const struct exec_request *r = prog->request;
	struct thread *t = current_thread();
	struct process *p = t->process;
	struct signal_actions *old_actions = nullptr;
	void *old_file = p->executable;

	bool on = spin_lock_irq(&p->lock);
	struct aspace *old = p->aspace;
	sched_use_aspace(prog->aspace);
	if (actions) {
		old_actions = p->actions;
		p->actions = actions;
	}
	capabilities_exec(&p->credentials.capabilities, p->credentials.uid, r->euid, r->set_id,
			  p->no_new_privileges);
	process_gate_update_locked(p);
	p->credentials.suid = p->credentials.euid = p->credentials.fsuid = r->euid;
	p->credentials.sgid = p->credentials.egid = p->credentials.fsgid = r->egid;
	p->shares_aspace = false;
	p->trampoline = prog->trampoline;
	p->arg_start = prog->arg_start;
	p->arg_end = p->env_start = prog->arg_end;
	p->env_end = prog->env_end;
	p->stack_start = prog->sp;
	p->executable = r->executable;
	p->did_exec = true;
	p->exit_signal = SIGCHLD;
	p->dumpable = !r->secure;
	strlcpy(p->name, r->name, sizeof(p->name));
	strlcpy(t->task.name, r->name, sizeof(t->task.name));
	spin_unlock_irq(&p->lock, on);

	signal_actions_exec(p->actions);
	if (old_actions)
		signal_actions_put(old_actions);
	reset_thread(t);
	hal.user.frame_init(thread_frame(t), prog->entry, prog->sp);
	hal.user.set_tls(&t->task.hal, thread_frame(t), 0);
	vfork_release(p);
	if (old)
		aspace_put(old);
	if (old_file)
		process_executable_put(old_file);
}

/* prctl(PR_SET_MDWE) lasts, unless it was asked not to. */
static unsigned inherited_denial(const struct process *p)
{
	unsigned bits = p->aspace ? aspace_exec_denied(p->aspace) : 0;

	return bits & MDWE_NO_INHERIT ? 0 : bits;
}

enum kerr exec_program(const struct exec_request *request)
{
	struct process *p = current_process();
	struct program prog = {.request = request};
	struct signal_actions *actions = nullptr;
	enum kerr err = open_images(&prog);

	if (request->secure)
		p->personality &= ~CLEAR_ON_SETID;

	if (err != KERR_OK)
		goto out_images;
	err = aspace_create(&prog.aspace);
	if (err != KERR_OK)
		goto out_images;
	intent_memory_limits(p, prog.aspace);
	aspace_set_random(prog.aspace, randomized(1) ? PAGE_SIZE << stack_bits() : 0,
			  random_pages(map_bits(), 1));
	if (p->aspace)
		aspace_set_huge_disabled(prog.aspace, aspace_huge_disabled(p->aspace));
	err = aspace_deny_exec(prog.aspace, inherited_denial(p));
	if (err == KERR_OK)
		err = map_program(&prog);
	if (err == KERR_OK)
		err = build_stack(&prog);
	if (err == KERR_OK)
		err = map_loader(&prog);
	if (err == KERR_OK)
		err = map_trampoline(&prog);
	if (err == KERR_OK)
		err = own_actions(p, &actions);
	if (err == KERR_OK)
		err = become_single(p);
	if (err == KERR_OK) {
		commit(&prog, actions);
	} else {
		if (actions)
			signal_actions_put(actions);
		aspace_put(prog.aspace);
	}
out_images:
	elf_free(&prog.elf);
	elf_free(&prog.loader);
	if (prog.loader_object)
		vm_object_put(prog.loader_object);
	return err;
}
