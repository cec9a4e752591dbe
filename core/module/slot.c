/*
 * Hot swap: a slot's implementation is exchanged for another while it is in use.
 *
 * Design. A slot has a gate, a current provider with its instance, and other providers. Whoever uses
 * the provider goes in through the gate and out again (two atomic additions on a line that few
 * CPUs share, one load of a line that nobody writes). A swap is five steps, each of which may fail:
 *
 *   init      the new instance, beside the running old one: allocations happen here, outside the pause
 *   quiesce   the gate closes: who comes now sleeps; wait until nobody is inside, a second at most
 *   export    the old instance writes its state down, unchanged itself
 *   import    the new one takes it over; versions are compared first
 *   switch    the new one says whether it can go on; then one store, and nothing can fail any more
 *             the gate opens; the old instance is finished, outside the pause
 *
 * Until the store in `switch` nothing of the old instance has changed, so going back is: open the gate,
 * finish the new instance. The pause, from closing to opening, is measured at each swap.
 *
 * Healing (slot_renew) quiesces first and initialises then, the export left out. To restart a provider its module, which
 * failed, has to be called again; with the gate open the others would go on in the broken instance.
 *
 * The gate counts by CPU number, and whoever leaves subtracts where it added. So a count that is 0 at
 * any moment after the closing stays 0 but for those who come, see `closed` and go again; looking at
 * the counts one after the other is enough. The additions and the load and store of `closed` are
 * sequentially consistent: either the comer sees it closed or the closer sees the comer.
 *
 * Modules: a provider of another module than the slot's keeps the slot's module while it is listed, and
 * its own while it is current.
 *
 * One swap of a slot at a time. The second is refused (BUSY), since who asks for it should know that somebody else
 * wants something there. Healing is nobody's wish: a swap waits until the healer is done, and the healer waits
 * for whoever swaps. All wait on one queue, by `ended`, so that the slot may go meanwhile.
 *
 * Locks: slots_lock (mutex) for the lists; `swapping` (mutex) is only tried while that is held. Providers' functions
 * are called with `swapping` held, and not slots_lock.
 *
 * What does not fit the gate: what interrupts use, and what is asked for a billion times a second
 * (scheduler, frames, heap), and what is exchanged piece by piece. Those slots have a `struct slot_quiet`
 * with what they do instead of closing and opening the gate; the steps, the failures that can be
 * injected and the figures are the same. Their import may change what the old instance owns: then `undo` brings
 * it back, and cannot fail.
 *
 * Rejected: RCU instead of the gate (the old instance's state would still change while it is exported);
 * initialising after the export, as the order of the requirements has it (it puts allocation into the pause).
 */
#include <core/log.h>
#include <core/time.h>
#include <lib/export.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <module/call.h>
#include <module/slot.h>

#define QUIESCE_LIMIT NSEC_PER_SEC

static struct mutex slots_lock = MUTEX_INIT(slots_lock);
static struct list slots = LIST_INIT(slots); /* (slots_lock) */
static struct waitq turn = WAITQ_INIT(turn); /* of those who wait for a swap to end */
static _Atomic uint64_t ended; /* swaps, of any slot */

static const char *const kind_names[] = {"scheduler", "frames",   "heap", "filesystem", "driver",
					 "network",   "security", "ipc",  "custom"};
static const char *const step_names[] = {"init", "quiesce", "export", "import", "switch", "none"};

const char *slot_step_name(enum slot_step step)
{
	return step_names[step];
}

/* ---- State ------------------------------------------------------------------------------------- */

enum kerr slot_state_reserve(struct slot_state *s, size_t size)
{
	if (size <= s->capacity)
		return KERR_OK;
	uint8_t *bytes = heap_realloc(s->bytes, size);
	if (!bytes)
		return KERR_NOMEM;
	s->bytes = bytes;
	s->capacity = size;
	return KERR_OK;
}

enum kerr slot_state_put(struct slot_state *s, const void *data, size_t size)
{
	if (s->capacity - s->size < size &&
	    slot_state_reserve(s, MAX(s->capacity * 2, s->size + size)) != KERR_OK)
		return KERR_NOMEM;
	memcpy(s->bytes + s->size, data, size);
	s->size += size;
	return KERR_OK;
}

