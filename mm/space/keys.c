/*
 * Protection keys (VM-21): which numbers a program has been given. A region's pages carry one (region.key,
 * in every entry); what a thread may do with it is in a register of its own that programs write
 * themselves. Key 0 is what regions begin with, and given from the start.
 *
 * A key that is freed may still be on pages, as on Linux: who gets it next has them too.
 */
#include "region.h"

enum kerr aspace_key_alloc(struct aspace *as, unsigned *key)
{
	unsigned count = hal.mmu.geometry()->protection_keys;
	enum kerr err = KERR_NOSPC;

	mutex_lock(&as->lock);
	unsigned free = ~as->keys & ((1u << count) - 1);
	if (free) {
		*key = (unsigned)__builtin_ctz(free);
		as->keys |= (uint16_t)(1u << *key);
		err = KERR_OK;
	}
	mutex_unlock(&as->lock);
	return err;
}

enum kerr aspace_key_free(struct aspace *as, int key)
{
	enum kerr err = KERR_INVAL;

	mutex_lock(&as->lock);
	if (key >= 0 && key < (int)hal.mmu.geometry()->protection_keys && as->keys >> key & 1) {
		as->keys &= (uint16_t)~(1u << key);
		err = KERR_OK;
	}
	mutex_unlock(&as->lock);
	return err;
}

unsigned aspace_key_at(struct aspace *as, vaddr_t addr)
{
	rcu_read_lock();
	struct region *r = region_find(as, addr);
	unsigned key = r ? READ_ONCE(r->key) : 0;
	rcu_read_unlock();
	return key;
}
