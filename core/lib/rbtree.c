/*
 * Red-black trees: the algorithms of Cormen, Leiserson, Rivest and Stein, chapter 13, with links
 * written in an order that lets lockless readers run into no cycle: in a rotation a child pointer
 * is stored to the node that rises last. A reader may miss a node that moves; it never loops.
 * Nodes are at least 8-byte aligned, so bit 0 of the parent word can hold the colour.
 */
#include <lib/rbtree.h>

static struct rb_node *parent_of(const struct rb_node *n)
{
	return (struct rb_node *)(n->parent_color & ~(uintptr_t)1);
}

static bool is_black(const struct rb_node *n)
{
	return !n || (n->parent_color & 1);
}

static void set_parent(struct rb_node *n, struct rb_node *parent)
{
	n->parent_color = (uintptr_t)parent | (n->parent_color & 1);
}

static void set_black(struct rb_node *n)
{
	n->parent_color |= 1;
}

static void set_red(struct rb_node *n)
{
	n->parent_color &= ~(uintptr_t)1;
}

static void copy_color(struct rb_node *to, const struct rb_node *from)
{
	to->parent_color = (to->parent_color & ~(uintptr_t)1) | (from->parent_color & 1);
}

/* The pointer that leads to `n`. */
static struct rb_node **link_of(struct rb_tree *tree, const struct rb_node *n)
{
	struct rb_node *p = parent_of(n);

	if (!p)
		return &tree->root;
	return p->left == n ? &p->left : &p->right;
}

static void rotate_left(struct rb_tree *tree, struct rb_node *n)
{
	struct rb_node *up = n->right;
	struct rb_node **link = link_of(tree, n);

	WRITE_ONCE(n->right, up->left);
	if (up->left)
		set_parent(up->left, n);
	set_parent(up, parent_of(n));
	WRITE_ONCE(up->left, n);
	set_parent(n, up);
	WRITE_ONCE(*link, up);
}

static void rotate_right(struct rb_tree *tree, struct rb_node *n)
{
	struct rb_node *up = n->left;
	struct rb_node **link = link_of(tree, n);

	WRITE_ONCE(n->left, up->right);
	if (up->right)
		set_parent(up->right, n);
	set_parent(up, parent_of(n));
	WRITE_ONCE(up->right, n);
	set_parent(n, up);
	WRITE_ONCE(*link, up);
}

void rb_insert(struct rb_tree *tree, struct rb_node *node, struct rb_node *parent,
	       struct rb_node **link)
{
	node->left = node->right = nullptr;
	node->parent_color = (uintptr_t)parent; /* red */
	/* The node's contents before any pointer to it: a fence, because the rotations below may
	 * store such pointers, too, and a release store would not order those. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	WRITE_ONCE(*link, node);

	while ((parent = parent_of(node)) && !is_black(parent)) {
		struct rb_node *grand = parent_of(parent);
		bool left = parent == grand->left;
		struct rb_node *uncle = left ? grand->right : grand->left;

		if (!is_black(uncle)) {
			set_black(parent);
			set_black(uncle);
			set_red(grand);
			node = grand;
			continue;
		}
		if (node == (left ? parent->right : parent->left)) {
			node = parent;
			if (left)
				rotate_left(tree, node);
			else
				rotate_right(tree, node);
			parent = parent_of(node);
		}
		set_black(parent);
		set_red(grand);
		if (left)
			rotate_right(tree, grand);
		else
			rotate_left(tree, grand);
	}
	set_black(tree->root);
}

/* `child` (may be null) hangs under `parent` and its path lacks one black node. */
static void remove_fixup(struct rb_tree *tree, struct rb_node *child, struct rb_node *parent)
{
	while (child != tree->root && is_black(child)) {
		bool left = child == parent->left;
		struct rb_node *other = left ? parent->right : parent->left;

		if (!is_black(other)) {
			set_black(other);
			set_red(parent);
			if (left)
				rotate_left(tree, parent);
			else
				rotate_right(tree, parent);
			other = left ? parent->right : parent->left;
		}
		if (is_black(other->left) && is_black(other->right)) {
			set_red(other);
			child = parent;
			parent = parent_of(child);
			continue;
		}
		if (is_black(left ? other->right : other->left)) {
			set_black(left ? other->left : other->right);
			set_red(other);
			if (left)
				rotate_right(tree, other);
			else
				rotate_left(tree, other);
			other = left ? parent->right : parent->left;
		}
		copy_color(other, parent);
		set_black(parent);
		set_black(left ? other->right : other->left);
		if (left)
			rotate_left(tree, parent);
		else
			rotate_right(tree, parent);
		child = tree->root;
		break;
	}
	if (child)
		set_black(child);
}

void rb_remove(struct rb_tree *tree, struct rb_node *node)
{
	struct rb_node *child, *parent;
	bool black;

	if (node->left && node->right) {
		/* Its successor takes its place. */
		struct rb_node *next = node->right;
		while (next->left)
			next = next->left;
		child = next->right;
		parent = parent_of(next);
		black = is_black(next);
		struct rb_node **link = link_of(tree, node);
		if (parent == node) {
			parent = next;
		} else {
			WRITE_ONCE(parent->left, child);
			if (child)
				set_parent(child, parent);
			WRITE_ONCE(next->right, node->right);
			set_parent(node->right, next);
		}
		WRITE_ONCE(next->left, node->left);
		set_parent(node->left, next);
		next->parent_color = node->parent_color;
		WRITE_ONCE(*link, next);
	} else {
		child = node->left ? node->left : node->right;
		parent = parent_of(node);
		black = is_black(node);
		struct rb_node **link = link_of(tree, node);
		if (child)
			set_parent(child, parent);
		WRITE_ONCE(*link, child);
	}
	if (black && tree->root)
		remove_fixup(tree, child, parent);
}

struct rb_node *rb_first(const struct rb_tree *tree)
{
	struct rb_node *n = tree->root;

	while (n && n->left)
		n = n->left;
	return n;
}

struct rb_node *rb_last(const struct rb_tree *tree)
{
	struct rb_node *n = tree->root;

	while (n && n->right)
		n = n->right;
	return n;
}

struct rb_node *rb_next(const struct rb_node *node)
{
	if (node->right) {
		struct rb_node *n = node->right;
		while (n->left)
			n = n->left;
		return n;
	}
	struct rb_node *p = parent_of(node);
	while (p && node == p->right) {
		node = p;
		p = parent_of(p);
	}
	return p;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	if (node->left) {
		struct rb_node *n = node->left;
		while (n->right)
			n = n->right;
		return n;
	}
	struct rb_node *p = parent_of(node);
	while (p && node == p->left) {
		node = p;
		p = parent_of(p);
	}
	return p;
}
