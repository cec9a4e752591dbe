/*
 * Domains (TH-10, DI-9): the table, what the built-in ones may, and how others are made.
 *
 * A process is in one domain, a child in that of its parent. domain_table has a place for each of
 * the seven security domains under its number, "driver" behind them, and room for those that
 * programs create; a place is never freed, so a pointer to it is good for ever. It is used again
 * once no process is in it and no socket made in it is left (who looks at a dead process may see the
 * successor's name). A domain only changes while no process is in it.
 *
 *	domain     execution  isolation  capabilities
 *	kernel     kernel     none       all; the kernel's threads, nobody enters
 *	system     user       none       all; program 1 starts here
 *	user       user       light      what everybody has
 *	service    user       standard   and what servers change: identity, files, network, limits
 *	driver     driver     standard   devices, DMA, physical memory, real time; no network
 *	sandbox    sandbox    strict     computing, files, its own children
 *	guest      sandbox    paranoid   computing and reading files
 *	container  sandbox    strict     a superuser of its own files and processes; no devices, no kernel
 *
 * What isolation forbids, each level with what those before it do; a task may always reach what is in its own domain or
 * one created below it, and bypass_security or (sockets) any_ipc lift it:
 *
 *	none      nothing: Linux's rules
 *	light     looking into processes of other domains: memory, environment, files, limits
 *	standard  signals to them, their priority and CPUs
 *	strict    seeing them in /proc; connecting to their sockets by name; device nodes other than null,
 *	          zero, full, random, urandom, tty; what set-user-id programs gain
 *	paranoid  opening files to write, making and removing them
 *
 * The way in is one way: execution and isolation never fall, capabilities are cut, calls that were refused stay refused, and from
 * standard on one only goes to domains below one's own. So nothing that a task does gives it more.
 *
 * Locks: domain_lock for making, changing, deleting and entering; counts are atomic.
 *
 * Rejected: a domain for each thread (threads share memory: the weakest would count), lists of
 * rules by path as in other systems' profiles (the set of files is tmpfs' tree; chroot is there).
 */
#include <core/wait.h>
#include <lib/string.h>
#include <security/domain.h>

#define B(name) TERN_CAP_BIT(TERN_CAP_##name)
#define DRIVER TERN_SECURITY_COUNT /* its place in the table */

#define COMPUTING                                                                                  \
	(B(CPU) | B(MEMORY) | B(FILESYSTEM) | B(OWN_PRIORITY) | B(NICE) | B(CREATE_TASK) |         \
	 B(SIGNAL))
#define SANDBOX (COMPUTING | B(AFFINITY) | B(SHARED_MEMORY) | B(SEMAPHORE) | B(PROC_ACCESS))
#define SERVICE                                                                                    \
	(CAPABILITY_BASE | B(KILL) | B(IDENTITY) | B(FILE_OWNER) | B(FILE_OVERRIDE) |              \
	 B(NETWORK_ADMIN) | B(LOCK_MEMORY) | B(REAL_TIME) | B(ANY_PRIORITY) | B(RESOURCE_ADMIN))
#define DRIVERS                                                                                    \
	((CAPABILITY_BASE & ~B(NETWORK) & ~B(DEBUG)) | B(DEVICES) | B(DMA) | B(PHYSICAL_MEMORY) |  \
	 B(REAL_TIME) | B(LOCK_MEMORY) | B(FILE_OVERRIDE))
#define CONTAINER                                                                                  \
	((CAPABILITY_BASE & ~B(IO)) | B(KILL) | B(IDENTITY) | B(FILE_OWNER) | B(FILE_OVERRIDE))

#define BUILT_IN(place, text, exec, level, caps, count, files, memory, above)                      \
	[place] = {.name = text,                                                                   \
		   .id = place,                                                                    \
		   .used = true,                                                                   \
		   .built_in = true,                                                               \
		   .execution = TERN_EXECUTION_##exec,                                             \
		   .kind = (place) == DRIVER ? TERN_SECURITY_SERVICE : (place),                    \
		   .isolation = TERN_ISOLATION_##level,                                            \
		   .capabilities = (caps),                                                         \
		   .process_limit = (count),                                                       \
		   .file_limit = (files),                                                          \
		   .memory_limit = (memory),                                                       \
		   .parent = (above)}
#define ANY UINT32_MAX
#define SYSTEM DOMAIN_OF(SYSTEM)

