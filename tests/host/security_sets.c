/*
 * security/: the arithmetic of capability sets and the rules of domains. The property is what both are for: whatever
 * a task and its children do, none ever has what its first ancestor's bounding set or domain had not.
 */
#include "machine.h"

#include <lib/string.h>
#include <security/domain.h>

#define ALL CAPABILITY_ALL
#define BIT(name) TERN_CAP_BIT(TERN_CAP_##name)
#define L(name) ((uint64_t)1 << LINUX_CAP_##name)

static const struct capabilities root = CAPABILITIES_ROOT;

void test_prepare(void)
{
	test_kernel(nullptr); /* for its locks */
}

TEST(security_names_and_map)
{
	uint64_t reached = 0;

	for (unsigned c = 0; c < TERN_CAP_COUNT; c++) {
		EXPECT(capability_name(c) && strlen(capability_name(c)) > 1);
		for (unsigned other = 0; other < c; other++)
			EXPECT(strcmp(capability_name(c), capability_name(other)) != 0);
		bool base = CAPABILITY_BASE >> c & 1;
		EXPECT_EQ(!capability_linux_of(c), base);
	}
	for (unsigned l = 0; l < LINUX_CAP_COUNT; l++) {
		uint64_t own = capability_grants((uint64_t)1 << l);
		EXPECT(own != 0);
		EXPECT_EQ(own & CAPABILITY_BASE, 0);
		EXPECT(capability_alive(own) >> l & 1);
		reached |= own;
	}
	EXPECT_EQ(reached | CAPABILITY_BASE, ALL);
	EXPECT_EQ(capability_grants(LINUX_CAP_ALL), ALL & ~CAPABILITY_BASE);
	EXPECT_EQ(capability_alive(ALL), LINUX_CAP_ALL);
	EXPECT_EQ(capability_alive(CAPABILITY_BASE), 0);
	EXPECT_EQ(capability_grants(0), 0);
}

TEST(security_restrict)
{
	for (unsigned c = 0; c < TERN_CAP_COUNT; c++) {
		struct capabilities s = root;
		capabilities_restrict(&s, ~TERN_CAP_BIT(c));
		EXPECT(capabilities_check(&s));
		EXPECT_EQ(s.permitted.own, ALL & ~TERN_CAP_BIT(c));
		EXPECT_EQ(s.effective.own, ALL & ~TERN_CAP_BIT(c));
		capabilities_grant(&s, ALL, LINUX_CAP_ALL);
		capabilities_exec(&s, 0, 0, true, false);
		EXPECT_EQ(s.permitted.own, ALL & ~TERN_CAP_BIT(c));
	}
}

TEST(security_grant_gives_no_more)
{
	for (unsigned c = 0; c < TERN_CAP_COUNT; c++) {
		struct capabilities s = root;
		const struct user_ids_change zero = {}, user = {1000, 1000, 1000};
		capabilities_ids_changed(&s, &zero, &user);
		EXPECT_EQ(s.permitted.own, CAPABILITY_BASE);
		capabilities_grant(&s, TERN_CAP_BIT(c), LINUX_CAP_ALL);
		EXPECT_EQ(s.effective.own, CAPABILITY_BASE | TERN_CAP_BIT(c));
		/* Linux's ways with the sets bring nothing along either. */
		EXPECT(capabilities_set(&s, s.permitted.compat, s.permitted.compat,
					s.permitted.compat));
		for (unsigned l = 0; l < LINUX_CAP_COUNT; l++)
			if (s.permitted.compat >> l & 1)
				EXPECT(capabilities_ambient(&s, l, true));
		capabilities_exec(&s, 1000, 1000, false, false);
		EXPECT_EQ(s.permitted.own & ~(CAPABILITY_BASE | TERN_CAP_BIT(c)), 0);
		EXPECT(capabilities_check(&s));
	}
}

