/*
 * The ELF loader (exec/elf.c) over real memory objects and address spaces: a good file is mapped as
 * it says; a mutilated one is refused or mapped inside the user half, and nothing leaks.
 */
#include "fuzz.h"
#include "machine.h"

#include "elf.h"

#include <mm/frame.h>
#include <mm/heap.h>

#define FILE_SIZE 12288
#define BASE 0x400000ull

struct file {
	uint8_t bytes[16384];
	size_t size;
};

/* A static program: headers and text, then data with a tail of zeroes, a stack note. */
static void file_make(struct file *f)
{
	struct elf_header h = {
		.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
		.type = 2,
		.machine = hal.user.info()->elf_machine,
		.version = 1,
		.entry = BASE + 0x1000,
		.phoff = 64,
		.ehsize = 64,
		.phentsize = 56,
		.phnum = 4,
	};
	struct elf_segment segments[4] = {
		{PT_PHDR, PF_R, 64, BASE + 64, BASE + 64, 4 * 56, 4 * 56, 8},
		{PT_LOAD, PF_R | PF_X, 0, BASE, BASE, 0x1800, 0x1800, 4096},
		{PT_LOAD, PF_R | PF_W, 0x2000, BASE + 0x2000, BASE + 0x2000, 0x800, 0x3000, 4096},
		{PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16},
	};

	f->size = FILE_SIZE;
	for (size_t i = 0; i < FILE_SIZE; i++)
		f->bytes[i] = (uint8_t)(i % 251);
	memcpy(f->bytes, &h, sizeof(h));
	memcpy(f->bytes + 64, segments, sizeof(segments));
}

static struct vm_object *object_make(const struct file *f)
{
	struct vm_object *o = nullptr;
	size_t done = 0;

	if (vm_object_create_anonymous(f->size, &o) != KERR_OK)
		return nullptr;
	if (vm_object_write(o, 0, (vaddr_t)f->bytes, f->size, false, &done) != KERR_OK ||
	    done != f->size) {
		vm_object_put(o);
		return nullptr;
	}
	return o;
}

/* Reads and maps it; whether it was accepted. Everything is freed again. */
static bool load(const struct file *f, bool check)
{
	struct vm_object *o = object_make(f);
	struct elf_image image;
	struct aspace *as;
	bool accepted = false;

	if (!EXPECT(o))
		return false;
	if (elf_read(o, &image) == KERR_OK) {
		EXPECT(image.low < image.high);
		EXPECT(image.count <= 65535);
		if (EXPECT_OK(aspace_create(&as))) {
			vaddr_t end = 0;
			accepted =
				elf_map(&image, as, image.fixed ? 0 : 0x10000000, &end) == KERR_OK;
			struct region_info r;
			for (vaddr_t at = 0; aspace_region_at(as, at, &r); at = r.end) {
				EXPECT(r.start < r.end && r.end <= aspace_user_end());
				if (r.object)
					vm_object_put(r.object);
			}
			if (check && EXPECT(accepted)) {
				uint8_t buf[64];
				EXPECT_EQ(aspace_access(as, BASE + 0x1000, buf, 64, false), 64);
				EXPECT_MEM(buf, f->bytes + 0x1000, 64);
				EXPECT_EQ(aspace_access(as, BASE + 0x2800, buf, 64, false), 64);
				EXPECT_EQ(buf[0], 0);
				EXPECT_EQ(end, BASE + 0x5000);
			}
			aspace_put(as);
		}
		elf_free(&image);
	}
	vm_object_put(o);
	return accepted;
}

TEST(elf_maps_a_good_file)
{
	static struct file f;

	test_kernel(nullptr);
	file_make(&f);
	load(&f, true);
}

TEST(elf_refuses_what_is_cut_short)
{
	static struct file f;

	test_kernel(nullptr);
	file_make(&f);
	for (f.size = 0; f.size < 0x2800; f.size += f.size < 300 ? 7 : 509)
		EXPECT(!load(&f, false));
}

PROPERTY(elf_survives_mutation, 30)
{
	static struct file good, f;
	static bool booted;
	unsigned accepted = 0;

	if (!booted)
		test_kernel(nullptr);
	booted = true;
	file_make(&good);
	for (int i = 0; i < 400; i++) {
		f = good;
		/* The headers are what matters. */
		if (test_random_below(random, 4))
			fuzz_mutate(random, f.bytes, 64 + 4 * 56, 64 + 4 * 56);
		else
			f.size = fuzz_mutate(random, f.bytes, f.size, sizeof(f.bytes));
		accepted += load(&f, false);
	}
	EXPECT(accepted > 0);
}

/* Loading and freeing the same file again and again costs no memory. */
TEST(elf_leaks_nothing)
{
	static struct file f;

	test_kernel(nullptr);
	file_make(&f);
	for (int i = 0; i < 20; i++)
		load(&f, false);
	uint64_t before = frame_totals().free;
	for (int i = 0; i < 500; i++)
		load(&f, false);
	EXPECT(frame_totals().free + 64 >= before); /* caches may hold some */
}