enum kerr slot_state_take(const struct slot_state *s, size_t *at, void *data, size_t size)
{
	if (*at > s->size || s->size - *at < size)
		return KERR_INVAL;
	memcpy(data, s->bytes + *at, size);
	*at += size;
	return KERR_OK;
}

/* ---- The gate ---------------------------------------------------------------------------------- */

void slot_wait(struct slot *s, unsigned gate)
{
	slot_leave(s, gate);
	(void)wait_until(&s->queue, !atomic_load(&s->closed), WAIT_OTHER, false, NSEC_NEVER);
}

static bool is_empty(struct slot *s)
{
	for (unsigned i = 0; i < SLOT_GATES; i++)
		if (atomic_load(&s->gates[i].users))
			return false;
	return true;
}

enum kerr slot_gate_close(struct slot *s)
{
	atomic_store(&s->closed, true);
	/* The store is seen before the loads are made. The language says so without the fence; without
	 * it, emulated AArch64 was seen with old and new provider in use at once. */
	atomic_thread_fence(memory_order_seq_cst);
	enum kerr err =
		wait_until(&s->queue, is_empty(s), WAIT_OTHER, false, time_now() + QUIESCE_LIMIT);
	if (err != KERR_OK)
		slot_gate_open(s);
	return err;
}

void slot_gate_open(struct slot *s)
{
	atomic_store(&s->closed, false);
	wake_all(&s->queue);
}

static enum kerr quiesce(struct slot *s)
{
	if (!s->quiet)
		return slot_gate_close(s);
	return s->quiet->close ? s->quiet->close(s) : KERR_OK;
}

static void resume(struct slot *s)
{
	if (!s->quiet)
		slot_gate_open(s);
	else if (s->quiet->open)
		s->quiet->open(s);
}

/* ---- Providers' functions, guarded if they are a module's ---- */

static enum kerr call_init(const struct slot_provider *p, void **instance)
{
	if (!p->init) {
		*instance = (void *)(uintptr_t)p->ops;
		return KERR_OK;
	}
	return p->owner ? module_call(p->owner, MODULE_FN(p->init), MODULE_ARG(instance), 0, 0, 0)
			: p->init(instance);
}

static void call_fini(const struct slot_provider *p, void *instance)
{
	if (!p->fini)
		return;
	if (!p->owner)
		p->fini(instance);
	else if (module_call_last(p->owner, MODULE_FN(p->fini), MODULE_ARG(instance)) != KERR_OK)
		log_warn("slot: what %s had is lost", p->name);
}

static enum kerr call_export(const struct slot_provider *p, void *instance, struct slot_state *out)
{
	if (!p->export)
		return KERR_OK;
	return p->owner ? module_call(p->owner, MODULE_FN(p->export), MODULE_ARG(instance),
				      MODULE_ARG(out), 0, 0)
			: p->export(instance, out);
}

static enum kerr call_import(const struct slot_provider *p, void *instance,
			     const struct slot_state *in)
{
	return p->owner ? module_call(p->owner, MODULE_FN(p->import), MODULE_ARG(instance),
				      MODULE_ARG(in), 0, 0)
			: p->import(instance, in);
}

static enum kerr call_check(const struct slot_provider *p, void *instance)
{
	if (!p->check)
		return KERR_OK;
	return p->owner ? module_call(p->owner, MODULE_FN(p->check), MODULE_ARG(instance), 0, 0, 0)
			: p->check(instance);
}

/* ---- The list ---------------------------------------------------------------------------------- */

/* Not list_for_each: the list's head is no slot, nor aligned like one. */
static struct slot *slot_next_locked(struct slot *s)
{
	struct list *next = s ? s->link.next : slots.next;
	return next == &slots ? nullptr : list_entry(next, struct slot, link);
}

static struct slot *slot_find_locked(const char *name)
{
	struct slot *s = slot_next_locked(nullptr);
	while (s && strcmp(s->name, name) != 0)
		s = slot_next_locked(s);
	return s;
}

static struct slot_provider *provider_find_locked(struct slot *s, const char *name)
{
	struct slot_provider *p;
	list_for_each(p, &s->providers, link)
		if (strcmp(p->name, name) == 0)
			return p;
	return nullptr;
}

/* The slot's own module is there as long as the slot is. */
static struct module *owner_of(const struct slot *s, const struct slot_provider *p)
{
	return p->owner == s->owner ? nullptr : p->owner;
}

