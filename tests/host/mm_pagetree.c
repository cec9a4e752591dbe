/*
 * Page trees and their clones against arrays: writes with copy-on-write, removals, moves, clones
 * and ends in any order; no frame and no node is lost; and with the n-th allocation failing.
 */
#include "machine.h"

#include "counters.h"
#include "inject.h"
#include "region.h"

#include <core/rcu.h>
#include <mm/memory.h>
#include <stdio.h>

#define TREES 5u
#define CLUSTERS 6u
#define CLUSTER 150u
#define KEYS (CLUSTERS * CLUSTER)

struct model_tree {
	struct pagetree t;
	bool live;
	uint64_t value[KEYS]; /* 0: nothing */
};

static struct model_tree trees[TREES];

/* Clusters far apart, so that all levels occur. */
static uint64_t key_of(unsigned i)
{
	static const uint64_t base[CLUSTERS] = {0,          1000,        0x40000,
						0x7fffff00, 0xfffffff00, 0x8000000000};
	return base[i / CLUSTER] + i % CLUSTER;
}

static enum kerr write_page(struct model_tree *m, unsigned i, uint64_t value)
{
	struct page_ref ref;
	uint64_t key = key_of(i);
	rcu_read_lock();
	enum kerr err = pagetree_ref(&m->t, key, true, &ref);
	if (err != KERR_OK)
		goto out;
	page_slot_t v = *ref.slot;
	struct frame *old = page_slot_frame(v);
	EXPECT_EQ(old != nullptr, m->value[i] != 0);
	if (old)
		EXPECT_EQ(*(uint64_t *)frame_data(old), m->value[i]);
	if ((v & PAGE_OWNED) || (old && old->references == 1)) {
		if (v & PAGE_OWNED)
			EXPECT_EQ(old->references, 1);
		else
			EXPECT(pagetree_swap(&m->t, &ref, key, &v, v | PAGE_OWNED));
		*(uint64_t *)frame_data(old) = value;
	} else {
		struct frame *f = frame_alloc(0, 0);
		err = f ? KERR_OK : KERR_NOMEM;
		if (!f)
			goto out;
		*(uint64_t *)frame_data(f) = value;
		EXPECT(pagetree_swap(&m->t, &ref, key, &v, page_slot_make(f, true)));
		mm_count(COUNT_ANONYMOUS, 1);
		if (old)
			anonymous_put(old);
	}
	m->value[i] = value;
out:
	rcu_read_unlock();
	return err;
}

static void check_page(struct model_tree *m, unsigned i)
{
	rcu_read_lock();
	struct frame *f = page_slot_frame(pagetree_get(&m->t, key_of(i)));
	rcu_read_unlock();
	EXPECT_EQ(f != nullptr, m->value[i] != 0);
	if (f && m->value[i])
		EXPECT_EQ(*(uint64_t *)frame_data(f), m->value[i]);
}

static enum kerr remove_pages(struct model_tree *m, struct test_random *random)
{
	unsigned cluster = (unsigned)test_random_below(random, CLUSTERS) * CLUSTER;
	unsigned first = (unsigned)test_random_below(random, CLUSTER);
	unsigned last = first + (unsigned)test_random_below(random, CLUSTER - first);
	uint64_t low = key_of(cluster + first), high = key_of(cluster + last);
	/* The gap reaches as far as there is nothing, within the cluster. */
	unsigned a = first, b = last;
	while (a > 0 && !m->value[cluster + a - 1])
		a--;
	while (b + 1 < CLUSTER && !m->value[cluster + b + 1])
		b++;
	uint64_t gap_low = key_of(cluster + a), gap_high = key_of(cluster + b);
	enum kerr err = pagetree_prepare(&m->t, low, high, gap_low, gap_high);
	if (err != KERR_OK)
		return err;
	pagetree_remove(&m->t, low, high, gap_low, gap_high);
	for (unsigned i = first; i <= last; i++)
		m->value[cluster + i] = 0;
	return KERR_OK;
}

static enum kerr move_pages(struct model_tree *m, struct test_random *random)
{
	unsigned from = (unsigned)test_random_below(random, CLUSTERS) * CLUSTER;
	unsigned to = (unsigned)test_random_below(random, CLUSTERS) * CLUSTER;
	unsigned count = 1 + (unsigned)test_random_below(random, 70);
	unsigned a = from + (unsigned)test_random_below(random, CLUSTER - count);
	unsigned b = to + (unsigned)test_random_below(random, CLUSTER - count);
	if (from == to)
		return KERR_OK;
	for (unsigned i = 0; i < count; i++) {
		if (m->value[b + i])
			return KERR_OK;
	}
	enum kerr err = pagetree_move(&m->t, key_of(a), key_of(b), count);
	for (unsigned i = 0; err == KERR_OK && i < count; i++) {
		m->value[b + i] = m->value[a + i];
		m->value[a + i] = 0;
	}
	return err;
}

