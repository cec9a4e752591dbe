/* Memory: mmap(2) and its relatives, over mm's address spaces and fs's files. */
#include "gate.h"
#include <fs/file.h>
#include <mm/object.h>

#define MS_ASYNC 1ul
#define MS_INVALIDATE 2ul
#define MS_SYNC 4ul
#define MMAP_TYPE 0xfu
#define MMAP_SHARED_VALIDATE 3u
/* What MAP_SHARED_VALIDATE promises to know: the flags that have always been there. */
#define MMAP_LEGACY                                                                                \
	(MMAP_TYPE | MMAP_FIXED | MMAP_ANONYMOUS | MMAP_GROWSDOWN | 0x800u | 0x1000u |             \
	 MMAP_LOCKED | MMAP_NORESERVE | MMAP_POPULATE | MMAP_NONBLOCK | MMAP_STACK |               \
	 MMAP_HUGETLB | 0x04000000u | MMAP_FIXED_NOREPLACE)
#define MLOCK_ONFAULT 1ul
#define PIDFD_SELF_THREAD (-10000)
#define PIDFD_SELF_GROUP (-10001)

static struct aspace *space(void)
{
	return current_process()->aspace;
}

/* The object behind a descriptor for a mapping of this kind; adds to *flags what the descriptor does
 * not allow later. `err`: what is wrong with the kind, if there is a descriptor at all. */
static enum kerr mappable(int fd, unsigned prot, unsigned *flags, enum kerr err,
			  struct vm_object **out)
{
	struct file *f = fd_get(fd);
	bool shared = *flags & MMAP_SHARED;

	if (!f)
		return KERR_BADF;
	if (err == KERR_OK && (!f->readable || (shared && prot & PROT_WRITE && !f->writable)))
		err = KERR_ACCESS;
	if (err == KERR_OK)
		err = file_map(f, out);
	if (shared && !f->writable)
		*flags |= MMAP_DENY_WRITE;
	file_put(f);
	return err;
}

/* The kind of mapping, checked; MAP_SHARED_VALIDATE becomes MAP_SHARED. */
static enum kerr mmap_type(unsigned *flags)
{
	unsigned type = *flags & MMAP_TYPE;

	*flags &= ~MMAP_DENY_WRITE;
	if (type == MMAP_SHARED || type == MMAP_PRIVATE)
		return KERR_OK;
	if (type != MMAP_SHARED_VALIDATE || *flags & MMAP_ANONYMOUS)
		return KERR_INVAL;
	if (*flags & ~MMAP_LEGACY)
		return KERR_OPNOTSUPP;
	*flags &= ~MMAP_PRIVATE;
	return KERR_OK;
}

/* A size that is 0 or too large, or a lock that must be allowed; errors in Linux's order. */
static NOINLINE enum kerr unusual(size_t given, size_t size, enum kerr err)
{
	if (!given)
		return err == KERR_BADF ? err : KERR_INVAL;
	if (!size)
		return KERR_NOMEM;
	return err == KERR_OK && !process_lock_limit() ? KERR_PERM : err;
}

SYSCALL(mmap)
{
	vaddr_t addr = a0;
	size_t size = ALIGN_UP(a1, (size_t)PAGE_SIZE);
	unsigned prot = (unsigned)a2 & (PROT_READ | PROT_WRITE | PROT_EXEC), flags = (unsigned)a3;
	uint64_t offset = a5;
	struct vm_object *object = nullptr;

	if (unlikely(!IS_ALIGNED(offset, PAGE_SIZE)))
		return KERR_INVAL;
	enum kerr err = mmap_type(&flags);
	if (flags & MMAP_ANONYMOUS)
		offset = 0;
	else
		err = mappable((int)a4, prot, &flags, err, &object);
	if (unlikely(!size || flags & MMAP_LOCKED))
		err = unusual(a1, size, err);
	if (unlikely(offset + size < offset))
		err = KERR_OVERFLOW;
	if (likely(err == KERR_OK))
		err = aspace_map(space(), &addr, size, prot, flags, object, offset);
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
	/* What is above the word is as unknown as its highest bit. */
	return aspace_protect(space(), a0, a1, a2 > UINT32_MAX ? 1u << 31 : (unsigned)a2);
}

