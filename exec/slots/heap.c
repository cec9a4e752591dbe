/*
 * The slot `heap` (RL-2): who provides heap_alloc(). mm/heap/heap.c tells how blocks of several providers live
 * side by side; so the steps of a swap have little to do:
 *
 *	init      the new one gives and takes back a block of several sizes, and knows them as its own
 *	quiesce   nothing: a call works with the provider it has read
 *	export    which provider it was, how many blocks and bytes of it are out
 *	import    nothing moves: blocks stay where they are, and are freed to the old one
 *	switch    a store
 *
 * Afterwards the old one gives back what has no block in use; the rest goes when its last block does, or under
 * memory pressure. The pause is the store: nobody waits.
 *
 * `bump` can be left, but not changed to: it keeps what is freed.
 */
#include <core/init.h>
#include <core/time.h>
#include <lib/string.h>
#include <mm/change.h>
#include <module/slot.h>

#define PROVIDERS_MAX 8u
#define STATE_VERSION 1u

struct state {
	char provider[16];
	uint64_t blocks, bytes; /* out */
};

static struct slot_provider providers[PROVIDERS_MAX]; /* (const after init) */
static nsec_t pause; /* (slot.swapping) */

static enum kerr heap_export(void *instance, struct slot_state *out)
{
	struct heap_stats stats = heap_provider_stats(instance);
	struct state state = {.blocks = stats.allocations - stats.deallocations,
			      .bytes = stats.used};

	strlcpy(state.provider, heap_provider_name(instance), sizeof(state.provider));
	return slot_state_put(out, &state, sizeof(state));
}

static enum kerr heap_import(void *instance, const struct slot_state *in)
{
	struct state state;
	size_t at = 0;

	return slot_state_take(in, &at, &state, sizeof(state));
}

static enum kerr heap_prepare(struct slot *s, const struct slot_provider *to,
			      struct slot_state *room)
{
	enum kerr err = heap_provider_check(to->ops);

	return err == KERR_OK ? slot_state_reserve(room, sizeof(struct state)) : err;
}

static void heap_turn(struct slot *s, const struct slot_provider *to, void *instance)
{
	nsec_t began = time_now();

	heap_provider_use(instance);
	pause = time_now() - began;
}

static void heap_end(void *instance)
{
	heap_provider_trim(instance);
}

static nsec_t heap_pause(struct slot *s)
{
	return pause;
}

static const struct slot_quiet quiet = {
	.prepare = heap_prepare, .turn = heap_turn, .pause = heap_pause};
static struct slot slot = {.name = "heap", .kind = SLOT_HEAP, .quiet = &quiet};

static enum kerr heap_slot_init(const struct boot_info *info)
{
	const struct heap_ops *ops;
	struct slot_provider *first = nullptr;
	enum kerr err;

	for (size_t i = 0; i < PROVIDERS_MAX && (ops = heap_provider_get(i)); i++) {
		providers[i] = (struct slot_provider){
			.name = heap_provider_name(ops),
			.version = STATE_VERSION,
			.oldest = STATE_VERSION,
			.ops = ops,
			.fini = heap_end,
			.export = heap_export,
			.import = heap_import,
		};
		if (ops == heap_provider())
			first = &providers[i];
	}
	err = slot_add(&slot, first);
	for (size_t i = 0; err == KERR_OK && i < PROVIDERS_MAX && providers[i].name; i++)
		if (&providers[i] != first)
			err = slot_provider_add(slot.name, &providers[i]);
	return err;
}

static const struct init_ops ops = {.init = heap_slot_init};
INIT_SUBSYSTEM(heap_slot, .optional = true, .phase = INIT_LATE, .priority = 87,
	       .requires = INIT_SCHEDULER | INIT_HEAP, .ops = &ops);
