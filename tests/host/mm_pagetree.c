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
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

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

/*
 * Late. A CPU has found a node in its tree, and before it looks into it another CPU of that tree
 * replaces the node by a copy: now the clone alone has it. The moment is found by the host's page
 * protection: the first access to the node ends in late_access().
 */
static void *late_node;
static void (*late_meanwhile)(void);
static struct sigaction late_before;

static void late_access(int signo)
{
	void *page = late_node;
	late_node = nullptr;
	sigaction(SIGSEGV, &late_before, nullptr);
	EXPECT_EQ(mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	late_meanwhile();
}

/* The next one who looks into the root of `m` comes late. */
static void late_begin(struct model_tree *m, void (*meanwhile)(void))
{
	const struct sigaction action = {.sa_handler = late_access, .sa_flags = SA_NODEFER};
	late_meanwhile = meanwhile;
	late_node = (void *)ALIGN_DOWN((uintptr_t)m->t.root, PAGE_SIZE);
	sigaction(SIGSEGV, &action, &late_before);
	EXPECT_EQ(mprotect(late_node, PAGE_SIZE, PROT_NONE), 0);
}

/* The other CPU: pages 0 and 1 lie in one leaf. */
static void late_write(void)
{
	EXPECT_OK(write_page(&trees[0], 1, 101));
}

/* And the clone, which has the old nodes for itself, loses page 0. */
static void late_write_and_remove(void)
{
	uint64_t key = key_of(0);
	late_write();
	EXPECT_OK(pagetree_prepare(&trees[1].t, key, key, key, key));
	pagetree_remove(&trees[1].t, key, key, key, key);
	trees[1].value[0] = 0;
}

static void late_setup(void)
{
	test_kernel(nullptr);
	pagetree_init(&trees[0].t, PAGETREE_PRIVATE);
	pagetree_init(&trees[1].t, PAGETREE_PRIVATE);
	for (unsigned i = 0; i < 3; i++)
		EXPECT_OK(write_page(&trees[0], i * i, 1 + i)); /* 0, 1, 4 */
	EXPECT_OK(write_page(&trees[0], CLUSTER, 5));
	pagetree_clone(&trees[0].t, &trees[1].t);
	memcpy(trees[1].value, trees[0].value, sizeof(trees[0].value));
}

static void late_end(void)
{
	EXPECT(!late_node);
	for (unsigned i = 0; i < KEYS; i++) {
		check_page(&trees[0], i);
		check_page(&trees[1], i);
	}
	pagetree_destroy(&trees[1].t);
	for (unsigned i = 0; i < KEYS; i++)
		check_page(&trees[0], i);
	pagetree_destroy(&trees[0].t);
	for (int i = 0; i < 3; i++)
		rcu_synchronize();
	EXPECT_EQ(pagetree_node_bytes(), 0);
}

TEST(pagetree_late_write)
{
	late_setup();
	late_begin(&trees[0], late_write);
	EXPECT_OK(write_page(&trees[0], 0, 100));
	late_end();
}

TEST(pagetree_late_walk)
{
	uint64_t key;
	late_setup();
	late_begin(&trees[0], late_write_and_remove);
	EXPECT(pagetree_next(&trees[0].t, key_of(0), key_of(0), &key));
	late_end();
}

TEST(pagetree_late_count)
{
	late_setup();
	late_begin(&trees[0], late_write_and_remove);
	EXPECT_EQ(pagetree_count(&trees[0].t, key_of(0), key_of(10)), 3);
	late_end();
}

static void late_write_remove_and_fail(void)
{
	late_write_and_remove();
	memory_fail_in = 1;
}

/* What is seen late must not be missed by what makes sure that nothing can fail later. */
TEST(pagetree_late_move)
{
	late_setup();
	late_begin(&trees[0], late_write_remove_and_fail);
	enum kerr err = pagetree_move(&trees[0].t, key_of(0), key_of(2 * CLUSTER), 1);
	memory_fail_in = 0;
	EXPECT_EQ(err, KERR_NOMEM);
	late_end();
}

/* What a clone puts below a node that was common goes after a grace period: a reader of the other tree may
 * have come that far. */
TEST(pagetree_nodes_wait_for_late_readers)
{
	late_setup();
	late_write(); /* the root and the leaf that are left are the clone's */
	EXPECT_OK(write_page(&trees[1], CLUSTER, 6)); /* a leaf in place of a common one */
	EXPECT_OK(write_page(&trees[1], 100, 7)); /* a new leaf */
	uint64_t before = pagetree_node_bytes();
	rcu_read_lock();
	pagetree_destroy(&trees[1].t);
	EXPECT_EQ(pagetree_node_bytes(), before);
	rcu_read_unlock();
	memset(trees[1].value, 0, sizeof(trees[1].value));
	late_end();
}

/*
 * Just after a clone: all CPUs but the last write, remove and look for pages of one leaf in the first
 * tree, each its own, the last does so in the clone. Each copies the same nodes, and who is late finds
 * that the other tree alone has the ones that it saw first.
 */
#define ROUNDS 10000u

static _Atomic unsigned arrivals;

static void all_arrive(unsigned *arrived)
{
	*arrived += host_config()->cpus;
	atomic_fetch_add(&arrivals, 1);
	while (atomic_load(&arrivals) < *arrived)
		hal.cpu.relax();
}

static void own_page(struct model_tree *m, unsigned i, uint64_t round)
{
	uint64_t key = key_of(i), found;
	if (m->value[i] && round % 3 == 0) {
		EXPECT_OK(pagetree_prepare(&m->t, key, key, key, key));
		pagetree_remove(&m->t, key, key, key, key);
		m->value[i] = 0;
	} else if (round % 3 == 1) {
		EXPECT_EQ(pagetree_next(&m->t, key, key, &found), m->value[i] != 0);
		check_page(m, i);
	} else {
		EXPECT_OK(write_page(m, i, round));
	}
}

static void after_clone(cpu_t cpu, void *arg)
{
	struct model_tree *m = &trees[0], *clone = &trees[1];
	unsigned arrived = 0, cpus = host_config()->cpus;
	for (uint64_t round = 1; round <= ROUNDS && !test_failures(); round++) {
		if (cpu == 0) {
			pagetree_init(&clone->t, PAGETREE_PRIVATE);
			pagetree_clone(&m->t, &clone->t);
			memcpy(clone->value, m->value, sizeof(m->value));
		}
		all_arrive(&arrived);
		if (cpu + 1 < cpus)
			own_page(m, cpu, round + cpu);
		for (unsigned i = 0; cpu + 1 == cpus && i < cpu; i++)
			own_page(clone, i, round + i + 1);
		all_arrive(&arrived);
		for (unsigned i = 0; cpu == 0 && i < cpus; i++) {
			check_page(m, i);
			check_page(clone, i);
		}
		if (cpu == 0)
			pagetree_destroy(&clone->t);
		preempt_check(); /* a quiet moment */
		all_arrive(&arrived);
	}
}

TEST(pagetree_used_by_many_after_a_clone)
{
	test_kernel(&(struct host_config){.cpus = 4, .mode = HOST_THREADS, .seed = test_seed()});
	pagetree_init(&trees[0].t, PAGETREE_PRIVATE);
	test_on_all_cpus(after_clone, nullptr);
	pagetree_destroy(&trees[0].t);
	for (int i = 0; i < 3; i++)
		rcu_synchronize();
	EXPECT_EQ(pagetree_node_bytes(), 0);
}