struct domain domain_table[DOMAIN_MAX] = {
	BUILT_IN(TERN_SECURITY_KERNEL, "kernel", KERNEL, NONE, CAPABILITY_ALL, ANY, ANY, 0,
		 nullptr),
	BUILT_IN(TERN_SECURITY_SYSTEM, "system", USER, NONE, CAPABILITY_ALL, ANY, ANY, 0,
		 DOMAIN_OF(KERNEL)),
	BUILT_IN(TERN_SECURITY_USER, "user", USER, LIGHT, CAPABILITY_BASE, ANY, 4096, 0, SYSTEM),
	BUILT_IN(TERN_SECURITY_SERVICE, "service", USER, STANDARD, SERVICE, ANY, 65536, 0, SYSTEM),
	BUILT_IN(TERN_SECURITY_SANDBOX, "sandbox", SANDBOX, STRICT, SANDBOX, 64, 256, 1ull << 32,
		 SYSTEM),
	BUILT_IN(TERN_SECURITY_GUEST, "guest", SANDBOX, PARANOID, COMPUTING, 16, 64, 1ull << 30,
		 SYSTEM),
	BUILT_IN(TERN_SECURITY_CONTAINER, "container", SANDBOX, STRICT, CONTAINER, 1024, 4096, 0,
		 SYSTEM),
	BUILT_IN(DRIVER, "driver", DRIVER, STANDARD, DRIVERS, 64, 256, 0, SYSTEM),
};

static struct mutex domain_lock = MUTEX_INIT(domain_lock);

/* ---- Names ---- */

const char *domain_execution_name(unsigned execution)
{
	static const char *const names[] = {"kernel", "user", "driver", "sandbox"};

	return execution < ARRAY_SIZE(names) ? names[execution] : "?";
}

const char *domain_isolation_name(unsigned isolation)
{
	static const char *const names[] = {"none", "light", "standard", "strict", "paranoid"};

	return isolation < ARRAY_SIZE(names) ? names[isolation] : "?";
}

const char *domain_kind_name(unsigned kind)
{
	return kind < TERN_SECURITY_COUNT ? domain_table[kind].name : "?";
}

/* ---- Access ---- */

static bool covers(const struct domain *above, const struct domain *d)
{
	for (; d; d = READ_ONCE(d->parent))
		if (d == above)
			return true;
	return false;
}

bool domain_separates(const struct domain *from, const struct domain *to, enum domain_access what)
{
	static const uint8_t level[] = {
		[DOMAIN_LOOK] = TERN_ISOLATION_LIGHT,
		[DOMAIN_SIGNAL] = TERN_ISOLATION_STANDARD,
		[DOMAIN_SEE] = TERN_ISOLATION_STRICT,
		[DOMAIN_CONNECT] = TERN_ISOLATION_STRICT,
	};

	return from->isolation >= level[what] && !covers(from, to);
}

/* ---- Members ---- */

