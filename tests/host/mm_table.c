/* The table walker against a plain array of pages, with leaves of all sizes, on three to five levels. */
#include "machine.h"

#include "inject.h"
#include "mapper.h"

#include <mm/memory.h>
#include <stdio.h>
#include <stdlib.h>

#define BASE ((vaddr_t)0x40000000 - 0x400000) /* crosses a table of every level */
#define PAGES 4096u /* 16 MiB */

struct model_page {
	bool mapped;
	paddr_t pa;
	map_flags_t flags;
};

static struct model_page model[PAGES];
static struct mapper mapper;
static struct tlb_context context;

static map_flags_t some_flags(struct test_random *random)
{
	static const map_flags_t sets[] = {MAP_USER_READ, MAP_USER_WRITE, MAP_USER_CODE};
	return sets[test_random_below(random, 3)];
}

static void check(unsigned page)
{
	vaddr_t va = BASE + page * PAGE_SIZE + 123;
	paddr_t pa;
	map_flags_t flags;
	unsigned level;
	enum kerr err = mapper_translate(&mapper, va, &pa, &flags, &level);
	EXPECT_EQ(err, model[page].mapped ? KERR_OK : KERR_NOENT);
	if (err != KERR_OK || !model[page].mapped)
		return;
	const map_flags_t rights = MAP_WRITABLE | MAP_NO_EXECUTE | MAP_USER;
	EXPECT_EQ(pa, model[page].pa + 123);
	EXPECT_EQ(flags & rights, model[page].flags & rights);
}

static bool any_mapped(unsigned first, unsigned count, bool all)
{
	unsigned n = 0;
	for (unsigned i = 0; i < count; i++)
		n += model[first + i].mapped;
	return all ? n == count : n > 0;
}

static void some_range(struct test_random *random, unsigned *first, unsigned *count)
{
	unsigned sizes[] = {1, 4, 100, 512, 1024};
	*count = 1 + (unsigned)test_random_below(random, sizes[test_random_below(random, 5)]);
	*first = (unsigned)test_random_below(random, PAGES - *count);
	if (test_random_below(random, 2)) { /* for large leaves */
		*first &= ~511u;
		*count = (*count + 511) & ~511u;
		*count = MIN(*count, PAGES - *first);
	}
}

static enum kerr step(struct test_random *random)
{
	struct tlb_batch batch;
	unsigned first, count;
	some_range(random, &first, &count);
	vaddr_t va = BASE + first * PAGE_SIZE;
	map_flags_t flags = some_flags(random);
	enum kerr err;
	tlb_batch_init(&batch, &context);
	switch (test_random_below(random, 4)) {
	case 0:
	case 1: {
		paddr_t pa = test_random_below(random, 1u << 12) << 21;
		pa += test_random_below(random, 4) ? first % 512 * PAGE_SIZE : PAGE_SIZE;
		bool in_the_way = any_mapped(first, count, false);
		err = mapper_map_range(&mapper, va, pa, count * PAGE_SIZE, flags);
		if (in_the_way) {
			EXPECT(err == KERR_EXIST || err == KERR_NOMEM);
			return KERR_OK;
		}
		for (unsigned i = 0; err == KERR_OK && i < count; i++)
			model[first + i] = (struct model_page){true, pa + i * PAGE_SIZE, flags};
		return err;
	}
	case 2: {
		bool strict = test_random_below(random, 2), all = any_mapped(first, count, true);
		/* Tables may go where nothing is mapped round the range. */
		unsigned low = first, high = first + count;
		while (low > 0 && !model[low - 1].mapped)
			low--;
		while (high < PAGES && !model[high].mapped)
			high++;
		err = mapper_unmap_range(&mapper, va, count * PAGE_SIZE, !strict,
					 low ? BASE + low * PAGE_SIZE : 0,
					 high < PAGES ? BASE + high * PAGE_SIZE : BASE * 2, &batch);
		tlb_batch_finish(&batch);
		if (strict && !all) {
			EXPECT_EQ(err, KERR_NOENT);
			return KERR_OK;
		}
		for (unsigned i = 0; err == KERR_OK && i < count; i++)
			model[first + i] = (struct model_page){};
		return err;
	}
	default: {
		bool grant = test_random_below(random, 2), all = any_mapped(first, count, true);
		bool holes = test_random_below(random, 2);
		err = mapper_protect_range(&mapper, va, count * PAGE_SIZE, flags, grant, holes,
					   &batch);
		tlb_batch_finish(&batch);
		if (!holes && !all) {
			EXPECT_EQ(err, KERR_NOENT);
			return KERR_OK;
		}
		for (unsigned i = 0; err == KERR_OK && i < count; i++) {
			struct model_page *p = &model[first + i];
			map_flags_t want = flags & (MAP_WRITABLE | MAP_NO_EXECUTE | MAP_USER);
			if (!grant && !(p->flags & MAP_WRITABLE))
				want &= ~MAP_WRITABLE;
			if (p->mapped)
				p->flags = want;
		}
		return err;
	}
	}
}