/* What a provider of another module keeps there as long as it is listed. */
static struct module *slot_module(const struct slot *s, const struct slot_provider *p)
{
	return p->owner == s->owner ? nullptr : s->owner;
}

enum kerr slot_add(struct slot *s, struct slot_provider *first)
{
	enum kerr err = call_init(first, &s->instance);
	if (err != KERR_OK)
		return err;
	s->current = first;
	waitq_init(&s->queue);
	mutex_init(&s->swapping, "slot.swapping");
	list_init(&s->providers);
	mutex_lock(&slots_lock);
	bool taken = slot_find_locked(s->name);
	if (!taken) {
		list_add_tail(&s->providers, &first->link);
		list_add_tail(&slots, &s->link);
	}
	mutex_unlock(&slots_lock);
	if (taken)
		call_fini(first, s->instance);
	return taken ? KERR_EXIST : KERR_OK;
}

void slot_remove(struct slot *s)
{
	mutex_lock(&slots_lock);
	list_remove(&s->link);
	mutex_unlock(&slots_lock);
	mutex_lock(&s->swapping); /* one that had begun has ended */
	mutex_lock(&slots_lock); /* and is done with the mutex, which goes with the slot */
	mutex_unlock(&slots_lock);
	call_fini(s->current, s->instance);
	mutex_unlock(&s->swapping);
}

enum kerr slot_provider_add(const char *slot, struct slot_provider *p)
{
	enum kerr err = KERR_NOENT;
	mutex_lock(&slots_lock);
	struct slot *s = slot_find_locked(slot);
	if (s) {
		err = provider_find_locked(s, p->name) ? KERR_EXIST : KERR_OK;
		if (err == KERR_OK && !module_get(slot_module(s, p)))
			err = KERR_NOENT;
		if (err == KERR_OK)
			list_add_tail(&s->providers, &p->link);
	}
	mutex_unlock(&slots_lock);
	return err;
}

enum kerr slot_provider_remove(const char *slot, struct slot_provider *p)
{
	mutex_lock(&slots_lock);
	struct slot *s = slot_find_locked(slot);
	enum kerr err = !s ? KERR_NOENT : s->current == p ? KERR_BUSY : KERR_OK;
	if (err == KERR_OK) {
		list_remove(&p->link);
		module_put(slot_module(s, p));
	}
	mutex_unlock(&slots_lock);
	return err;
}

/* ---- Swapping ---------------------------------------------------------------------------------- */

struct swap {
	struct slot *slot;
	const struct slot_provider *to;
	void *fresh;
	struct slot_state state;
	enum slot_step fail_at, at;
	bool bare; /* healing: the old one's state is not to be had */
	uint64_t epoch; /* of what is healed */
	bool made, closed; /* what is to be taken back: `fresh`, the gate */
	bool mended; /* the module of `to` had failed */
	nsec_t start; /* of the pause */
};

static enum kerr step_init(struct swap *w)
{
	const struct slot_quiet *q = w->slot->quiet;

	if (w->bare && w->to == w->slot->current)
		w->mended = module_mend(w->to->owner);
	enum kerr err = call_init(w->to, &w->fresh);
	w->made = err == KERR_OK;
	return w->made && q && q->prepare ? q->prepare(w->slot, w->to, &w->state) : err;
}

static enum kerr step_quiesce(struct swap *w)
{
	w->start = time_now();
	enum kerr err = quiesce(w->slot);
	w->closed = err == KERR_OK;
	return err;
}

static enum kerr step_export(struct swap *w)
{
	w->state.version = w->bare ? w->to->version : w->slot->current->version;
	if (w->bare)
		return KERR_OK;
	return call_export(w->slot->current, w->slot->instance, &w->state);
}

static enum kerr step_import(struct swap *w)
{
	if (w->state.version < w->to->oldest || w->state.version > w->to->version)
		return KERR_INVAL;
	return call_import(w->to, w->fresh, &w->state);
}

static enum kerr step_switch(struct swap *w)
{
	return call_check(w->to, w->fresh);
}

static enum kerr run_step(struct swap *w, enum slot_step step)
{
	static enum kerr (*const steps[])(struct swap *w) = {step_init, step_quiesce, step_export,
							     step_import, step_switch};
	w->at = step;
	return step == w->fail_at ? KERR_IO : steps[step](w);
}

static void note_pause(struct slot *s, nsec_t pause)
{
	s->pauses[s->swaps % SLOT_PAUSES] = pause;
	s->pause_max = MAX(s->pause_max, pause);
	s->swaps++;
}