bool domain_join(struct domain *d)
{
	uint32_t n = atomic_load_explicit(&d->processes, memory_order_relaxed);

	do {
		if (n >= d->process_limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&d->processes, &n, n + 1, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void domain_leave(struct domain *d)
{
	atomic_fetch_sub_explicit(&d->processes, 1, memory_order_release);
}

struct domain *domain_find(const char *name)
{
	for (size_t i = 0; i < DOMAIN_MAX; i++)
		if (domain_table[i].used && strcmp(domain_table[i].name, name) == 0)
			return &domain_table[i];
	return nullptr;
}

const struct domain *domain_get(size_t n)
{
	for (size_t i = 0; i < DOMAIN_MAX; i++)
		if (domain_table[i].used && n-- == 0)
			return &domain_table[i];
	return nullptr;
}

static bool may_enter(const struct domain *from, const struct domain *to)
{
	if (to->execution == TERN_EXECUTION_KERNEL || to->isolation < from->isolation)
		return false;
	/* Users may become drivers or sandboxed; nothing leads out of these. */
	if (from->execution != TERN_EXECUTION_USER && to->execution != from->execution)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(to->refused); i++)
		if (from->refused[i] & ~to->refused[i])
			return false;
	return from->isolation < TERN_ISOLATION_STANDARD || covers(from, to);
}

enum kerr domain_enter(struct domain *from, const char *name, struct domain **out)
{
	enum kerr err = KERR_OK;

	mutex_lock(&domain_lock);
	struct domain *d = domain_find(name);
	if (!d)
		err = KERR_NOENT;
	else if (!may_enter(from, d))
		err = KERR_PERM;
	else if (!domain_join(d))
		err = KERR_AGAIN;
	*out = d;
	mutex_unlock(&domain_lock);
	return err;
}

/* ---- Making ---- */

static bool name_good(const char name[TERN_DOMAIN_NAME])
{
	size_t n = 0;

	for (; n < TERN_DOMAIN_NAME && name[n]; n++)
		if (!((name[n] >= 'a' && name[n] <= 'z') || (name[n] >= '0' && name[n] <= '9') ||
		      name[n] == '-' || name[n] == '_' || name[n] == '.'))
			return false;
	return n > 0 && n < TERN_DOMAIN_NAME;
}

static enum kerr wish_allowed(const struct domain *parent, const struct tern_domain *w)
{
	if (w->execution >= TERN_EXECUTION_COUNT || w->isolation >= TERN_ISOLATION_COUNT ||
	    w->kind >= TERN_SECURITY_COUNT || w->capabilities & ~CAPABILITY_ALL)
		return KERR_INVAL;
	if (w->execution == TERN_EXECUTION_KERNEL || w->kind == TERN_SECURITY_KERNEL ||
	    w->isolation < parent->isolation ||
	    (parent->execution > TERN_EXECUTION_USER && w->execution != parent->execution))
		return KERR_PERM;
	return KERR_OK;
}

static uint32_t limit_of(uint32_t wish, uint32_t parent)
{
	return MIN(wish ? wish : TERN_UNLIMITED, parent);
}

/* domain_lock held; refused calls are those of its execution domain, the parent, and the wish. */
static void fill_locked(struct domain *d, struct domain *parent, const struct tern_domain *w,
			uint64_t capabilities)
{
	static const uint8_t model[TERN_EXECUTION_COUNT] = {
		TERN_SECURITY_KERNEL, TERN_SECURITY_SYSTEM, DRIVER, TERN_SECURITY_SANDBOX};

	d->execution = (uint8_t)w->execution;
	d->kind = (uint8_t)w->kind;
	d->isolation = (uint8_t)w->isolation;
	d->capabilities = w->capabilities & parent->capabilities & capabilities;
	d->process_limit = limit_of(w->process_limit, parent->process_limit);
	d->file_limit = limit_of(w->file_limit, parent->file_limit);
	d->memory_limit = w->memory_limit;
	if (parent->memory_limit && (!d->memory_limit || d->memory_limit > parent->memory_limit))
		d->memory_limit = parent->memory_limit;
	d->refuses_calls = false;
	for (size_t i = 0; i < ARRAY_SIZE(d->refused); i++) {
		d->refused[i] = w->refused[i] | parent->refused[i] |
				domain_table[model[d->execution]].refused[i];
		d->refuses_calls |= d->refused[i] != 0;
	}
}

enum kerr domain_create(struct domain *parent, const struct tern_domain *w, uint64_t capabilities)
{
	enum kerr err = wish_allowed(parent, w);
	struct domain *d = nullptr;

	if (err != KERR_OK)
		return err;
	if (!name_good(w->name))
		return KERR_INVAL;
	mutex_lock(&domain_lock);
	for (size_t i = DRIVER + 1; i < DOMAIN_MAX && !d; i++)
		if (!domain_table[i].used &&
		    !atomic_load_explicit(&domain_table[i].objects, memory_order_acquire))
			d = &domain_table[i];
	/* Another thread of the caller may have left the parent, which may be gone: a domain that is its own
	 * ancestor would be the end. */
	if (!parent->used) {
		err = KERR_AGAIN;
	} else if (domain_find(w->name)) {
		err = KERR_EXIST;
	} else if (!d) {
		err = KERR_NOSPC;
	} else {
		memset(d, 0, sizeof(*d));
		memcpy(d->name, w->name, sizeof(d->name));
		d->id = (uint16_t)(d - domain_table);
		d->parent = parent;
		fill_locked(d, parent, w, capabilities);
		WRITE_ONCE(d->used, true);
	}
	mutex_unlock(&domain_lock);
	return err;
}

/* One that `by` may change: created, below it, without processes or domains below. */
static enum kerr own_locked(const struct domain *by, const char *name, struct domain **out)
{
	struct domain *d = *out = domain_find(name);

	if (!d)
		return KERR_NOENT;
	if (d->built_in || d == by || !covers(by, d))
		return KERR_PERM;
	for (size_t i = 0; i < DOMAIN_MAX; i++)
		if (domain_table[i].used && domain_table[i].parent == d)
			return KERR_BUSY;
	return atomic_load_explicit(&d->processes, memory_order_acquire) ? KERR_BUSY : KERR_OK;
}

enum kerr domain_modify(struct domain *by, const struct tern_domain *w, uint64_t capabilities)
{
	struct domain *d;
	enum kerr err;

	mutex_lock(&domain_lock);
	err = own_locked(by, w->name, &d);
	if (err == KERR_OK)
		err = wish_allowed(d->parent, w);
	if (err == KERR_OK)
		fill_locked(d, d->parent, w, capabilities);
	mutex_unlock(&domain_lock);
	return err;
}

enum kerr domain_delete(struct domain *by, const char *name)
{
	struct domain *d;
	enum kerr err;

	mutex_lock(&domain_lock);
	err = own_locked(by, name, &d);
	if (err == KERR_OK)
		WRITE_ONCE(d->used, false);
	mutex_unlock(&domain_lock);
	return err;
}

void domain_refuse_call(enum tern_execution_domain e, unsigned number)
{
	for (size_t i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = &domain_table[i];
		if (d->used && d->execution == e && number < DOMAIN_CALLS) {
			d->refused[number / 64] |= (uint64_t)1 << number % 64;
			d->refuses_calls = true;
		}
	}
}