static uint64_t run(uint64_t seed)
{
	struct test_random random = {.state = seed};
	test_kernel(&(struct host_config){.ram_dirty = true, .seed = seed, .ram_size = 32u << 20});
	uint64_t free = frame_totals().free;
	struct frame *root = frame_alloc(0, FRAME_ZEROED);
	mapper = (struct mapper){.root = frame_address(root), .user = true, .tables = 1};
	context.root = mapper.root;
	for (int n = 0; n < 2500; n++) {
		EXPECT_OK(step(&random));
		for (int k = 0; k < 20; k++)
			check((unsigned)test_random_below(&random, PAGES));
	}
	uint64_t mapped = 0;
	for (unsigned i = 0; i < PAGES; i++) {
		check(i);
		mapped += model[i].mapped;
	}
	EXPECT_EQ(mapper_count(&mapper, BASE, PAGES * PAGE_SIZE), mapped);
	mapper_clear(&mapper);
	EXPECT_EQ(mapper.tables, 1);
	for (unsigned i = 0; i < 512; i++)
		EXPECT_EQ(((uint64_t *)frame_data(root))[i], 0);
	frame_free_zeroed(root);
	EXPECT_EQ(frame_totals().free, free);
	/* Every table that came back is clean again. */
	for (int i = 0; i < 40; i++) {
		struct frame *f = frame_alloc(0, FRAME_ZEROED);
		for (unsigned k = 0; k < 512; k++)
			EXPECT(((uint64_t *)frame_data(f))[k] == 0);
	}
	fflush(nullptr);
	return !test_failures();
}

TEST(mapper_model)
{
	for (uint64_t i = 0; i < 15; i++)
		EXPECT(test_in_child(run, test_seed() + i));
}

TEST(mapper_errors)
{
	test_kernel(nullptr);
	mapper = (struct mapper){.root = mapper_table_new(true), .user = true};
	struct tlb_batch b;
	tlb_batch_init(&b, &context);
	EXPECT_EQ(mapper_map_range(&mapper, 1, 0, PAGE_SIZE, MAP_USER_READ), KERR_INVAL);
	EXPECT_EQ(mapper_map_range(&mapper, 0, 1, PAGE_SIZE, MAP_USER_READ), KERR_INVAL);
	EXPECT_EQ(mapper_map_range(&mapper, 0, 0, 1, MAP_USER_READ), KERR_INVAL);
	EXPECT_EQ(mapper_map_range(&mapper, 0, 0, PAGE_SIZE, MAP_USER_CODE | MAP_WRITABLE),
		  KERR_INVAL);
	EXPECT_EQ(mapper_map_range(&mapper, ~0xfffull, 0, 2 * PAGE_SIZE, MAP_USER_READ),
		  KERR_INVAL);
	EXPECT_OK(mapper_map_range(&mapper, BASE, 0x5000, PAGE_SIZE, MAP_USER_READ));
	EXPECT_EQ(mapper_map_range(&mapper, BASE, 0x6000, PAGE_SIZE, MAP_USER_READ), KERR_EXIST);
	EXPECT_EQ(mapper_unmap_range(&mapper, BASE + PAGE_SIZE, PAGE_SIZE, false, 0, 0, &b),
		  KERR_NOENT);
	EXPECT_EQ(
		mapper_protect_range(&mapper, BASE, 2 * PAGE_SIZE, MAP_USER_READ, true, false, &b),
		KERR_NOENT);
	paddr_t pa;
	map_flags_t flags;
	EXPECT_EQ(mapper_translate(&mapper, BASE + PAGE_SIZE, &pa, &flags, nullptr), KERR_NOENT);
	EXPECT_OK(mapper_translate(&mapper, BASE + 5, &pa, &flags, nullptr));
	EXPECT_EQ(pa, 0x5005);
	EXPECT_EQ(memory_audit(), 0);
}

/* A map that fails half-way leaves nothing behind. */
TEST(mapper_nth_allocation_fails)
{
	test_kernel(nullptr);
	mapper = (struct mapper){.root = mapper_table_new(true), .user = true};
	for (int n = 1; n < 20; n++) {
		memory_fail_in = n;
		enum kerr err =
			mapper_map_range(&mapper, BASE, 0x5000, 1500 * PAGE_SIZE, MAP_USER_READ);
		bool came = memory_fail_in == 0;
		memory_fail_in = 0;
		EXPECT_EQ(err, came ? KERR_NOMEM : KERR_OK);
		EXPECT_EQ(mapper_count(&mapper, BASE, PAGES * PAGE_SIZE), came ? 0 : 1500);
		if (!came)
			return;
		mapper_clear(&mapper);
	}
	EXPECT(false);
}

