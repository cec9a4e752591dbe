/* Slots: each step that fails leaves the old provider with its state; who stays inside; versions. */
#include "inject.h"
#include "machine.h"
#include "private.h"

#include <mm/heap.h>
#include <module/call.h>
#include <module/slot.h>

struct box {
	uint64_t value;
};

static enum kerr check_says = KERR_OK, export_says = KERR_OK;
static unsigned boxes;

static enum kerr box_init(void **instance)
{
	*instance = heap_alloc_zeroed(sizeof(struct box));
	boxes += *instance != nullptr;
	return *instance ? KERR_OK : KERR_NOMEM;
}

static void box_fini(void *instance)
{
	boxes--;
	heap_free(instance);
}

static enum kerr box_export(void *instance, struct slot_state *out)
{
	struct box *b = instance;
	enum kerr err = slot_state_put(out, &b->value, sizeof(b->value));
	return err == KERR_OK ? export_says : err;
}

static enum kerr box_import(void *instance, const struct slot_state *in)
{
	struct box *b = instance;
	size_t at = 0;
	return slot_state_take(in, &at, &b->value, sizeof(b->value));
}

static enum kerr box_import_more(void *instance, const struct slot_state *in)
{
	size_t at = 0;
	uint64_t much[4];
	return slot_state_take(in, &at, much, sizeof(much));
}

/* Asks for a swap in the middle of one. */
static bool asks;
static enum kerr asked = KERR_OK, asked_anew = KERR_OK;

static enum kerr box_check(void *instance)
{
	if (asks) {
		asked = slot_swap("box", "greedy", SLOT_STEP_NONE);
		asked_anew = slot_renew("box", "greedy", 0);
	}
	return check_says;
}

static struct slot_provider first = {.name = "first",
				     .version = 1,
				     .oldest = 1,
				     .init = box_init,
				     .fini = box_fini,
				     .export = box_export,
				     .import = box_import};
static struct slot_provider second = {.name = "second",
				      .version = 2,
				      .oldest = 1,
				      .init = box_init,
				      .fini = box_fini,
				      .export = box_export,
				      .import = box_import,
				      .check = box_check};
static struct slot_provider greedy = {.name = "greedy",
				      .version = 2,
				      .oldest = 1,
				      .init = box_init,
				      .fini = box_fini,
				      .export = box_export,
				      .import = box_import_more};
static enum kerr import_nothing(void *instance, const struct slot_state *in)
{
	return in->size == 0 ? KERR_OK : KERR_INVAL;
}

static struct slot_provider empty = {.name = "empty",
				     .version = 1,
				     .init = box_init,
				     .fini = box_fini,
				     .import = import_nothing};
static struct slot box = {.name = "box", .kind = SLOT_CUSTOM};

void test_prepare(void)
{
	test_kernel(nullptr);
	EXPECT_OK(slot_add(&box, &first));
	EXPECT_OK(slot_provider_add("box", &second));
	EXPECT_OK(slot_provider_add("box", &greedy));
	((struct box *)box.instance)->value = 4711;
}

static uint64_t value(void)
{
	unsigned in = slot_enter(&box);
	uint64_t v = ((struct box *)box.instance)->value;
	slot_leave(&box, in);
	return v;
}

static void expect(const struct slot_provider *p)
{
	EXPECT(box.current == p);
	EXPECT_EQ(value(), 4711);
	EXPECT_EQ(boxes, 1);
	EXPECT(!atomic_load(&box.closed));
}

TEST(swapped_with_state)
{
	EXPECT_OK(slot_swap("box", "second", SLOT_STEP_NONE));
	expect(&second);
	EXPECT_OK(slot_swap("box", "second", SLOT_STEP_NONE));
	expect(&second);
	EXPECT_EQ(box.swaps, 1);
	EXPECT_EQ(slot_provider_remove("box", &second), KERR_BUSY);
	EXPECT_OK(slot_provider_remove("box", &first));
	EXPECT_EQ(slot_swap("box", "first", SLOT_STEP_NONE), KERR_NOENT);
	EXPECT_EQ(slot_provider_add("box", &greedy), KERR_EXIST);
	EXPECT_EQ(slot_provider_add("nothing", &first), KERR_NOENT);
	expect(&second);
}

TEST(each_step_fails)
{
	for (enum slot_step step = SLOT_STEP_INIT; step < SLOT_STEP_NONE; step++) {
		EXPECT_EQ(slot_swap("box", "second", step), KERR_IO);
		expect(&first);
	}
	EXPECT_EQ(box.rollbacks, SLOT_STEP_NONE);
	export_says = KERR_NXIO;
	EXPECT_EQ(slot_swap("box", "second", SLOT_STEP_NONE), KERR_NXIO);
	expect(&first);
	export_says = KERR_OK;
	check_says = KERR_DOM;
	EXPECT_EQ(slot_swap("box", "second", SLOT_STEP_NONE), KERR_DOM);
	expect(&first);
	EXPECT_EQ(slot_swap("box", "greedy", SLOT_STEP_NONE), KERR_INVAL);
	expect(&first);
	check_says = KERR_OK;
	EXPECT_OK(slot_swap("box", "second", SLOT_STEP_NONE));
	expect(&second);
}

