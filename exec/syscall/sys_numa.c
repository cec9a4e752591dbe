/*
 * Memory policies and where pages lie: set_mempolicy(2), mbind(2), move_pages(2) and their relatives.
 *
 * Sets of nodes are arrays of longs with a bit count that is one too large (as Linux has it: get_nodes
 * takes maxnode - 1). A machine has at most 64 bits of them here; bits above must be zero.
 */
#include "gate.h"
#include <exec/domain.h>
#include <mm/policy.h>

#define MODE_FLAGS (POLICY_STATIC | POLICY_RELATIVE | POLICY_BALANCING)
#define GET_NODE 1u
#define GET_ADDR 2u
#define GET_ALLOWED 4u
#define BITS_MAX (PAGE_SIZE * 8)
#define WORD_BITS 64u
#define CHUNK 32u

/* The set at `at`: KERR_INVAL, KERR_FAULT. */
static enum kerr nodes_read(vaddr_t at, unsigned long maxnode, uint64_t *out)
{
	unsigned long bits = maxnode - 1;

	*out = 0;
	if (maxnode <= 1 || !at)
		return KERR_OK;
	if (bits > BITS_MAX)
		return KERR_INVAL;
	for (unsigned long done = 0; done < bits; done += WORD_BITS) {
		uint64_t word;
		enum kerr err = user_read(&word, at + done / 8, sizeof(word));
		if (err != KERR_OK)
			return err;
		if (bits - done < WORD_BITS)
			word &= (1ull << (bits - done)) - 1;
		if (done && word)
			return KERR_INVAL;
		*out |= done ? 0 : word;
	}
	return KERR_OK;
}

static enum kerr nodes_write(vaddr_t at, unsigned long maxnode, uint64_t nodes)
{
	size_t size = ALIGN_UP(maxnode - 1, WORD_BITS) / 8;

	if (size > PAGE_SIZE)
		return KERR_INVAL;
	enum kerr err = user_write(at, &nodes, MIN(size, sizeof(nodes)));
	return err == KERR_OK && size > sizeof(nodes)
		       ? user_zero(at + sizeof(nodes), size - sizeof(nodes))
		       : err;
}

static enum kerr policy_read(unsigned long mode, vaddr_t at, unsigned long maxnode,
			     struct memory_policy *out)
{
	uint64_t nodes;
	enum kerr err = nodes_read(at, maxnode, &nodes);

	if (err != KERR_OK)
		return err;
	return policy_make((unsigned)mode & ~MODE_FLAGS, (unsigned)mode & MODE_FLAGS, nodes, out);
}

SYSCALL(set_mempolicy)
{
	struct memory_policy p;
	enum kerr err = policy_read(a0, a1, a2, &p);

	if (err == KERR_OK)
		policy_set_task(&p);
	return err;
}

SYSCALL(mbind)
{
	struct memory_policy p;
	enum kerr err = policy_read(a2, a3, a4, &p);

	if (err != KERR_OK)
		return err;
	if (a5 & ~(unsigned long)(BIND_STRICT | BIND_MOVE | BIND_MOVE_ALL))
		return KERR_INVAL;
	if (a5 & BIND_MOVE_ALL && !process_capable(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE))
		return KERR_PERM;
	return aspace_bind(current_process()->aspace, a0, a1, &p, (unsigned)a5);
}

SYSCALL(set_mempolicy_home_node)
{
	if (a3 || a2 >= numa_nodes())
		return KERR_INVAL;
	return aspace_set_home(current_process()->aspace, a0, a1, (unsigned)a2);
}

/* ---- get_mempolicy -------------------------------------------------------------------------- */

/* GET_NODE: *value is a node. */
static enum kerr get_node(unsigned flags, vaddr_t addr, const struct memory_policy *p, int *value)
{
	unsigned node;

	if (flags & GET_ADDR) {
		enum kerr err =
			aspace_node(current_process()->aspace, addr & PAGE_MASK, true, &node);
		*value = (int)node;
		return err;
	}
	if (p->mode != POLICY_INTERLEAVE && p->mode != POLICY_WEIGHTED_INTERLEAVE)
		return KERR_INVAL;
	*value = (int)policy_next();
	return KERR_OK;
}

static enum kerr get_policy(unsigned flags, vaddr_t addr, int *value, uint64_t *nodes)
{
	struct memory_policy p = current_task()->memory.policy;

	*value = 0;
	if (flags & GET_ALLOWED) {
		*nodes = numa_memory_nodes();
		return flags & (GET_NODE | GET_ADDR) ? KERR_INVAL : KERR_OK;
	}
	if (flags & GET_ADDR) {
		enum kerr err = aspace_policy(current_process()->aspace, addr, &p);
		if (err != KERR_OK)
			return err;
	} else if (addr) {
		return KERR_INVAL;
	}
	*nodes = p.flags & (POLICY_STATIC | POLICY_RELATIVE) ? p.asked : p.nodes;
	if (flags & GET_NODE)
		return get_node(flags, addr, &p, value);
	*value = p.mode | p.flags;
	return KERR_OK;
}

SYSCALL(get_mempolicy)
{
	uint64_t nodes = 0;
	int value;

	if ((a1 && a2 < numa_nodes()) || a4 & ~(unsigned long)(GET_NODE | GET_ADDR | GET_ALLOWED))
		return KERR_INVAL;
	enum kerr err = get_policy((unsigned)a4, a3, &value, &nodes);
	if (err == KERR_OK && a0)
		err = user_write(a0, &value, sizeof(value));
	return err == KERR_OK && a1 ? nodes_write(a1, a2, nodes) : err;
}