SYSCALL(mremap)
{
	vaddr_t addr = a4;

	if (a3 > UINT32_MAX)
		return KERR_INVAL;
	enum kerr err = aspace_remap(space(), a0, a1, a2, (unsigned)a3, &addr);
	return err == KERR_OK ? (long)addr : err;
}

SYSCALL(madvise)
{
	bool purged = false;
	enum kerr err = aspace_advise(space(), a0, a1, (int)a2, &purged);

	return err == KERR_OK ? purged : (long)err;
}

/* There are no descriptors of processes yet: only a process's own two names. */
SYSCALL(process_madvise)
{
	struct io_buffer small[VECTOR_SMALL], *v;
	size_t done = 0;
	enum kerr err;

	if (a4)
		return KERR_INVAL;
	if ((int)a0 != PIDFD_SELF_THREAD && (int)a0 != PIDFD_SELF_GROUP)
		return KERR_BADF;
	err = vector_read(a1, a2, small, &v);
	if (err != KERR_OK)
		return err;
	for (unsigned long i = 0; i < a2 && err == KERR_OK; i++) {
		err = aspace_advise(space(), v[i].addr, v[i].size, (int)a3, nullptr);
		done += err == KERR_OK ? v[i].size : 0;
	}
	vector_end(v, small);
	return done ? (long)done : err;
}

SYSCALL(mseal)
{
	return a2 ? KERR_INVAL : aspace_seal(space(), a0, a1);
}

SYSCALL(brk)
{
	vaddr_t now = 0;
	enum kerr err = aspace_brk(space(), a0, &now);

	(void)err; /* brk(2) has no errors: it tells where the break is */
	return (long)now;
}

SYSCALL(msync)
{
	if (a2 & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || (a2 & MS_ASYNC && a2 & MS_SYNC))
		return KERR_INVAL;
	return aspace_sync(space(), a0, a1, (unsigned)a2);
}

SYSCALL(mincore)
{
	uint8_t there[256];
	size_t pages = (a1 >> PAGE_SHIFT) + !IS_ALIGNED(a1, PAGE_SIZE), n;
	enum kerr err = KERR_OK;

	if (!IS_ALIGNED(a0, PAGE_SIZE))
		return KERR_INVAL;
	if (!user_range_ok(a0, a1))
		return KERR_NOMEM;
	if (!user_range_ok(a2, pages))
		return KERR_FAULT;
	for (size_t done = 0; done < pages && err == KERR_OK; done += n) {
		err = aspace_residency(space(), a0 + (done << PAGE_SHIFT),
				       MIN(pages - done, sizeof(there)), there, &n);
		if (err == KERR_OK)
			err = user_write(a2 + done, there, n);
	}
	return err;
}

SYSCALL(mlock)
{
	return aspace_lock(space(), a0, a1, false);
}

SYSCALL(mlock2)
{
	return a2 & ~MLOCK_ONFAULT ? KERR_INVAL : aspace_lock(space(), a0, a1, a2 & MLOCK_ONFAULT);
}

SYSCALL(munlock)
{
	return aspace_unlock(space(), a0, a1);
}

SYSCALL(mlockall)
{
	if ((uint32_t)a0 == 0 || (uint32_t)a0 == LOCK_ON_FAULT ||
	    (uint32_t)a0 & ~(LOCK_CURRENT | LOCK_FUTURE | LOCK_ON_FAULT))
		return KERR_INVAL;
	return aspace_lock_all(space(), (unsigned)a0);
}

SYSCALL(munlockall)
{
	return aspace_lock_all(space(), 0);
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
