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

/* Protection and flags of a region: the Linux PROT_* and MAP_* values of mmap(2). */
#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4

#define MMAP_SHARED 0x01
#define MMAP_PRIVATE 0x02
#define MMAP_FIXED 0x10
#define MMAP_ANONYMOUS 0x20
#define MMAP_GROWSDOWN 0x100
#define MMAP_LOCKED 0x2000
#define MMAP_NORESERVE 0x4000
#define MMAP_POPULATE 0x8000
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
	bool shared;
	uint64_t offset;          /* bytes in the object */
	struct vm_object *object; /* null: anonymous; referenced: vm_object_put it */
	const char *name;         /* "[stack]", "[heap]", "[vdso]" or null */
};

struct aspace_stats {
	uint64_t virtual_pages, resident_pages, shared_pages, data_pages, stack_pages, text_pages;
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
enum kerr aspace_unmap(struct aspace *as, vaddr_t addr, size_t size);
enum kerr aspace_protect(struct aspace *as, vaddr_t addr, size_t size, unsigned prot);
enum kerr aspace_remap(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
		       unsigned flags, vaddr_t *addr);
enum kerr aspace_advise(struct aspace *as, vaddr_t addr, size_t size, int advice);
enum kerr aspace_brk(struct aspace *as, vaddr_t want, vaddr_t *now);
void aspace_set_brk(struct aspace *as, vaddr_t start); /* execve */
/* msync, mincore and mlock ask this first. KERR_NOMEM: part of the range is not mapped. */
enum kerr aspace_check_mapped(struct aspace *as, vaddr_t addr, size_t size);
/* mincore(2): a byte per page into `out`, bit 0 set if it is in memory. KERR_NOMEM as above. */
enum kerr aspace_residency(struct aspace *as, vaddr_t addr, size_t pages, uint8_t *out);
/* mlock(2), MAP_POPULATE: faults in every page, for writing where that is allowed. KERR_NOMEM:
 * part is not mapped or there is no memory. Nothing is ever swapped out, so that is all. */
enum kerr aspace_lock(struct aspace *as, vaddr_t addr, size_t size);
/* Gives a region its name for maps ("[stack]"); static string. */
void aspace_name(struct aspace *as, vaddr_t addr, const char *name);
/* Limits for growth, from rlimits; bytes. */
void aspace_set_limits(struct aspace *as, uint64_t stack, uint64_t data, uint64_t total);

/* The answer to a user page fault (VM-17). */
enum fault_result {
	FAULT_CONTINUE,  /* mapped: go on */
	FAULT_MAPERR,    /* no region: SIGSEGV SEGV_MAPERR */
	FAULT_ACCERR,    /* rights: SIGSEGV SEGV_ACCERR */
	FAULT_BUS,       /* behind the object's end or unreadable: SIGBUS BUS_ADRERR */
	FAULT_NO_MEMORY,
};
enum fault_result aspace_fault(struct aspace *as, vaddr_t addr, enum trap_access access);

/* Walks regions in address order: the first one that ends above `from`. */
bool aspace_region_at(struct aspace *as, vaddr_t from, struct region_info *out);
struct aspace_stats aspace_stats(struct aspace *as);

/* For /proc/PID/smaps: the region that region_info describes; pages. */
struct region_usage {
	uint64_t virtual, resident;
	uint64_t shared_clean;  /* of an object, mapped here */
	uint64_t private_dirty; /* in the page tree */
	uint64_t zero;          /* the shared page of zeroes */
};
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
