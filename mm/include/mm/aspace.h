/*
 * Address spaces (VM-8, 9, 17): what a process sees. A tree of regions (what each address range
 * is), a page tree (the private pages), and the hardware table, which is only a cache of the two.
 */
#pragma once

#include <core/rcu.h>
#include <core/wait.h>
#include <hal/hal.h>
#include <lib/rbtree.h>
#include <mm/object.h>
#include <mm/pagetree.h>

enum region_kind {
	REGION_ANONYMOUS,
	REGION_FILE,
	REGION_DEVICE,
	REGION_KERNEL,
	REGION_GUARD,
	REGION_RESERVED,
	REGION_STACK,
};

/* What was asked for a region, besides its rights. */
enum region_mark {
	MARK_LOCKED = 0x1,      /* mlock: its pages stay */
	MARK_ON_FAULT = 0x2,    /* with LOCKED: they come one by one */
	MARK_NO_FORK = 0x4,     /* MADV_DONTFORK: not in a child */
	MARK_WIPE = 0x8,        /* MADV_WIPEONFORK: empty in a child */
	MARK_NO_DUMP = 0x10,    /* MADV_DONTDUMP */
	MARK_SEALED = 0x20,     /* mseal: stays as it is */
	MARK_SEQUENTIAL = 0x40, /* MADV_SEQUENTIAL, MADV_RANDOM: for smaps */
	MARK_RANDOM = 0x80,
	MARK_VOLATILE = 0x100,  /* its pages may be purged (purge.c) */
	MARK_PURGED = 0x200,    /* with VOLATILE: and some were */
};

/* Protection and flags of a region: the Linux PROT_* and MAP_* values of mmap(2). */
#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define PROT_SEM 8 /* means nothing */
#define PROT_GROWSDOWN 0x01000000 /* mprotect: from the start of the region that grows */
#define PROT_GROWSUP 0x02000000

#define MMAP_SHARED 0x01
#define MMAP_PRIVATE 0x02
#define MMAP_FIXED 0x10
#define MMAP_ANONYMOUS 0x20
#define MMAP_GROWSDOWN 0x100
#define MMAP_LOCKED 0x2000
#define MMAP_NORESERVE 0x4000
#define MMAP_POPULATE 0x8000
#define MMAP_NONBLOCK 0x10000 /* with POPULATE: do not */
#define MMAP_STACK 0x20000
#define MMAP_HUGETLB 0x40000
#define MMAP_FIXED_NOREPLACE 0x100000
/* Not of mmap(2): the object is a file not open for writing; a shared mapping of it can never
 * become writable (mprotect gives KERR_ACCESS). */
#define MMAP_DENY_WRITE 0x80000000u

struct aspace;

/* For region_info: a copy, as /proc/PID/maps needs it. */
struct region_info {
	vaddr_t start, end;
	unsigned prot;
	enum region_kind kind;
	bool shared, may_write, grows, accounted, noreserve;
	uint8_t huge;             /* 1, 2: MADV_HUGEPAGE, MADV_NOHUGEPAGE */
	uint16_t marks;           /* enum region_mark */
	uint64_t offset;          /* bytes in the object */
	struct vm_object *object; /* null: anonymous; referenced: vm_object_put it */
	uint8_t key;              /* protection key */
	const char *name;         /* "[stack]", "[heap]", "[vdso]" or null */
};

struct aspace_stats { /* pages */
	uint64_t virtual_pages, peak_pages, locked_pages;
	uint64_t resident_pages, shared_pages; /* shared: of objects, which includes files */
	uint64_t data_pages, stack_pages, text_pages;
};

enum kerr aspace_create(struct aspace **out);
void aspace_get(struct aspace *as);
void aspace_put(struct aspace *as); /* the last one frees everything; may sleep */
/* A copy for fork: shared regions share, private pages become copy-on-write on both sides. */
enum kerr aspace_fork(struct aspace *parent, struct aspace **out);
/* Makes `as` (null: kernel only) the address space of this CPU. IRQs off; from the scheduler.
 * Lazy: a kernel thread may keep the previous one. */
void aspace_activate(struct aspace *as);

/* mmap(2). `object` null for anonymous. With MMAP_FIXED what is there is replaced. *addr: in the
 * hint, out the address. Errors as Linux: INVAL, NOMEM, EXIST (FIXED_NOREPLACE). The object is
 * referenced, not consumed. */
enum kerr aspace_map(struct aspace *as, vaddr_t *addr, size_t size, unsigned prot, unsigned flags,
		     struct vm_object *object, uint64_t offset);
/* Those below: errors as Linux's calls; what comes before the place of an error is done. */
enum kerr aspace_unmap(struct aspace *as, vaddr_t addr, size_t size);
enum kerr aspace_protect(struct aspace *as, vaddr_t addr, size_t size, unsigned prot);
/* pkey_mprotect(2): the same with a protection key below 16. KERR_INVAL: it is not allocated. */
#define PROTECT_SAME_KEY (-1)
enum kerr aspace_protect_key(struct aspace *as, vaddr_t addr, size_t size, unsigned prot, int key);
/* A key that was free. KERR_NOSPC: none is, or the CPU has none. */
enum kerr aspace_key_alloc(struct aspace *as, unsigned *key);
enum kerr aspace_key_free(struct aspace *as, int key); /* KERR_INVAL: it is not allocated */
unsigned aspace_key_at(struct aspace *as, vaddr_t addr); /* of the region; 0: none */
enum kerr aspace_remap(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
		       unsigned flags, vaddr_t *addr);