static void any_change(struct test_random *r, struct capabilities *s, struct user_ids_change *ids)
{
	static const uint32_t users[] = {0, 1000, 1001};
	struct user_ids_change now = *ids;
	uint64_t word = test_random(r) << 32 ^ test_random(r);
	unsigned l = test_random(r) % LINUX_CAP_COUNT;

	switch (test_random(r) % 11) {
	case 0:
		now = (struct user_ids_change){users[test_random(r) % 3], users[test_random(r) % 3],
					       users[test_random(r) % 3]};
		capabilities_ids_changed(s, ids, &now);
		*ids = now;
		break;
	case 1:
		capabilities_fsuid_changed(s, users[test_random(r) % 3], users[test_random(r) % 3]);
		break;
	case 2:
		capabilities_exec(s, ids->uid, ids->euid, test_random(r) & 1,
				  test_random(r) % 4 == 0);
		break;
	case 3:
		(void)capabilities_set(s, s->permitted.compat & word, s->permitted.compat,
				       s->permitted.compat & word);
		break;
	case 4:
		(void)capabilities_set(s, word, word, word);
		break;
	case 5:
		capabilities_bound_drop(s, l);
		break;
	case 6:
		(void)capabilities_ambient(s, l, test_random(r) & 1);
		break;
	case 7:
		capabilities_set_effective(s, word);
		break;
	case 8:
		capabilities_set_inheritable(s, word | ~(uint64_t)0 << (test_random(r) % 44));
		break;
	case 9:
		s->secure = (uint8_t)word;
		break;
	default:
		if (test_random(r) % 4 == 0)
			capabilities_restrict(s, word | word << 20 | 0xffffff);
		break;
	}
}

PROPERTY(security_never_more, 300)
{
	struct capabilities s = root;
	struct user_ids_change ids = {};

	for (unsigned step = 0; step < 300; step++) {
		struct capabilities before = s;
		any_change(random, &s, &ids);
		if (!EXPECT(capabilities_check(&s)))
			return;
		EXPECT_EQ(s.bounding.own & ~before.bounding.own, 0);
		EXPECT_EQ(s.bounding.compat & ~before.bounding.compat, 0);
		EXPECT_EQ(s.effective.own & ~s.bounding.own, 0);
		EXPECT_EQ(s.permitted.own & CAPABILITY_BASE & ~before.permitted.own, 0);
	}
}

/* ---- Domains ---- */

TEST(security_domains_built_in)
{
	static const char *const names[] = {"kernel",  "system", "user",      "service",
					    "sandbox", "guest",  "container", "driver"};
	const struct domain *d;

	for (size_t i = 0; i < 8; i++) {
		d = domain_get(i);
		EXPECT_STR(d->name, names[i]);
		EXPECT(d == domain_find(names[i]));
		EXPECT_EQ(d->capabilities & ~ALL, 0);
		if (d->parent)
			EXPECT_EQ(d->capabilities & ~d->parent->capabilities, 0);
	}
	EXPECT(!domain_get(8));
}

static const struct tern_domain wish = {
	.execution = TERN_EXECUTION_SANDBOX,
	.kind = TERN_SECURITY_SANDBOX,
	.isolation = TERN_ISOLATION_STANDARD,
	.capabilities = ALL,
	.process_limit = 2,
};

static struct tern_domain named(const char *name)
{
	struct tern_domain w = wish;

	strlcpy(w.name, name, sizeof(w.name));
	return w;
}

