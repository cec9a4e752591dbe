/* Memory: mmap(2) and its relatives, over mm's address spaces and fs's files. */
#include "gate.h"
#include <fs/file.h>
#include <mm/object.h>

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#define MREMAP_DONTUNMAP 4
#define MS_ASYNC 1
#define MS_INVALIDATE 2
#define MS_SYNC 4
#define MMAP_TYPE 0xf
#define MMAP_SHARED_VALIDATE 3

static struct aspace *space(void)
{
	return current_process()->aspace;
}

/* The object behind a descriptor for a mapping of this kind. */
static enum kerr mappable(int fd, unsigned prot, bool shared, struct vm_object **out)
{
	struct file *f = fd_get(fd);
	enum kerr err;

	if (!f)
		return KERR_BADF;
	if (!f->readable || (shared && prot & PROT_WRITE && !f->writable))
		err = KERR_ACCESS;
	else
		err = file_map(f, out);
	file_put(f);
	return err;
}

SYSCALL(mmap)
{
	vaddr_t addr = a0;
	size_t size = a1;
	unsigned prot = (unsigned)a2 & (PROT_READ | PROT_WRITE | PROT_EXEC), flags = (unsigned)a3;
	uint64_t offset = a5;
	struct vm_object *object = nullptr;

	if (!IS_ALIGNED(offset, PAGE_SIZE) || size == 0)
		return KERR_INVAL;
	if ((flags & MMAP_TYPE) == MMAP_SHARED_VALIDATE)
		flags = (flags & ~(unsigned)MMAP_TYPE) | MMAP_SHARED;
	bool shared = (flags & MMAP_TYPE) == MMAP_SHARED;
	if (!shared && (flags & MMAP_TYPE) != MMAP_PRIVATE)
		return KERR_INVAL;
	size = ALIGN_UP(size, (size_t)PAGE_SIZE);
	if (size == 0 || offset + size < offset)
		return size ? KERR_OVERFLOW : KERR_NOMEM;
	if (flags & MMAP_ANONYMOUS) {
		offset = 0;
	} else {
		enum kerr err = mappable((int)a4, prot, shared, &object);
		if (err != KERR_OK)
			return err;
	}
	enum kerr err = aspace_map(space(), &addr, size, prot, flags, object, offset);
	if (object)
		vm_object_put(object);
	return err == KERR_OK ? (long)addr : err;
}

SYSCALL(munmap)
{
	return aspace_unmap(space(), a0, a1);
}

SYSCALL(mprotect)
{
	if (a2 & ~(unsigned long)(PROT_READ | PROT_WRITE | PROT_EXEC | 0x03000000))
		return KERR_INVAL;
	return aspace_protect(space(), a0, a1, (unsigned)a2);
}

SYSCALL(mremap)
{
	vaddr_t addr = a4;

	if (a3 & ~(unsigned long)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) ||
	    (a3 & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(a3 & MREMAP_MAYMOVE)))
		return KERR_INVAL;
	enum kerr err = aspace_remap(space(), a0, a1, a2, (unsigned)a3, &addr);
	return err == KERR_OK ? (long)addr : err;
}

SYSCALL(madvise)
{
	return aspace_advise(space(), a0, a1, (int)a2);
}

SYSCALL(brk)
{
	vaddr_t now = 0;
	enum kerr err = aspace_brk(space(), a0, &now);

	(void)err; /* brk(2) has no errors: it tells where the break is */
	return (long)now;
}

/* The range [start, start + size) lies in regions, without a gap. */
static bool all_mapped(vaddr_t start, size_t size)
{
	struct region_info r;
	vaddr_t at = start, end = start + ALIGN_UP(size, (size_t)PAGE_SIZE);

	if (end < start)
		return false;
	while (at < end) {
		if (!aspace_region_at(space(), at, &r))
			return false;
		if (r.object)
			vm_object_put(r.object);
		if (r.start > at)
			return false;
		at = r.end;
	}
	return true;
}

SYSCALL(msync)
{
	if (!IS_ALIGNED(a0, PAGE_SIZE) ||
	    a2 & ~(unsigned long)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
	    (a2 & MS_ASYNC && a2 & MS_SYNC))
		return KERR_INVAL;
	/* Mapped pages are the file's own: there is nothing to bring in line. */
	return all_mapped(a0, a1) ? KERR_OK : KERR_NOMEM;
}

SYSCALL(mincore)
{
	if (!IS_ALIGNED(a0, PAGE_SIZE))
		return KERR_INVAL;
	if (!all_mapped(a0, a1))
		return KERR_NOMEM;
	/* Nothing is ever swapped out: what is mapped is as good as there. */
	uint8_t there[64];
	for (unsigned i = 0; i < sizeof(there); i++)
		there[i] = 1;
	size_t pages = ALIGN_UP(a1, PAGE_SIZE) / PAGE_SIZE;
	for (size_t done = 0; done < pages; done += sizeof(there)) {
		enum kerr err = user_write(a2 + done, there, MIN(pages - done, sizeof(there)));
		if (err != KERR_OK)
			return err;
	}
	return KERR_OK;
}

static long lock_range(vaddr_t addr, size_t size)
{
	return all_mapped(addr & PAGE_MASK, size + (addr & ~PAGE_MASK)) ? KERR_OK : KERR_NOMEM;
}

/* Memory is never swapped out: locking is a check of the arguments. */
SYSCALL(mlock)
{
	return lock_range(a0, a1);
}

SYSCALL(mlock2)
{
	return a2 & ~1ul ? KERR_INVAL : lock_range(a0, a1);
}

SYSCALL(munlock)
{
	return lock_range(a0, a1);
}

SYSCALL(mlockall)
{
	return a0 == 0 || a0 & ~7ul ? KERR_INVAL : KERR_OK;
}

SYSCALL(munlockall)
{
	return KERR_OK;
}

SYSCALL(riscv_flush_icache)
{
	if (!abi->icache_call)
		return sys_missing(a0, a1, a2, a3, a4, a5);
	if (!user_range_ok(a0, a1 - a0))
		return KERR_INVAL;
	hal.mmu.code_sync(a0, a1 - a0);
	return KERR_OK;
}
