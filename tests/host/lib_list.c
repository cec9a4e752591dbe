/* core/lib/list.h: each operation, and random operations on two lists against two arrays. */
#include "harness.h"

#include <lib/list.h>

struct item {
	int number;
	struct list link;
};

static void expect_order(struct list *head, const int *numbers, size_t count)
{
	struct item *i;
	size_t n = 0;

	list_for_each(i, head, link) {
		REQUIRE(n < count);
		EXPECT_EQ(i->number, numbers[n++]);
	}
	EXPECT_EQ(n, count);
	struct list *l = head->prev;
	for (; l != head; l = l->prev)
		EXPECT_EQ(list_entry(l, struct item, link)->number, numbers[--n]);
	EXPECT_EQ(n, 0);
	EXPECT_EQ(list_empty(head), count == 0);
}

TEST(list_add_and_remove)
{
	struct list head = LIST_INIT(head);
	struct item a = {1, {}}, b = {2, {}}, c = {3, {}};

	expect_order(&head, nullptr, 0);
	list_add_tail(&head, &a.link);
	list_add_tail(&head, &b.link);
	list_add_head(&head, &c.link);
	expect_order(&head, (int[]){3, 1, 2}, 3);
	EXPECT_EQ(list_first(&head, struct item, link), &c);
	EXPECT_EQ(list_last(&head, struct item, link), &b);
	list_remove(&a.link);
	EXPECT(list_empty(&a.link));
	expect_order(&head, (int[]){3, 2}, 2);
	list_insert(&a.link, &c.link, &b.link);
	expect_order(&head, (int[]){3, 1, 2}, 3);
}

TEST(list_remove_while_walking)
{
	struct list head = LIST_INIT(head);
	struct item items[10], *i, *next;

	for (int n = 0; n < 10; n++) {
		items[n].number = n;
		list_add_tail(&head, &items[n].link);
	}
	list_for_each_safe(i, next, &head, link) {
		if (i->number % 2)
			list_remove(&i->link);
	}
	expect_order(&head, (int[]){0, 2, 4, 6, 8}, 5);
}

/* The model: an array a list, in order. */
struct model {
	int numbers[32];
	size_t count;
};

static void model_insert(struct model *m, size_t at, int number)
{
	memmove(&m->numbers[at + 1], &m->numbers[at], (m->count - at) * sizeof(int));
	m->numbers[at] = number;
	m->count++;
}

static bool model_remove(struct model *m, int number)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->numbers[i] != number)
			continue;
		memmove(&m->numbers[i], &m->numbers[i + 1], (--m->count - i) * sizeof(int));
		return true;
	}
	return false;
}

PROPERTY(list_model, 50)
{
	struct list heads[2] = {LIST_INIT(heads[0]), LIST_INIT(heads[1])};
	struct model models[2] = {};
	struct item items[32];

	for (int n = 0; n < 32; n++) {
		items[n].number = n;
		list_init(&items[n].link);
	}
	for (int step = 0; step < 300; step++) {
		struct item *i = &items[test_random_below(random, 32)];
		size_t which = test_random_below(random, 2);
		bool linked =
			model_remove(&models[0], i->number) || model_remove(&models[1], i->number);
		EXPECT_EQ(!list_empty(&i->link), linked);
		if (linked)
			list_remove(&i->link);
		switch (test_random_below(random, 8)) {
		case 0:
			break;
		case 1:
			list_splice_tail(&heads[which], &heads[!which]);
			for (size_t k = 0; k < models[!which].count; k++)
				model_insert(&models[which], models[which].count,
					     models[!which].numbers[k]);
			models[!which].count = 0;
			break;
		case 2:
		case 3:
			list_add_head(&heads[which], &i->link);
			model_insert(&models[which], 0, i->number);
			break;
		default:
			list_add_tail(&heads[which], &i->link);
			model_insert(&models[which], models[which].count, i->number);
		}
		for (int k = 0; k < 2; k++)
			expect_order(&heads[k], models[k].numbers, models[k].count);
	}
}