static enum kerr run_steps(struct swap *w)
{
	static const enum slot_step order[] = {SLOT_STEP_INIT, SLOT_STEP_QUIESCE, SLOT_STEP_EXPORT,
					       SLOT_STEP_IMPORT, SLOT_STEP_SWITCH},
				    bare[] = {SLOT_STEP_QUIESCE, SLOT_STEP_INIT, SLOT_STEP_EXPORT,
					      SLOT_STEP_IMPORT, SLOT_STEP_SWITCH};
	enum kerr err = KERR_OK;

	for (size_t i = 0; i < ARRAY_SIZE(order) && err == KERR_OK; i++)
		err = run_step(w, w->bare ? bare[i] : order[i]);
	return err;
}

static void turn_over(struct swap *w)
{
	struct slot *s = w->slot;

	if (s->quiet && s->quiet->turn)
		s->quiet->turn(s, w->to, w->fresh);
	s->current = w->to;
	s->instance = w->fresh;
	s->epoch++;
}

/* What users see of the swap, before they come again. */
static void take_back(struct swap *w)
{
	const struct slot_quiet *q = w->slot->quiet;

	if (w->at > SLOT_STEP_EXPORT && q && q->undo)
		q->undo(w->slot, &w->state);
	if (w->mended)
		module_fail(w->to->owner);
}

/* `swapping` held; the reference on the new provider's module is the caller's if it fails. */
static enum kerr swap(struct swap *w)
{
	struct slot *s = w->slot;
	const struct slot_provider *old = s->current;
	void *old_instance = s->instance;
	enum kerr err = run_steps(w);

	if (err == KERR_OK)
		turn_over(w);
	else
		take_back(w);
	if (w->closed)
		resume(s);
	if (err == KERR_OK) {
		note_pause(s, s->quiet && s->quiet->pause ? s->quiet->pause(s)
							  : time_now() - w->start);
		call_fini(old, old_instance);
		module_put(owner_of(s, old));
	} else if (w->made) {
		call_fini(w->to, w->fresh);
	}
	return err;
}

/* BUSY: it is being swapped. AGAIN: so it is, and that is worth waiting for. */
static enum kerr take_locked(struct slot *s, bool healing)
{
	if (!mutex_try_lock(&s->swapping))
		return (healing || s->healing) && !mutex_held(&s->swapping) ? KERR_AGAIN
									    : KERR_BUSY;
	s->healing = healing;
	return KERR_OK;
}

/* Letting go of the mutex looks at it once more when slot_remove may have it already, which waits for slots_lock. */
static void release(struct slot *s)
{
	mutex_lock(&slots_lock);
	s->healing = false;
	mutex_unlock(&s->swapping);
	mutex_unlock(&slots_lock);
	atomic_fetch_add(&ended, 1);
	wake_all(&turn);
}

/* Finds both and holds them: `swapping`, and the new provider's module. */
static enum kerr try_begin(const char *slot, const char *provider, struct swap *w)
{
	enum kerr err = KERR_NOENT;

	mutex_lock(&slots_lock);
	w->slot = slot_find_locked(slot);
	w->to = w->slot ? provider_find_locked(w->slot, provider) : nullptr;
	if (w->to)
		err = take_locked(w->slot, w->bare);
	if (err == KERR_OK && !module_get(owner_of(w->slot, w->to))) {
		mutex_unlock(&w->slot->swapping);
		err = KERR_NOENT;
	}
	mutex_unlock(&slots_lock);
	return err;
}

static enum kerr begin(const char *slot, const char *provider, struct swap *w)
{
	for (;;) {
		uint64_t seen = atomic_load(&ended);
		enum kerr err = try_begin(slot, provider, w);
		if (err == KERR_AGAIN)
			err = wait_until(&turn, atomic_load(&ended) != seen, WAIT_OTHER, !w->bare,
					 NSEC_NEVER);
		else
			return err;
		if (err != KERR_OK)
			return err;
	}
}

/* What was to be healed may be gone. */
static bool is_needless(const struct swap *w)
{
	return w->bare ? w->slot->epoch != w->epoch : w->slot->current == w->to;
}

static enum kerr swap_named(const char *slot, const char *provider, struct swap *w)
{
	enum kerr err = begin(slot, provider, w);

