/*
 * Slots (RL-2): places in the kernel where one implementation of something can be exchanged for another
 * while it is used. slot.c tells how.
 *
 *	unsigned in = slot_enter(&slot);
 *	const struct my_ops *ops = slot.current->ops;
 *	result = ops->work(slot.instance, ...);
 *	slot_leave(&slot, in);
 */
#pragma once

#include <core/task.h>
#include <core/wait.h>
#include <lib/kerr.h>
#include <lib/list.h>
#include <module/module.h>

enum slot_kind {
	SLOT_SCHEDULER,
	SLOT_FRAME_ALLOCATOR,
	SLOT_HEAP,
	SLOT_FILESYSTEM,
	SLOT_DRIVER,
	SLOT_NETWORK,
	SLOT_SECURITY,
	SLOT_IPC,
	SLOT_CUSTOM,
};

/* What one provider tells the next: bytes of a format with a version. */
struct slot_state {
	uint32_t version;
	size_t size, capacity;
	uint8_t *bytes; /* heap */
};
/* Appends; NOMEM. For export. */
enum kerr slot_state_put(struct slot_state *s, const void *data, size_t size);
/* Room for `size` bytes in all, so that slot_state_put needs no memory up to there; NOMEM. */
enum kerr slot_state_reserve(struct slot_state *s, size_t size);
/* Takes the next bytes from *at on; INVAL: there are not so many. For import. */
enum kerr slot_state_take(const struct slot_state *s, size_t *at, void *data, size_t size);

struct slot;
/* One implementation. All functions may sleep; those marked (quiet) run while nobody is inside. */
struct slot_provider {
	const char *name;
	uint32_t version; /* of the state that it exports */
	uint32_t oldest;  /* version that it can import */
	struct module *owner;
	const void *ops; /* the slot's own table of operations */
	/* Makes an instance without anybody's state; may allocate. Runs beside the old one's users. Null: the
	 * instance is `ops`. */
	enum kerr (*init)(void **instance);
	/* Frees an instance, used or not. Null: there is nothing to free. */
	void (*fini)(void *instance);
	/* (quiet) Writes down its state and changes nothing: it may have to go on. Null: it has none, so that it can be
	 * left when it is broken. */
	enum kerr (*export)(void *instance, struct slot_state *out);
	/* (quiet) Takes over what another instance wrote down. */
	enum kerr (*import)(void *instance, const struct slot_state *in);
	/* (quiet) Whether it could take over now. Null: yes. Also asked by self-healing. */
	enum kerr (*check)(void *instance);
	struct list link; /* (slots_lock) in slot.providers */
};

/* For a slot whose users do not come through the gate, or where that is not all: what it does instead. Any may
 * be null. */
struct slot_quiet {
	/* Before the pause: room for what export will write, and what else may sleep. On an error it has
	 * taken nothing, or `fini` gives it back. */
	enum kerr (*prepare)(struct slot *s, const struct slot_provider *to,
			     struct slot_state *room);
	/* Until `open` nobody is inside. (slot_gate_close, slot_gate_open may be part of it.) */
	enum kerr (*close)(struct slot *s);
	void (*open)(struct slot *s);
	/* (quiet) The step after export failed, or the import itself, or it was never begun: the old
	 * instance is to be as it was. Cannot fail. */
	void (*undo)(struct slot *s, const struct slot_state *state);
	/* (quiet) The switch, before `current` is stored. Cannot fail. */
	void (*turn)(struct slot *s, const struct slot_provider *to, void *instance);
	/* The last pause in ns, where it is not the time from close to open. */
	nsec_t (*pause)(struct slot *s);
};

#define SLOT_GATES 16u
#define SLOT_PAUSES 128u

struct slot {
	const char *name;
	enum slot_kind kind;
	struct module *owner; /* of the slot: its own providers need no reference */
	const struct slot_quiet *quiet; /* null: users come through the gate */
	/* Set by slot_add, then only while closed and empty; stable for who is inside. */
	const struct slot_provider *current;
	void *instance;
	uint64_t epoch; /* how often it was exchanged */
	_Atomic bool closed;
	struct {
		_Atomic uint32_t users;
	} ALIGNED(64) gates[SLOT_GATES];
	struct waitq queue; /* of those who wait for it to open, or to be empty */
	struct mutex swapping;
	bool healing; /* (slots_lock) `swapping` is held by slot_renew or slot_drain */
	struct list providers; /* (slots_lock) */
	struct list link; /* (slots_lock) */
	/* Figures: (swapping) */
	uint64_t swaps, rollbacks;
	uint64_t pauses[SLOT_PAUSES]; /* ns, of the last ones */
	uint64_t pause_max;
};

