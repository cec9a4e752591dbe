/*
 * User copies (VM-20): every access of the kernel to user memory goes through hal.user.copy, which
 * opens the gate (SMAP, PAN, SUM) for the copy only and ends it at a fault that nobody answers. Here
 * ranges are checked first, so a kernel address never gets there.
 */
#include <mm/user_copy.h>

#include <hal/hal.h>
#include <lib/string.h>

#define STRING_STEP 64u /* bytes fetched at once; most strings are shorter */

bool user_range_ok(vaddr_t addr, size_t size)
{
	vaddr_t end = hal.mmu.geometry()->user_end;
	return size <= end && addr <= end - size;
}

size_t user_read_partial(void *dst, vaddr_t src, size_t size)
{
	if (unlikely(!user_range_ok(src, size)))
		return 0;
	return size - hal.user.copy(dst, (const void *)src, size);
}

size_t user_write_partial(vaddr_t dst, const void *src, size_t size)
{
	if (unlikely(!user_range_ok(dst, size)))
		return 0;
	return size - hal.user.copy((void *)dst, src, size);
}

enum kerr user_read(void *dst, vaddr_t src, size_t size)
{
	if (unlikely(!user_range_ok(src, size)))
		return KERR_FAULT;
	return likely(hal.user.copy(dst, (const void *)src, size) == 0) ? KERR_OK : KERR_FAULT;
}

enum kerr user_write(vaddr_t dst, const void *src, size_t size)
{
	if (unlikely(!user_range_ok(dst, size)))
		return KERR_FAULT;
	return likely(hal.user.copy((void *)dst, src, size) == 0) ? KERR_OK : KERR_FAULT;
}

enum kerr user_zero(vaddr_t dst, size_t size)
{
	static const char zeroes[512];
	if (!user_range_ok(dst, size))
		return KERR_FAULT;
	while (size) {
		size_t n = MIN(size, sizeof(zeroes));
		if (hal.user.copy((void *)dst, zeroes, n))
			return KERR_FAULT;
		dst += n;
		size -= n;
	}
	return KERR_OK;
}

enum kerr user_read_string(char *dst, vaddr_t src, size_t size, size_t *length)
{
	size_t done = 0;
	vaddr_t end = hal.mmu.geometry()->user_end;
	while (done < size) {
		vaddr_t at = src + done;
		if (at >= end || at < src)
			return KERR_FAULT;
		/* Not across a page: the string may end before one that is not there. */
		size_t n = MIN(size - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
		n = MIN(n, STRING_STEP);
		if (hal.user.copy(dst + done, (const void *)at, n))
			return KERR_FAULT;
		const char *mark = memchr(dst + done, 0, n);
		if (mark) {
			if (length)
				*length = (size_t)(mark - dst);
			return KERR_OK;
		}
		done += n;
	}
	return KERR_NAMETOOLONG;
}