/* madvise(2). *purged: ADVISE_NONVOLATILE found pages gone (null: not asked for). */
enum kerr aspace_advise(struct aspace *as, vaddr_t addr, size_t size, int advice, bool *purged);
enum kerr aspace_brk(struct aspace *as, vaddr_t want, vaddr_t *now);
void aspace_set_brk(struct aspace *as, vaddr_t start); /* execve */
/* msync(2): pages of objects are the objects' own, so there is nothing to write. */
enum kerr aspace_sync(struct aspace *as, vaddr_t addr, size_t size, unsigned flags);
/* mincore(2) for `pages` from the page `addr` on: a byte each into `out`, bit 0 set if it is in memory.
 * Stops before a hole, *done pages on; KERR_NOMEM: at once. */
enum kerr aspace_residency(struct aspace *as, vaddr_t addr, size_t pages, uint8_t *out,
			   size_t *done);
/* mseal(2) */
enum kerr aspace_seal(struct aspace *as, vaddr_t addr, size_t size);

/* mlock2(2), munlock(2): any alignment. KERR_PERM: nothing may be locked; KERR_NOMEM: more than
 * RLIMIT_MEMLOCK, a hole, or a page that cannot be had; KERR_AGAIN: no memory. */
enum kerr aspace_lock(struct aspace *as, vaddr_t addr, size_t size, bool on_fault);
enum kerr aspace_unlock(struct aspace *as, vaddr_t addr, size_t size);
/* mlockall(2) with its flags; 0: munlockall(2). */
#define LOCK_CURRENT 1u
#define LOCK_FUTURE 2u
#define LOCK_ON_FAULT 4u
enum kerr aspace_lock_all(struct aspace *as, unsigned flags);

/* prctl(PR_SET_MDWE): no mapping is writable and executable, none becomes executable later. It
 * cannot be taken back (KERR_PERM). fork inherits it, unless NO_INHERIT; execve asks. */
#define MDWE_REFUSE 1u
#define MDWE_NO_INHERIT 2u
enum kerr aspace_deny_exec(struct aspace *as, unsigned bits);
unsigned aspace_exec_denied(const struct aspace *as);

/* Gives a region its name for maps ("[stack]"); static string. */
void aspace_name(struct aspace *as, vaddr_t addr, const char *name);
/* A new program's: how far below the end of user addresses its stack may have been put, and how far
 * mmap starts below where it could; bytes. */
void aspace_set_random(struct aspace *as, uint64_t stack, uint64_t map);
/* Limits for growth, from rlimits; bytes. */
void aspace_set_limits(struct aspace *as, uint64_t stack, uint64_t data, uint64_t total);
/* Private pages that are there; no lock, any context. */
uint64_t aspace_resident_pages(const struct aspace *as);
/* Private writable memory, in bytes, promised or not: what the data limit counts. May sleep. */
uint64_t aspace_data_bytes(struct aspace *as);

/* The answer to a user page fault (VM-17). */
enum fault_result {
	FAULT_CONTINUE, /* mapped: go on */
	FAULT_MAPERR, /* no region: SIGSEGV SEGV_MAPERR */
	FAULT_ACCERR, /* rights: SIGSEGV SEGV_ACCERR */
	FAULT_BUS, /* behind the object's end or unreadable: SIGBUS BUS_ADRERR */
	FAULT_NO_MEMORY,
};
enum fault_result aspace_fault(struct aspace *as, vaddr_t addr, enum trap_access access);

/* Walks regions in address order: the first one that ends above `from`. */
bool aspace_region_at(struct aspace *as, vaddr_t from, struct region_info *out);
struct aspace_stats aspace_stats(struct aspace *as);

/* For /proc/PID/smaps, of a region; bytes. A page is shared if it is mapped (or, private, belongs) more
 * than once; dirty: private and not lazy, or can be written without a fault. */
struct region_usage {
	uint64_t resident, huge;
	uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
	uint64_t referenced; /* in the hardware table */
	uint64_t anonymous; /* private pages */
	uint64_t lazy; /* MADV_FREE, not written since */
	uint64_t
		is_volatile; /* private pages that may be purged; the rest of `anonymous` may not */
	uint64_t locked;
	/* A page counts by its part; in bytes << USAGE_SHIFT. */
	uint64_t pss, pss_dirty, pss_anonymous, pss_locked;
};
#define USAGE_SHIFT 12
/* Sleeps; costs a look at each page, and at each address space for pages shared since a fork. */
bool aspace_region_usage(struct aspace *as, vaddr_t start, struct region_usage *out);
/* Page tables of this address space, bytes (VmPTE), and pages it was promised. */
uint64_t aspace_table_bytes(struct aspace *as);
uint64_t aspace_committed(struct aspace *as);
/* Reads or writes another process's memory (ptrace, /proc/PID/mem, cmdline); returns bytes done. */
size_t aspace_access(struct aspace *as, vaddr_t addr, void *buf, size_t size, bool write);

/* Where things go in a new program (VM-14, VM-22). */
vaddr_t aspace_user_end(void); /* the first address that no program can have */
vaddr_t aspace_user_top(
	void); /* nothing is placed above unless a hint or a fixed address says so */