static void check_walks(struct model_tree *m)
{
	uint64_t at = 0, key, found = 0, pages = 0;
	for (unsigned i = 0; i < KEYS; i++)
		pages += m->value[i] != 0;
	EXPECT_EQ(m->t.pages, pages);
	EXPECT_EQ(pagetree_count(&m->t, 0, PAGETREE_KEY_MAX), pages);
	for (; pagetree_next(&m->t, at, PAGETREE_KEY_MAX, &key); at = key + 1)
		found++;
	EXPECT_EQ(found, pages);
}

static enum kerr step(struct test_random *random)
{
	struct model_tree *m = &trees[test_random_below(random, TREES)];
	struct model_tree *other = &trees[test_random_below(random, TREES)];
	if (!m->live)
		return KERR_OK;
	switch (test_random_below(random, 40)) {
	case 0:
		if (other == m)
			return KERR_OK;
		if (other->live)
			pagetree_destroy(&other->t);
		pagetree_init(&other->t, PAGETREE_PRIVATE);
		pagetree_clone(&m->t, &other->t);
		memcpy(other->value, m->value, sizeof(m->value));
		other->live = true;
		return KERR_OK;
	case 1:
		if (m == &trees[0])
			return KERR_OK;
		pagetree_destroy(&m->t);
		m->live = false;
		return KERR_OK;
	case 2:
	case 3:
		return remove_pages(m, random);
	case 4:
		return move_pages(m, random);
	case 5:
		check_walks(m);
		return KERR_OK;
	default:
		check_page(m, (unsigned)test_random_below(random, KEYS));
		return write_page(m, (unsigned)test_random_below(random, KEYS),
				  test_random(random) | 1);
	}
}

static void steps(struct test_random *random, int count, bool inject)
{
	pagetree_init(&trees[0].t, PAGETREE_PRIVATE);
	trees[0].live = true;
	for (int n = 0; n < count; n++) {
		if (inject && test_random_below(random, 3) == 0) {
			memory_fail_in = 1 + (int64_t)test_random_below(random, 5);
			enum kerr err = step(random);
			memory_fail_in = 0;
			EXPECT(err == KERR_OK || err == KERR_NOMEM);
		} else {
			EXPECT_OK(step(random));
		}
	}
	for (unsigned t = 0; t < TREES; t++) {
		if (!trees[t].live)
			continue;
		for (unsigned i = 0; i < KEYS; i++)
			check_page(&trees[t], i);
		check_walks(&trees[t]);
		pagetree_destroy(&trees[t].t);
	}
	for (int i = 0; i < 3; i++)
		rcu_synchronize();
	struct memory_stats s;
	memory_stats(&s);
	EXPECT_EQ(s.anonymous, 0);
	EXPECT_EQ(pagetree_node_bytes(), 0);
}

PROPERTY(pagetree_model, 1)
{
	test_kernel(&(struct host_config){.ram_dirty = true, .seed = test_seed()});
	steps(random, 60000, false);
}

PROPERTY(pagetree_nth_allocation_fails, 1)
{
	test_kernel(&(struct host_config){.ram_dirty = true, .seed = test_seed()});
	steps(random, 30000, true);
}

/* The shape: a few clusters cost a few nodes, a clone none. */
TEST(pagetree_is_small)
{
	test_kernel(nullptr);
	struct model_tree *a = &trees[0], *b = &trees[1];
	pagetree_init(&a->t, PAGETREE_PRIVATE);
	pagetree_init(&b->t, PAGETREE_PRIVATE);
	EXPECT_OK(write_page(a, 0, 1));
	uint64_t node = pagetree_node_bytes();
	EXPECT_OK(write_page(a, 5 * CLUSTER, 2));
	EXPECT_EQ(pagetree_node_bytes(), 3 * node); /* two leaves and what joins them */
	pagetree_clone(&a->t, &b->t);
	memcpy(b->value, a->value, sizeof(a->value));
	EXPECT_EQ(pagetree_node_bytes(), 3 * node);
	EXPECT_OK(write_page(b, 0, 3));
	EXPECT_EQ(pagetree_node_bytes(), 5 * node); /* a root and a leaf of its own */
	check_page(a, 0);
	check_page(b, 0);
	check_page(b, 5 * CLUSTER);
}
