/*
 * Memory pressure: the event at the low watermark, shrinkers, the reserve that pages of files leave,
 * and the question to exec when nothing is left.
 */
#include "machine.h"

#include "frame.h"

#include <mm/aspace.h>
#include <mm/memory.h>
#include <mm/object.h>
#include <mm/pressure.h>
#include <string.h>

#define BASE ((vaddr_t)0x10000000)

static struct frame *hoard; /* chained through link.next */

static bool hoard_one(unsigned flags)
{
	struct frame *f = frame_alloc(0, flags);

	if (!f)
		return false;
	f->link.next = hoard ? &hoard->link : nullptr;
	hoard = f;
	return true;
}

static uint64_t give(uint64_t want)
{
	uint64_t n = 0;

	for (; n < want && hoard; n++) {
		struct frame *f = hoard;
		hoard = f->link.next ? list_entry(f->link.next, struct frame, link) : nullptr;
		frame_free(f, 0);
	}
	return n;
}

static uint64_t stock, asked;

static uint64_t stock_count(void)
{
	return stock;
}

static uint64_t stock_scan(uint64_t want)
{
	EXPECT(want <= stock);
	asked++;
	uint64_t n = give(want);
	stock -= n;
	return n;
}

static const struct shrinker hoarder = {.name = "hoard", .count = stock_count, .scan = stock_scan};

static struct shrinker_info info_of(const char *name)
{
	struct shrinker_info s = {};

	for (size_t i = 0; shrinker_get(i, &s); i++)
		if (strcmp(s.name, name) == 0)
			return s;
	EXPECT(false);
	return s;
}

TEST(pressure_event_and_shrinkers)
{
	test_kernel(nullptr);
	shrinker_register(&hoarder);
	EXPECT_EQ(pressure_events(), 0);
	EXPECT(!frame_scarce() && frame_file_room());
	while (hoard_one(FRAME_USER))
		;
	EXPECT_EQ(pressure_events(), 1); /* however long it lasts */
	EXPECT(frame_scarce() && !frame_file_room());
	EXPECT(hoard_one(0)); /* the kernel's reserve */
	(void)!frame_reclaim(); /* what CPUs and slabs have in stock */
	while (hoard_one(FRAME_USER))
		;
	EXPECT_EQ(asked, 0); /* it said that it had none */
	stock = 200;
	EXPECT(frame_reclaim());
	EXPECT_EQ(asked, 1);
	EXPECT(stock < 200);
	EXPECT_EQ(info_of("hoard").given, 200 - stock);
	EXPECT(!frame_scarce() && !frame_file_room());
	EXPECT(hoard_one(FRAME_USER));
	give(UINT64_MAX);
	EXPECT(frame_file_room());
	while (hoard_one(FRAME_USER))
		;
	EXPECT_EQ(pressure_events(), 2);
	give(UINT64_MAX);
}

/* Below low the thread's work goes on until high, and no further. */
TEST(pressure_reclaim_ends_at_high)
{
	struct reclaim_stats before, after;
	uint64_t low = 0, high = 0, had = 0;
	struct zone_info z;

	test_kernel(nullptr);
	shrinker_register(&hoarder);
	for (size_t i = 0; zone_info(i, &z); i++) {
		low += z.watermark_low;
		high += z.watermark_high;
	}
	EXPECT_EQ(frame_shortfall(), 0);
	while (pressure_events() == 0 && hoard_one(FRAME_USER))
		had++;
	EXPECT(frame_shortfall() >= high - low);
	while (frame_shortfall() < high && hoard_one(0))
		had++;
	stock = had;
	reclaim_stats(&before);
	reclaim_balance();
	reclaim_stats(&after);
	EXPECT_EQ(frame_shortfall(), 0);
	EXPECT(stock + 2 * high > had); /* not more than was missing, and what CPUs took */
	EXPECT_EQ(after.wakes, before.wakes + 1);
	EXPECT_EQ(after.stalls, before.stalls);
	EXPECT(after.given - before.given >= had - stock);
	EXPECT(after.asked >= after.given);
	/* Nothing to give: it ends all the same. */
	while (hoard_one(FRAME_USER))
		;
	stock = 0;
	reclaim_balance();
	reclaim_balance();
	EXPECT(frame_shortfall() > 0);
	give(UINT64_MAX);
}

/* ---- Files -------------------------------------------------------------------------------------- */

static uint64_t charged;

static enum kerr charge(struct vm_object *o, uint64_t pages)
{
	charged += pages;
	return KERR_OK;
}

static void uncharge(struct vm_object *o, uint64_t pages)
{
	charged -= pages;
}

static const struct vm_object_ops file_ops = {
	.name = "file", .charge = charge, .uncharge = uncharge};

TEST(pressure_files_leave_room)
{
	struct vm_object file, *shared;
	struct frame *f;
	uint64_t n = 0;
	enum kerr err;

	test_kernel(nullptr);
	uint64_t total = frame_totals().total;
	vm_object_init(&file, &file_ops, UINT64_MAX >> 1, nullptr);
	while ((err = vm_object_page(&file, n, true, &f)) == KERR_OK) {
		frame_put(f);
		n++;
	}
	EXPECT_EQ(err, KERR_NOSPC);
	EXPECT_EQ(charged, n);
	EXPECT(frame_totals().free >= total / 16);
	EXPECT_OK(vm_object_create_anonymous(UINT64_MAX >> 1, &shared));
	for (uint64_t i = 0; i < total / 20; i++) {
		EXPECT_OK(vm_object_page(shared, i, true, &f));
		frame_put(f);
	}
	vm_object_put(shared);
	vm_object_truncate(&file, 0);
	vm_object_put(&file);
	EXPECT_EQ(charged, 0);
}

/* ---- Nothing left ------------------------------------------------------------------------------- */

static unsigned calls, patience;

/* At the third call somebody has ended. */
static bool somebody_ends(unsigned attempt)
{
	if (++calls == patience)
		give(300);
	return attempt < 10;
}

TEST(pressure_fault_waits_for_memory)
{
	struct aspace *as;
	vaddr_t at = BASE;

	test_kernel(nullptr);
	EXPECT_OK(aspace_create(&as));
	EXPECT_OK(aspace_map(as, &at, 64 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
	do {
		while (hoard_one(FRAME_USER))
			;
		(void)!frame_reclaim();
	} while (hoard_one(FRAME_USER));
	EXPECT_EQ(aspace_fault(as, BASE, TRAP_WRITE), FAULT_NO_MEMORY); /* nobody to ask */
	test_upcalls.memory_short = somebody_ends;
	patience = 100;
	EXPECT_EQ(aspace_fault(as, BASE, TRAP_WRITE), FAULT_NO_MEMORY);
	EXPECT(calls >= 10 && calls <= 11); /* not for ever */
	calls = 0;
	patience = 3;
	EXPECT_EQ(aspace_fault(as, BASE, TRAP_WRITE), FAULT_CONTINUE);
	EXPECT_EQ(calls, 3);
	give(UINT64_MAX);
	aspace_put(as);
}