/* ---- Pages ---------------------------------------------------------------------------------- */

/* The address space of process `pid` (0: the current one), referenced, if the caller may look into it. */
static enum kerr space_of(int pid, struct aspace **out)
{
	struct process *p = pid ? process_find(pid) : current_process();
	enum kerr err = KERR_OK;

	if (!p)
		return KERR_SRCH;
	if (p != current_process() && !process_may_look(p))
		err = KERR_PERM;
	*out = err == KERR_OK ? process_aspace(p) : nullptr;
	if (err == KERR_OK && !*out)
		err = KERR_INVAL;
	if (pid)
		process_put(p);
	return err;
}

/* Each node of `from` to the one of `to` in the same place, round and round. */
static void map_nodes(uint64_t from, uint64_t to, uint8_t map[NODE_MAX])
{
	bool equal = __builtin_popcountll(from) == __builtin_popcountll(to);
	uint64_t target = to;

	for (unsigned n = 0; n < NODE_MAX; n++) {
		map[n] = (uint8_t)n;
		if (!(from >> n & 1))
			continue;
		unsigned d = (unsigned)__builtin_ctzll(target);
		target = target & (target - 1) ? target & (target - 1) : to;
		if (equal || !(to >> n & 1))
			map[n] = (uint8_t)d;
	}
}

SYSCALL(migrate_pages)
{
	uint64_t from, to;
	uint8_t map[NODE_MAX];
	struct aspace *as;
	enum kerr err = nodes_read(a2, a1, &from);

	if (err == KERR_OK)
		err = nodes_read(a3, a1, &to);
	if (err != KERR_OK)
		return err;
	err = space_of((int)a0, &as);
	if (err != KERR_OK)
		return err;
	long result;
	if (to & ~(uint64_t)numa_memory_nodes() &&
	    !process_capable(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE)) {
		result = KERR_PERM;
	} else if (!(to & numa_memory_nodes())) {
		result = KERR_INVAL;
	} else {
		map_nodes(from, to & numa_memory_nodes(), map);
		result = (long)aspace_migrate(
			as, map, process_has_privilege(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE));
	}
	aspace_put(as);
	return result;
}

struct page_request { /* of move_pages */
	struct aspace *as;
	vaddr_t pages, nodes, status; /* arrays in the program */
	bool all;
};

/* Pages [first, first + n) : where they are. */
static enum kerr tell(const struct page_request *q, const vaddr_t *addrs, size_t first, size_t n)
{
	int status[CHUNK];

	for (size_t i = 0; i < n; i++) {
		unsigned node = 0;
		enum kerr err = aspace_node(q->as, addrs[i] & PAGE_MASK, false, &node);
		status[i] = err == KERR_OK ? (int)node : (int)err;
	}
	return user_write(q->status + first * sizeof(int), status, n * sizeof(int));
}

static enum kerr move(const struct page_request *q, vaddr_t *addrs, size_t first, size_t n,
		      size_t *failed)
{
	int status[CHUNK] = {}, wanted[CHUNK];
	uint8_t nodes[CHUNK];
	enum kerr err = user_read(wanted, q->nodes + first * sizeof(int), n * sizeof(int)), bad;

	if (err != KERR_OK)
		return err;
	for (size_t i = 0; i < n && err == KERR_OK; i++) {
		addrs[i] &= PAGE_MASK;
		nodes[i] = (uint8_t)wanted[i];
		if (wanted[i] < 0 || wanted[i] >= (int)numa_nodes() ||
		    !(numa_memory_nodes() >> wanted[i] & 1)) {
			err = KERR_NODEV;
			n = i;
		}
	}
	*failed += aspace_move_pages(q->as, addrs, nodes, status, n, q->all);
	bad = user_write(q->status + first * sizeof(int), status, n * sizeof(int));
	return err == KERR_OK ? bad : err;
}

static long each_page(const struct page_request *q, size_t count)
{
	vaddr_t addrs[CHUNK];
	size_t failed = 0;

	for (size_t done = 0; done < count; done += CHUNK) {
		size_t n = MIN(count - done, (size_t)CHUNK);
		enum kerr err =
			user_read(addrs, q->pages + done * sizeof(vaddr_t), n * sizeof(vaddr_t));
		if (err == KERR_OK)
			err = q->nodes ? move(q, addrs, done, n, &failed) : tell(q, addrs, done, n);
		if (err != KERR_OK)
			return err;
	}
	return (long)failed;
}

SYSCALL(move_pages)
{
	struct page_request q = {.pages = a2, .nodes = a3, .status = a4, .all = a5 & BIND_MOVE_ALL};

	if (a5 & ~(unsigned long)(BIND_MOVE | BIND_MOVE_ALL))
		return KERR_INVAL;
	if (q.all && !process_capable(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE))
		return KERR_PERM;
	enum kerr err = space_of((int)a0, &q.as);
	if (err != KERR_OK)
		return err;
	if (a1 > SIZE_MAX / sizeof(vaddr_t)) {
		aspace_put(q.as);
		return KERR_TOOBIG;
	}
	long result = each_page(&q, a1);
	aspace_put(q.as);
	return result;
}
