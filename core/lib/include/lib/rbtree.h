/*
 * Red-black trees whose nodes live in the objects. The caller walks down to find the place
 * (so comparison is inlined), links, and rebalances. Updates need the caller's lock; a lookup
 * without it may run beside an update: it ends, and may miss, but never follows a bad pointer
 * as long as nodes are freed only after an rcu grace period (core/rcu.h).
 */
#pragma once

#include <lib/compiler.h>

struct rb_node {
	uintptr_t parent_color; /* parent | 1 if black */
	struct rb_node *left, *right;
};

struct rb_tree {
	struct rb_node *root;
};

/* Links `node` below `parent` at `*link` and rebalances. */
void rb_insert(struct rb_tree *tree, struct rb_node *node, struct rb_node *parent,
	       struct rb_node **link);
void rb_remove(struct rb_tree *tree, struct rb_node *node);
struct rb_node *rb_first(const struct rb_tree *tree);
struct rb_node *rb_last(const struct rb_tree *tree);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

#define rb_entry(ptr, type, member) container_of(ptr, type, member)