	if (err != KERR_OK)
		return err;
	if (is_needless(w))
		module_put(owner_of(w->slot, w->to));
	else
		err = w->bare && w->slot->quiet ? KERR_OPNOTSUPP : swap(w);
	if (err != KERR_OK) {
		w->slot->rollbacks++;
		log_warn("slot %s: %s stays: the swap to %s failed at %s: %s", slot,
			 w->slot->current->name, provider, step_names[w->at], kerr_name(err));
		module_put(owner_of(w->slot, w->to));
	}
	release(w->slot);
	heap_free(w->state.bytes);
	return err;
}

enum kerr slot_swap(const char *slot, const char *provider, enum slot_step fail_at)
{
	struct swap w = {.fail_at = fail_at};

	return swap_named(slot, provider, &w);
}

enum kerr slot_renew(const char *slot, const char *provider, uint64_t epoch)
{
	struct swap w = {.fail_at = SLOT_STEP_NONE, .bare = true, .epoch = epoch};

	return swap_named(slot, provider, &w);
}

enum kerr slot_drain(struct slot *s)
{
	enum kerr err;

	for (;;) {
		uint64_t seen = atomic_load(&ended);
		mutex_lock(&slots_lock);
		err = take_locked(s, true);
		mutex_unlock(&slots_lock);
		if (err != KERR_AGAIN)
			break;
		(void)wait_until(&turn, atomic_load(&ended) != seen, WAIT_OTHER, false, NSEC_NEVER);
	}
	if (err != KERR_OK)
		return err;
	err = slot_gate_close(s);
	if (err == KERR_OK)
		slot_gate_open(s);
	release(s);
	return err;
}

bool slot_other(const char *slot, char *name, size_t size)
{
	struct slot_provider *p;
	bool found = false;

	mutex_lock(&slots_lock);
	struct slot *s = slot_find_locked(slot);
	if (s)
		list_for_each(p, &s->providers, link)
			if (p != s->current && !found) {
				strlcpy(name, p->name, size);
				found = true;
			}
	mutex_unlock(&slots_lock);
	return found;
}

/* ---- Figures ----------------------------------------------------------------------------------- */

static uint64_t median(const struct slot *s)
{
	uint64_t sorted[SLOT_PAUSES];
	size_t count = (size_t)MIN(s->swaps, (uint64_t)SLOT_PAUSES);

	for (size_t i = 0; i < count; i++) {
		size_t at = i;
		for (; at > 0 && sorted[at - 1] > s->pauses[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = s->pauses[i];
	}
	return count ? sorted[count / 2] : 0;
}

static void view(struct slot *s, struct slot_view *out)
{
	struct slot_provider *p;
	size_t length = 0;

	*out = (struct slot_view){.kind = kind_names[s->kind],
				  .swaps = s->swaps,
				  .rollbacks = s->rollbacks,
				  .pause_median = median(s),
				  .pause_max = s->pause_max};
	if (s->swaps)
		out->pause_last = s->pauses[(s->swaps - 1) % SLOT_PAUSES];
	strlcpy(out->name, s->name, sizeof(out->name));
	strlcpy(out->provider, s->current->name, sizeof(out->provider));
	list_for_each(p, &s->providers, link)
		if (length < sizeof(out->others))
			length += (size_t)format(out->others + length, sizeof(out->others) - length,
						 "%s%s", length ? " " : "", p->name);
}

bool slot_view_get(size_t index, struct slot_view *out)
{
	mutex_lock(&slots_lock);
	struct slot *s = slot_next_locked(nullptr);
	while (s && index-- > 0)
		s = slot_next_locked(s);
	if (s)
		view(s, out);
	mutex_unlock(&slots_lock);
	return s;
}

bool slot_view_find(const char *name, struct slot_view *out)
{
	mutex_lock(&slots_lock);
	struct slot *s = slot_find_locked(name);
	if (s)
		view(s, out);
	mutex_unlock(&slots_lock);
	return s;
}

EXPORT_SYMBOL(slot_add);
EXPORT_SYMBOL(slot_remove);
EXPORT_SYMBOL(slot_provider_add);
EXPORT_SYMBOL(slot_provider_remove);
EXPORT_SYMBOL(slot_state_put);
EXPORT_SYMBOL(slot_state_reserve);
EXPORT_SYMBOL(slot_state_take);
EXPORT_SYMBOL(slot_wait);