void slot_wait(struct slot *s, unsigned gate); /* the slow path of slot_enter */

/* Threads only; sleeps while the slot is closed. Gives what slot_leave wants. Never twice by one thread: a swap
 * that begins in between would wait for it. */
static inline unsigned slot_enter(struct slot *s)
{
	for (;;) {
		unsigned gate = cpu_id() % SLOT_GATES;
		atomic_fetch_add(&s->gates[gate].users, 1);
		if (likely(!atomic_load(&s->closed)))
			return gate;
		slot_wait(s, gate);
	}
}

static inline void slot_leave(struct slot *s, unsigned gate)
{
	atomic_fetch_sub(&s->gates[gate].users, 1);
	if (unlikely(atomic_load(&s->closed)))
		wake_all(&s->queue);
}

/* A module says where it is inside (core/guard.h). */
unsigned module_slot_enter(struct slot *s);
void module_slot_leave(struct slot *s, unsigned gate);
#if defined(TERN_MODULE)
#define slot_enter module_slot_enter
#define slot_leave module_slot_leave
#endif

/* For struct slot_quiet. Nobody is inside and who comes sleeps; TIMEDOUT: somebody stayed for a second, and the
 * gate is open again. */
enum kerr slot_gate_close(struct slot *s);
void slot_gate_open(struct slot *s);

/* Opens a slot with its first provider, which is initialised. */
enum kerr slot_add(struct slot *s, struct slot_provider *first);
/* Nobody is inside and nobody will come; its current provider is finished. */
void slot_remove(struct slot *s);
/* Another provider for the slot of that name. NOENT: no such slot; EXIST: the name is taken. */
enum kerr slot_provider_add(const char *slot, struct slot_provider *p);
/* BUSY: it is in use. (A module that is being unloaded cannot get that.) */
enum kerr slot_provider_remove(const char *slot, struct slot_provider *p);

enum slot_step {
	SLOT_STEP_INIT,
	SLOT_STEP_QUIESCE,
	SLOT_STEP_EXPORT,
	SLOT_STEP_IMPORT,
	SLOT_STEP_SWITCH,
	SLOT_STEP_NONE,
};

/* Exchanges the provider. On an error the old one goes on with its state: NOENT: no such slot or provider;
 * BUSY: another swap is going on (one of the healer is waited for; INTR: a signal ended that); TIMEDOUT: somebody
 * stayed inside for a second; INVAL: the state's version; or what a step said. `fail_at`: for tests, that step says
 * IO instead of being done. */
enum kerr slot_swap(const char *slot, const char *provider, enum slot_step fail_at);

/* The same for healing: the old one is not asked for its state, the new one's import gets an empty one; the provider
 * may be the current one, which begins anew, its module mended. Waits for a swap that is going on. Not for a slot with
 * a slot_quiet: OPNOTSUPP. OK, and nothing is done, if the slot's epoch is another one: what broke is gone. */
enum kerr slot_renew(const char *slot, const char *provider, uint64_t epoch);
/* For healing: returns when everybody who was inside has left. TIMEDOUT: not within a second. Waits for a swap that is
 * going on. */
enum kerr slot_drain(struct slot *s);
/* The name of a provider that is not the current one. */
bool slot_other(const char *slot, char *name, size_t size);

struct slot_view {
	const char *kind;
	char name[32], provider[32];
	char others[160]; /* "a b c" */
	uint64_t swaps, rollbacks, pause_last, pause_median, pause_max; /* ns */
};
/* The index-th slot; false: no more. */
bool slot_view_get(size_t index, struct slot_view *out);
/* The slot of that name; false: there is none. */
bool slot_view_find(const char *name, struct slot_view *out);
const char *slot_step_name(enum slot_step step);