TEST(security_domains_created)
{
	struct domain *system = DOMAIN_OF(SYSTEM), *a, *in;
	struct tern_domain w = named("a");

	EXPECT_EQ(domain_create(system, &w, ALL & ~BIT(MOUNT)), KERR_OK);
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_EXIST);
	a = domain_find("a");
	EXPECT_EQ(a->capabilities, ALL & ~BIT(MOUNT));
	/* A child has at most what its parent has. */
	w = named("b");
	EXPECT_EQ(domain_create(a, &w, ALL), KERR_OK);
	EXPECT_EQ(domain_find("b")->capabilities, ALL & ~BIT(MOUNT));
	w.isolation = TERN_ISOLATION_NONE;
	EXPECT_EQ(domain_create(a, &w, ALL), KERR_PERM);
	w = named("");
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_INVAL);
	w = named("Bad name");
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_INVAL);
	w = named("c");
	w.execution = TERN_EXECUTION_COUNT;
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_INVAL);
	w.execution = TERN_EXECUTION_KERNEL;
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_PERM);
	w = named("c");
	w.capabilities = ALL + 1;
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_INVAL);

	/* Limits, and who is in use. */
	EXPECT_EQ(domain_enter(system, "a", &in), KERR_OK);
	EXPECT(in == a && domain_join(a) && !domain_join(a));
	EXPECT_EQ(domain_enter(system, "a", &in), KERR_AGAIN);
	w = named("a");
	EXPECT_EQ(domain_modify(system, &w, ALL), KERR_BUSY);
	EXPECT_EQ(domain_delete(system, "a"), KERR_BUSY);
	domain_leave(a);
	domain_leave(a);
	EXPECT_EQ(domain_delete(system, "a"), KERR_BUSY); /* b is below it */
	EXPECT_EQ(domain_delete(system, "b"), KERR_OK);
	EXPECT_EQ(domain_delete(system, "a"), KERR_OK);
	/* A thread that is late: its process has left, and the place is free. */
	memcpy(w.name, "late", 5);
	w.execution = TERN_EXECUTION_SANDBOX;
	w.isolation = TERN_ISOLATION_PARANOID;
	EXPECT_EQ(domain_create(a, &w, ALL), KERR_AGAIN);
	EXPECT_EQ(domain_delete(system, "a"), KERR_NOENT);
	EXPECT_EQ(domain_delete(system, "sandbox"), KERR_PERM);

	/* The table is full at some time, and not for ever. */
	char name[] = "x00";
	unsigned count = 0;
	for (; count < DOMAIN_MAX; count++) {
		name[1] = (char)('0' + count / 10);
		name[2] = (char)('0' + count % 10);
		w = named(name);
		if (domain_create(system, &w, ALL) != KERR_OK)
			break;
	}
	EXPECT_EQ(count, DOMAIN_MAX - 8);
	EXPECT_EQ(domain_delete(system, "x07"), KERR_OK);
	EXPECT_EQ(domain_create(system, &w, ALL), KERR_OK);
}

/* Whatever way one goes: isolation and refused calls never shrink, a sandbox is never left. */
PROPERTY(security_domains_one_way, 100)
{
	static const char *const names[] = {"kernel", "system",    "user",   "service", "sandbox",
					    "guest",  "container", "driver", "a",       "b"};
	struct domain *at = DOMAIN_OF(SYSTEM), *to;
	struct tern_domain w = named("a");

	domain_refuse_call(TERN_EXECUTION_SANDBOX, 100);
	domain_refuse_call(TERN_EXECUTION_DRIVER, 101);
	if (!domain_find("a")) { /* seeds share them */
		w.process_limit = 0;
		EXPECT_OK(domain_create(at, &w, ALL));
		strlcpy(w.name, "b", sizeof(w.name));
		w.refused[0] = 5;
		EXPECT_OK(domain_create(domain_find("a"), &w, ALL));
	}
	for (unsigned i = 0; i < 50; i++) {
		if (domain_enter(at, names[test_random(random) % ARRAY_SIZE(names)], &to) !=
		    KERR_OK)
			continue;
		EXPECT(to->isolation >= at->isolation && to->execution != TERN_EXECUTION_KERNEL);
		EXPECT(at->execution == TERN_EXECUTION_USER || to->execution == at->execution);
		for (size_t n = 0; n < ARRAY_SIZE(at->refused); n++)
			EXPECT_EQ(at->refused[n] & ~to->refused[n], 0);
		domain_leave(at);
		at = to;
	}
}

TEST(security_isolation)
{
	struct domain *system = DOMAIN_OF(SYSTEM), *user = DOMAIN_OF(USER),
		      *service = DOMAIN_OF(SERVICE), *sandbox = DOMAIN_OF(SANDBOX);

	for (unsigned what = DOMAIN_LOOK; what <= DOMAIN_CONNECT; what++) {
		EXPECT(!domain_separates(system, sandbox, what));
		EXPECT(!domain_separates(sandbox, sandbox, what));
		EXPECT(domain_separates(sandbox, system, what));
		EXPECT(domain_separates(sandbox, DOMAIN_OF(GUEST), what));
		EXPECT_EQ(domain_separates(user, system, what), what == DOMAIN_LOOK);
		EXPECT_EQ(domain_separates(service, system, what), what <= DOMAIN_SIGNAL);
	}
	struct tern_domain w = named("below");
	EXPECT_EQ(domain_create(service, &w, ALL), KERR_OK);
	EXPECT(!domain_separates(service, domain_find("below"), DOMAIN_SIGNAL));
	EXPECT(domain_separates(domain_find("below"), service, DOMAIN_SIGNAL));
}