/* The errors of each call, for leaves of each level, alone and in a range. */
static void errors_at(unsigned level)
{
	const uint64_t span = mapper_span(level);
	const vaddr_t at = ALIGN_UP(BASE, mapper_span(2)) + 4 * mapper_span(2);
	struct tlb_batch b;
	paddr_t pa;
	map_flags_t flags;
	unsigned found;

	tlb_batch_init(&b, &context);
	mapper = (struct mapper){.root = mapper_table_new(true), .user = true};
	EXPECT_EQ(mapper_unmap_range(&mapper, at, span, false, 0, 0, &b), KERR_NOENT);
	EXPECT_EQ(mapper_protect_range(&mapper, at, span, MAP_USER_READ, true, false, &b),
		  KERR_NOENT);
	EXPECT_EQ(mapper_translate(&mapper, at, &pa, &flags, &found), KERR_NOENT);
	EXPECT_OK(mapper_unmap_range(&mapper, at, span, true, 0, 0, &b));
	EXPECT_EQ(mapper_map_range(&mapper, at + 1, 4 * span, span, MAP_USER_READ), KERR_INVAL);
	EXPECT_EQ(mapper_map_range(&mapper, at, 4 * span + 8, span, MAP_USER_READ), KERR_INVAL);
	EXPECT_EQ(mapper_map_range(&mapper, at, 4 * span, span - 1, MAP_USER_READ), KERR_INVAL);
	EXPECT_OK(mapper_map_range(&mapper, at, 4 * span, span, MAP_USER_READ));
	EXPECT_OK(mapper_translate(&mapper, at + span - 1, &pa, &flags, &found));
	EXPECT_EQ(found, level);
	EXPECT_EQ(pa, 5 * span - 1);
	/* Already mapped: the same again, a page of it, a range that ends or begins in it. */
	EXPECT_EQ(mapper_map_range(&mapper, at, 4 * span, span, MAP_USER_READ), KERR_EXIST);
	EXPECT_EQ(mapper_map_range(&mapper, at + span - PAGE_SIZE, 0, PAGE_SIZE, MAP_USER_READ),
		  KERR_EXIST);
	EXPECT_EQ(mapper_map_range(&mapper, at - span, 3 * span, 2 * span, MAP_USER_READ),
		  KERR_EXIST);
	EXPECT_EQ(mapper_map_range(&mapper, at, 4 * span, 2 * span, MAP_USER_READ), KERR_EXIST);
	EXPECT_EQ(mapper_count(&mapper, at - span, 4 * span), span >> PAGE_SHIFT);
	/* Not mapped: ranges that reach beyond, which leave it as it was. */
	EXPECT_EQ(mapper_unmap_range(&mapper, at, span + PAGE_SIZE, false, 0, 0, &b), KERR_NOENT);
	EXPECT_EQ(mapper_unmap_range(&mapper, at - PAGE_SIZE, span, false, 0, 0, &b), KERR_NOENT);
	EXPECT_EQ(mapper_protect_range(&mapper, at, 2 * span, MAP_USER_READ, true, false, &b),
		  KERR_NOENT);
	EXPECT_EQ(mapper_count(&mapper, at - span, 4 * span), span >> PAGE_SHIFT);
	/* Misaligned. */
	EXPECT_EQ(mapper_unmap_range(&mapper, at + 1, span, true, 0, 0, &b), KERR_INVAL);
	EXPECT_EQ(mapper_unmap_range(&mapper, at, span + 1, true, 0, 0, &b), KERR_INVAL);
	EXPECT_EQ(mapper_protect_range(&mapper, at + 8, span, MAP_USER_READ, true, true, &b),
		  KERR_INVAL);
	EXPECT_EQ(mapper_protect_range(&mapper, at, span, MAP_USER_CODE | MAP_WRITABLE, true, true,
				       &b),
		  KERR_INVAL);
	/* A page out of the middle leaves the rest. */
	if (level > 0) {
		EXPECT_OK(mapper_unmap_range(&mapper, at + span / 2, PAGE_SIZE, false, 0, 0, &b));
		EXPECT_EQ(mapper_count(&mapper, at, span), (span >> PAGE_SHIFT) - 1);
		EXPECT_OK(mapper_translate(&mapper, at + span / 2 - 1, &pa, &flags, &found));
		EXPECT_EQ(pa, 4 * span + span / 2 - 1);
		EXPECT_EQ(found, level - 1);
	}
	/* Nothing is left, no table either. */
	EXPECT_OK(mapper_unmap_range(&mapper, at - span, 3 * span, true, 0, (vaddr_t)1 << 38, &b));
	tlb_batch_finish(&b);
	EXPECT_EQ(mapper.tables, 0);
	EXPECT_EQ(mapper_count(&mapper, at - span, 4 * span), 0);
}

TEST(mapper_errors_at_each_level)
{
	test_kernel(nullptr);
	context.root = mapper.root;
	for (unsigned level = 0; level < 3; level++)
		errors_at(level);
}
