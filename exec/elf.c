/*
 * The ELF64 loader. A file is untrusted: elf_read() copies the headers once and checks every number
 * it will use, against overflow, against the file's size and against the user's address range, so
 * that elf_map() only acts. What is checked: identity, machine, table inside the file, segments
 * in rising order without overlap, file part inside the file and not larger than the memory
 * part, offsets and addresses equal modulo the page.
 *
 * Rejected: reading section headers (a loader needs none).
 */
#include "elf.h"
#include <lib/string.h>
#include <mm/heap.h>

#define ET_EXEC 2
#define ET_DYN 3
#define HEADERS_MAX 256

static enum kerr read_exactly(struct vm_object *object, uint64_t offset, void *buf, size_t size)
{
	size_t done = 0;
	uint64_t length = atomic_load_explicit(&object->size, memory_order_relaxed);

	if (offset > length || length - offset < size)
		return KERR_NOEXEC;
	enum kerr err = vm_object_read(object, offset, (vaddr_t)buf, size, false, &done);
	if (err != KERR_OK)
		return err;
	return done == size ? KERR_OK : KERR_IO;
}

static bool header_ok(const struct elf_header *h)
{
	static const uint8_t ident[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};

	return memcmp(h->ident, ident, sizeof(ident)) == 0 &&
	       (h->type == ET_EXEC || h->type == ET_DYN) &&
	       h->machine == hal.user.info()->elf_machine && h->version == 1 &&
	       h->phentsize == sizeof(struct elf_segment) && h->phnum > 0 &&
	       h->phnum <= HEADERS_MAX;
}

/* One PT_LOAD, `previous_end` being where the one before ended. */
static bool load_ok(const struct elf_segment *s, uint64_t size, uint64_t previous_end)
{
	uint64_t end;

	if (s->filesz > s->memsz || __builtin_add_overflow(s->vaddr, s->memsz, &end) ||
	    end > aspace_user_end() - PAGE_SIZE)
		return false;
	if (s->offset > size || size - s->offset < s->filesz)
		return false;
	if ((s->vaddr ^ s->offset) & ~PAGE_MASK)
		return false;
	if (s->align & (s->align - 1))
		return false;
	return (s->vaddr & PAGE_MASK) >= previous_end;
}

static enum kerr read_interpreter(struct elf_image *image, const struct elf_segment *s)
{
	if (s->filesz < 2 || s->filesz > ELF_INTERP_MAX)
		return KERR_NOEXEC;
	enum kerr err = read_exactly(image->object, s->offset, image->interpreter, s->filesz);
	if (err == KERR_OK && image->interpreter[s->filesz - 1] != '\0')
		err = KERR_NOEXEC;
	return err;
}

static enum kerr check_segments(struct elf_image *image, const struct elf_header *h)
{
	uint64_t size = atomic_load_explicit(&image->object->size, memory_order_relaxed);
	uint64_t end = 0;
	bool any = false;

	image->align = PAGE_SIZE;
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if (s->type == PT_INTERP) {
			enum kerr err = read_interpreter(image, s);
			if (err != KERR_OK)
				return err;
		}
		if (s->type != PT_LOAD || s->memsz == 0)
			continue;
		if (!load_ok(s, size, end))
			return KERR_NOEXEC;
		if (!any)
			image->low = s->vaddr & PAGE_MASK;
		any = true;
		end = ALIGN_UP(s->vaddr + s->memsz, PAGE_SIZE);
		image->align = MAX(image->align, MIN(s->align, (uint64_t)2 << 20));
		if (s->offset <= h->phoff && h->phoff - s->offset < s->filesz)
			image->headers = s->vaddr + (h->phoff - s->offset);
	}
	image->high = end;
	return any ? KERR_OK : KERR_NOEXEC;
}

enum kerr elf_read(struct vm_object *object, struct elf_image *out)
{
	struct elf_header h;

	*out = (struct elf_image){.object = object};
	enum kerr err = read_exactly(object, 0, &h, sizeof(h));
	if (err != KERR_OK)
		return err;
	if (!header_ok(&h))
		return KERR_NOEXEC;
	out->fixed = h.type == ET_EXEC;
	out->entry = h.entry;
	out->count = h.phnum;
	out->segments = heap_alloc(h.phnum * sizeof(struct elf_segment));
	if (!out->segments)
		return KERR_NOMEM;
	err = read_exactly(object, h.phoff, out->segments, h.phnum * sizeof(struct elf_segment));
	if (err == KERR_OK)
		err = check_segments(out, &h);
	if (err != KERR_OK)
		elf_free(out);
	return err;
}

void elf_free(struct elf_image *image)
{
	heap_free(image->segments);
	image->segments = nullptr;
}

static unsigned protection(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0u) | (flags & PF_W ? PROT_WRITE : 0u) |
	       (flags & PF_X ? PROT_EXEC : 0u);
}

static enum kerr zero_tail(struct aspace *as, vaddr_t from, vaddr_t to)
{
	static const uint8_t zeroes[512];

	while (from < to) {
		size_t n = MIN((size_t)(to - from), sizeof(zeroes));
		if (aspace_access(as, from, (void *)zeroes, n, true) != n)
			return KERR_NOMEM;
		from += n;
	}
	return KERR_OK;
}

static enum kerr map_segment(const struct elf_image *image, const struct elf_segment *s,
			     struct aspace *as, vaddr_t base)
{
	vaddr_t start = base + (s->vaddr & PAGE_MASK);
	vaddr_t file_end = base + s->vaddr + s->filesz, end = base + s->vaddr + s->memsz;
	vaddr_t file_pages_end = ALIGN_UP(file_end, PAGE_SIZE),
		pages_end = ALIGN_UP(end, PAGE_SIZE);
	unsigned prot = protection(s->flags);
	enum kerr err;

	if (s->filesz) {
		err = aspace_map(as, &start, file_pages_end - start, prot,
				 MMAP_PRIVATE | MMAP_FIXED, image->object, s->offset & PAGE_MASK);
		if (err != KERR_OK)
			return err;
		/* To the end of the page, as Linux: glibc's loader takes what follows its own data. */
		if (s->memsz > s->filesz && file_end < file_pages_end) {
			err = zero_tail(as, file_end, file_pages_end);
			if (err != KERR_OK)
				return err;
		}
	} else {
		file_pages_end = start;
	}
	if (pages_end <= file_pages_end)
		return KERR_OK;
	return aspace_map(as, &file_pages_end, pages_end - file_pages_end, prot,
			  MMAP_PRIVATE | MMAP_FIXED | MMAP_ANONYMOUS, nullptr, 0);
}

enum kerr elf_map(const struct elf_image *image, struct aspace *as, vaddr_t base, vaddr_t *end)
{
	*end = 0;
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if (s->type != PT_LOAD || s->memsz == 0)
			continue;
		enum kerr err = map_segment(image, s, as, base);
		if (err != KERR_OK)
			return err;
		*end = base + s->vaddr + s->memsz;
	}
	return KERR_OK;
}
