/* Doubly linked lists whose links live in the listed objects. The caller locks. */
#pragma once

#include <lib/compiler.h>

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name) {&(name), &(name)}

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

/* Also without the lock, as a hint. */
static inline bool list_empty(const struct list *l)
{
	return READ_ONCE(l->next) == l;
}

static inline void list_insert(struct list *item, struct list *prev, struct list *next)
{
	item->prev = prev;
	item->next = next;
	prev->next = item;
	next->prev = item;
}

static inline void list_add_head(struct list *head, struct list *item)
{
	list_insert(item, head, head->next);
}

static inline void list_add_tail(struct list *head, struct list *item)
{
	list_insert(item, head->prev, head);
}

/* Unlinks `item` and leaves it as an empty list, so that list_empty(item) tells "not linked". */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Moves everything in `from` to the tail of `to`; `from` is empty afterwards. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member) list_entry((head)->prev, type, member)

#define list_for_each(pos, head, member)                                                           \
	for (pos = list_first(head, typeof(*pos), member); &pos->member != (head);                 \
	     pos = list_entry(pos->member.next, typeof(*pos), member))

/* `pos` may be removed in the body. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
	for (pos = list_first(head, typeof(*pos), member),                                         \
	    tmp = list_entry(pos->member.next, typeof(*pos), member);                              \
	     &pos->member != (head);                                                               \
	     pos = tmp, tmp = list_entry(tmp->member.next, typeof(*pos), member))
