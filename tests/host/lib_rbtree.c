/*
 * core/lib/rbtree.c: random insertions and removals against a sorted array, the red-black rules
 * after each step, the height bound, and that lookups without a lock end beside updates.
 */
#include "harness.h"

#include <lib/rbtree.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ITEMS 256

struct item {
	struct rb_node node;
	int key;
	bool linked;
};

static void insert(struct rb_tree *tree, struct item *item)
{
	struct rb_node **link = &tree->root, *parent = nullptr;

	while (*link) {
		parent = *link;
		link = item->key < rb_entry(parent, struct item, node)->key ? &parent->left
									    : &parent->right;
	}
	rb_insert(tree, &item->node, parent, link);
	item->linked = true;
}

static bool is_red(const struct rb_node *n)
{
	return n && !(n->parent_color & 1);
}

/* Checks the rules of the subtree; its black height, -1 if one is broken. */
static int check(const struct rb_node *n, const struct rb_node *parent, int low, int high)
{
	if (!n)
		return 0;
	int key = rb_entry(n, struct item, node)->key;
	if (!EXPECT_EQ(n->parent_color & ~(uintptr_t)1, parent) || !EXPECT(key > low && key < high))
		return -1;
	if (is_red(n) && !EXPECT(!is_red(n->left) && !is_red(n->right)))
		return -1;
	int left = check(n->left, n, low, key), right = check(n->right, n, key, high);
	if (left < 0 || right < 0 || !EXPECT_EQ(left, right))
		return -1;
	return left + !is_red(n);
}

static void check_tree(const struct rb_tree *tree, struct item *items)
{
	size_t count = 0, walked = 0;
	const struct rb_node *n = rb_first(tree), *last = nullptr;

	EXPECT(!is_red(tree->root));
	REQUIRE(check(tree->root, nullptr, -1, ITEMS) >= 0);
	for (int i = 0; i < ITEMS; i++) {
		if (!items[i].linked)
			continue;
		count++;
		REQUIRE(n == &items[i].node);
		EXPECT_EQ(rb_prev(n), last);
		last = n;
		n = rb_next(n);
	}
	EXPECT(!n);
	EXPECT_EQ(rb_last(tree), last);
	for (n = rb_last(tree); n; n = rb_prev(n))
		walked++;
	EXPECT_EQ(walked, count);
}

PROPERTY(rbtree_model, 30)
{
	struct rb_tree tree = {};
	struct item *items = calloc(ITEMS, sizeof(*items));

	for (int i = 0; i < ITEMS; i++)
		items[i].key = i;
	for (int step = 0; step < 1500; step++) {
		struct item *item = &items[test_random_below(random, ITEMS)];
		if (item->linked) {
			rb_remove(&tree, &item->node);
			item->linked = false;
		} else {
			insert(&tree, item);
		}
		check_tree(&tree, items);
	}
	for (int i = 0; i < ITEMS; i++)
		if (items[i].linked)
			rb_remove(&tree, &items[i].node);
	EXPECT(!tree.root);
	free(items);
}

static int height(const struct rb_node *n)
{
	return n ? 1 + MAX(height(n->left), height(n->right)) : 0;
}

TEST(rbtree_sorted_input_stays_flat)
{
	struct rb_tree tree = {};
	static struct item items[4096];

	for (int i = 0; i < 4096; i++) {
		items[i].key = i;
		insert(&tree, &items[i]);
	}
	/* At most 2 log2(n + 1). */
	EXPECT(height(tree.root) <= 24);
}

/* ---- A reader without lock ------------------------------------------------------------------ */

static struct rb_tree shared_tree;
static struct item shared_items[ITEMS];
static _Atomic bool writer_done;
static _Atomic uint64_t longest_walk;

__attribute__((no_sanitize("thread"))) static void *reader(void *arg)
{
	struct test_random random = {(uintptr_t)arg};

	while (!writer_done) {
		int key = (int)test_random_below(&random, ITEMS);
		uint64_t steps = 0;
		struct rb_node *n = READ_ONCE(shared_tree.root);
		while (n && steps < 1000000) {
			struct item *i = rb_entry(n, struct item, node);
			if (i->key == key)
				break;
			n = key < i->key ? READ_ONCE(n->left) : READ_ONCE(n->right);
			steps++;
		}
		if (steps > longest_walk)
			longest_walk = steps;
	}
	return nullptr;
}

/* Even keys never leave and so must nearly always be found; here only the end counts. */
TEST(rbtree_lockless_lookup_ends)
{
	struct test_random numbers = {test_seed()};
	pthread_t threads[2];

	for (int i = 0; i < ITEMS; i++) {
		shared_items[i].key = i;
		insert(&shared_tree, &shared_items[i]);
	}
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], nullptr, reader, (void *)(i + 7));
	for (int step = 0; step < 300000; step++) {
		struct item *item = &shared_items[test_random_below(&numbers, ITEMS / 2) * 2 + 1];
		if (item->linked)
			rb_remove(&shared_tree, &item->node);
		item->linked ? item->linked = false : insert(&shared_tree, item);
	}
	writer_done = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], nullptr);
	EXPECT(longest_walk < 1000);
	check_tree(&shared_tree, shared_items);
}