TEST(newer_state_than_it_reads)
{
	EXPECT_OK(slot_swap("box", "second", SLOT_STEP_NONE));
	EXPECT_EQ(slot_swap("box", "first", SLOT_STEP_NONE), KERR_INVAL);
	expect(&second);
}

TEST(somebody_stays_inside)
{
	unsigned in = slot_enter(&box);
	nsec_t before = hal.timer.now();
	EXPECT_EQ(slot_swap("box", "second", SLOT_STEP_NONE), KERR_TIMEDOUT);
	EXPECT(hal.timer.now() - before >= NSEC_PER_SEC);
	slot_leave(&box, in);
	expect(&first);
	EXPECT_OK(slot_swap("box", "second", SLOT_STEP_NONE));
	expect(&second);
}

TEST(in_the_middle_of_a_swap)
{
	asks = true;
	EXPECT_OK(slot_swap("box", "second", SLOT_STEP_NONE));
	EXPECT_EQ(asked, KERR_BUSY);
	EXPECT_EQ(asked_anew, KERR_BUSY);
	expect(&second);
	EXPECT_EQ(box.swaps, 1);
}

TEST(without_a_state)
{
	first.export = nullptr;
	EXPECT_EQ(slot_swap("box", "second", SLOT_STEP_NONE), KERR_INVAL); /* it wants one */
	EXPECT(box.current == &first);
	EXPECT_OK(slot_provider_add("box", &empty));
	EXPECT_OK(slot_swap("box", "empty", SLOT_STEP_NONE));
	EXPECT(box.current == &empty);
	EXPECT_EQ(value(), 0);
}

/* ---- A restart ---- */

static struct loaded broken_module = {.name = "broken"};
static struct module broken_owner = {.loader = &broken_module};
static enum kerr init_says = KERR_OK;

/* Whoever came now would go into the old instance. */
static enum kerr only_closed_init(void **instance)
{
	EXPECT(atomic_load(&box.closed));
	EXPECT(!module_failed(&broken_owner));
	return init_says == KERR_OK ? box_init(instance) : init_says;
}

static struct slot_provider broken = {.name = "broken",
				      .version = 1,
				      .owner = &broken_owner,
				      .init = only_closed_init,
				      .fini = box_fini,
				      .import = import_nothing};

static void break_it(void)
{
	box.owner = &broken_owner;
	box.current = &broken;
	EXPECT_OK(slot_provider_add("box", &broken));
	module_fail(&broken_owner);
}

TEST(restarted_with_the_gate_closed)
{
	void *old = box.instance;

	break_it();
	EXPECT_OK(slot_renew("box", "broken", 0));
	EXPECT(box.instance != old && boxes == 1);
	EXPECT(!module_failed(&broken_owner));
	EXPECT(!atomic_load(&box.closed));
}

TEST(a_restart_that_fails_leaves_it_failed)
{
	break_it();
	init_says = KERR_NOMEM;
	EXPECT_EQ(slot_renew("box", "broken", 0), KERR_NOMEM);
	EXPECT(module_failed(&broken_owner));
	init_says = KERR_OK;
	broken.check = box_check;
	check_says = KERR_DOM;
	EXPECT_EQ(slot_renew("box", "broken", 0), KERR_DOM);
	EXPECT(module_failed(&broken_owner));
	EXPECT_EQ(box.epoch, 0);
	expect(&broken);
}

TEST(what_broke_is_gone)
{
	EXPECT_OK(slot_provider_add("box", &empty));
	break_it();
	EXPECT_OK(slot_swap("box", "empty", SLOT_STEP_NONE));
	EXPECT_OK(slot_renew("box", "broken", 0));
	EXPECT(box.current == &empty && box.epoch == 1);
	EXPECT(module_failed(&broken_owner));
	EXPECT_OK(slot_renew("box", "empty", 1));
	EXPECT(box.current == &empty && box.epoch == 2);
}

TEST(no_memory)
{
	enum kerr err;
	int64_t n = 1;

	do {
		atomic_store(&memory_fail_in, n++);
		err = slot_swap("box", "second", SLOT_STEP_NONE);
		atomic_store(&memory_fail_in, 0);
		EXPECT(err == KERR_OK || err == KERR_NOMEM);
		expect(err == KERR_OK ? &second : &first);
	} while (err != KERR_OK && n < 100);
	EXPECT(n > 2);
}
