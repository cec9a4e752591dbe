/*
 * Address spaces against a model: random maps, unmaps, protections, moves, discards, forks, exits,
 * truncations, reads and writes in a window of pages; after each step the TLBs hold nothing that the
 * tables do not grant, at the end no frame is lost. Also with the n-th allocation failing, and with
 * four CPUs in one address space.
 */
#include "machine.h"

#include "inject.h"
#include "layout.h"
#include "region.h"

#include <mm/advice.h>
#include <mm/aspace.h>
#include <mm/memory.h>
#include <stdio.h>

#define BASE ((vaddr_t)0x10000000)
#define PAGES 192u
#define BYTES 4u /* of each page that are looked at */
#define SPACES 4u
#define OBJECTS 2u
#define OBJECT_PAGES 64u

enum model_kind { NOTHING, ANONYMOUS, PRIVATE_FILE, SHARED_FILE };

struct model_page {
	enum model_kind kind;
	unsigned prot, object, index;
	bool own;             /* private contents */
	uint8_t byte[BYTES];
};

struct model_space {
	struct aspace *as;
	struct model_page page[PAGES];
};

struct model_object {
	struct vm_object *o;
	uint64_t pages;
	uint8_t byte[OBJECT_PAGES][BYTES];
};

static struct model_space spaces[SPACES];
static struct model_object objects[OBJECTS];
static struct aspace *_Atomic running[CPU_MAX];
static _Atomic enum fault_result last_fault;

static bool answer_fault(struct trap *trap)
{
	struct aspace *as = running[cpu_id()];
	if (!as || trap->addr >= aspace_user_end())
		return false;
	hal.cpu.irq_restore(true);
	enum fault_result result = aspace_fault(as, trap->addr, trap->access);
	hal.cpu.irq_save();
	if (result != FAULT_CONTINUE)
		last_fault = result;
	return result == FAULT_CONTINUE;
}

static void run_in(struct aspace *as)
{
	bool on = hal.cpu.irq_save();
	running[cpu_id()] = as;
	aspace_activate(as);
	hal.cpu.irq_restore(on);
}

static vaddr_t page_address(unsigned page)
{
	return BASE + page * PAGE_SIZE;
}

/* What an access to the page must give: FAULT_CONTINUE, ACCERR, MAPERR, BUS. */
static enum fault_result expected(const struct model_page *p, bool write)
{
	if (p->kind == NOTHING)
		return FAULT_MAPERR;
	if (!(p->prot & (write ? PROT_WRITE : PROT_READ)))
		return FAULT_ACCERR;
	if (p->kind != ANONYMOUS && p->index >= objects[p->object].pages)
		return FAULT_BUS;
	return FAULT_CONTINUE;
}

static uint8_t *model_byte(struct model_page *p, unsigned i)
{
	if (p->kind == SHARED_FILE || (p->kind == PRIVATE_FILE && !p->own))
		return &objects[p->object].byte[p->index][i];
	return &p->byte[i];
}

static void check_read(struct model_space *s, unsigned page, unsigned i)
{
	struct model_page *p = &s->page[page];
	uint8_t got = 0;
	last_fault = FAULT_CONTINUE;
	size_t left = hal.user.copy(&got, (void *)(page_address(page) + i * 1000), 1);
	EXPECT_EQ(last_fault, expected(p, false));
	EXPECT_EQ(left, last_fault != FAULT_CONTINUE);
	if (!left && expected(p, false) == FAULT_CONTINUE)
		EXPECT_EQ(got, *model_byte(p, i));
}

static void check_write(struct model_space *s, unsigned page, unsigned i, uint8_t value)
{
	struct model_page *p = &s->page[page];
	last_fault = FAULT_CONTINUE;
	size_t left = hal.user.copy((void *)(page_address(page) + i * 1000), &value, 1);
	EXPECT_EQ(last_fault, expected(p, true));
	if (left)
		return;
	if (p->kind == PRIVATE_FILE && !p->own) {
		memcpy(p->byte, objects[p->object].byte[p->index], BYTES);
		p->own = true;
	}
	*model_byte(p, i) = value;
}

static void some_range(struct test_random *random, unsigned *first, unsigned *count)
{
	*first = (unsigned)test_random_below(random, PAGES);
	*count = 1 + (unsigned)test_random_below(random, MIN(PAGES - *first, 40u));
}

static unsigned some_prot(struct test_random *random)
{
	static const unsigned choice[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
					  PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
	return choice[test_random_below(random, ARRAY_SIZE(choice))];
}

static enum kerr do_map(struct model_space *s, struct test_random *random)
{
	unsigned first, count, prot = some_prot(random);
	some_range(random, &first, &count);
	enum model_kind kind = ANONYMOUS + (enum model_kind)test_random_below(random, 3);
	unsigned object = (unsigned)test_random_below(random, OBJECTS);
	unsigned index = (unsigned)test_random_below(random, OBJECT_PAGES - 40);
	vaddr_t at = page_address(first);
	enum kerr err = aspace_map(s->as, &at, count * PAGE_SIZE, prot,
				   MMAP_FIXED | (kind == SHARED_FILE ? MMAP_SHARED : MMAP_PRIVATE),
				   kind == ANONYMOUS ? nullptr : objects[object].o,
				   kind == ANONYMOUS ? 0 : index * PAGE_SIZE);
	if (err != KERR_OK)
		return err;
	EXPECT_EQ(at, page_address(first));
	for (unsigned i = 0; i < count; i++)
		s->page[first + i] = (struct model_page){
			.kind = kind, .prot = prot, .object = object, .index = index + i};
	return KERR_OK;
}

static enum kerr do_unmap(struct model_space *s, struct test_random *random)
{
	unsigned first, count;
	some_range(random, &first, &count);
	enum kerr err = aspace_unmap(s->as, page_address(first), count * PAGE_SIZE);
	for (unsigned i = 0; err == KERR_OK && i < count; i++)
		s->page[first + i] = (struct model_page){};
	return err;
}

/* Up to the first hole. After an injected failure nobody knows how far it came. */
static enum kerr do_protect(struct model_space *s, struct test_random *random)
{
	unsigned first, count, prot = some_prot(random), whole = 0;
	some_range(random, &first, &count);
	while (whole < count && s->page[first + whole].kind != NOTHING)
		whole++;
	enum kerr err = aspace_protect(s->as, page_address(first), count * PAGE_SIZE, prot);
	if (memory_fail_in < 0 || err == KERR_OK || whole < count)
		EXPECT(err == (whole < count ? KERR_NOMEM : KERR_OK));
	for (unsigned i = 0; i < whole; i++) {
		struct region_info r;
		if (aspace_region_at(s->as, page_address(first + i), &r) && r.object)
			vm_object_put(r.object);
		if (err == KERR_OK)
			EXPECT_EQ(r.prot, prot);
		s->page[first + i].prot = r.prot;
	}
	return whole < count ? KERR_OK : err;
}

static enum kerr do_discard(struct model_space *s, struct test_random *random)
{
	unsigned first, count;
	some_range(random, &first, &count);
	bool hole = false;
	for (unsigned i = 0; i < count; i++)
		hole |= s->page[first + i].kind == NOTHING;
	enum kerr err = aspace_advise(s->as, page_address(first), count * PAGE_SIZE,
				      ADVISE_DONTNEED, nullptr);
	if (err == KERR_NOMEM && !hole)
		return err; /* some pages may be gone: the model cannot tell; only injected */
	EXPECT_EQ(err, hole ? KERR_NOMEM : KERR_OK);
	for (unsigned i = 0; i < count; i++) {
		struct model_page *p = &s->page[first + i];
		if (p->kind == ANONYMOUS || p->kind == PRIVATE_FILE) {
			p->own = false;
			memset(p->byte, 0, BYTES);
		}
	}
	return KERR_OK;
}

/* Moves a run of pages of one mapping to a free place. */
static enum kerr do_move(struct model_space *s, struct test_random *random)
{
	unsigned first, count, to;
	some_range(random, &first, &count);
	count = MIN(count, 8u);
	to = (unsigned)test_random_below(random, PAGES - count + 1);
	if (to < first + count && first < to + count)
		return KERR_OK;
	bool uniform = s->page[first].kind != NOTHING;
	for (unsigned i = 1; i < count; i++) {
		struct model_page *a = &s->page[first + i - 1], *b = &s->page[first + i];
		uniform &= a->kind == b->kind && a->prot == b->prot &&
			   (a->kind == ANONYMOUS ||
			    (a->object == b->object && a->index + 1 == b->index));
	}
	vaddr_t at = page_address(to);
	enum kerr err = aspace_remap(s->as, page_address(first), count * PAGE_SIZE,
				     count * PAGE_SIZE, 3, &at);
	if (err != KERR_OK && uniform && err != KERR_NOMEM)
		/* Regions that look alike may still differ (written once or not): no merge. */
		EXPECT_EQ(err, KERR_FAULT);
	bool there = s->page[first].kind != NOTHING; /* else nothing happens */
	for (unsigned i = 0; there && i < count && err != KERR_NOMEM; i++) {
		s->page[to + i] = (struct model_page){}; /* the target went in any case */
		if (err == KERR_OK) {
			s->page[to + i] = s->page[first + i];
			s->page[first + i] = (struct model_page){};
		}
	}
	return err == KERR_FAULT ? KERR_OK : err;
}

static enum kerr do_fork(struct model_space *s, struct test_random *random)
{
	struct model_space *child = &spaces[test_random_below(random, SPACES)];
	struct aspace *as;
	if (child == s)
		return KERR_OK;
	enum kerr err = aspace_fork(s->as, &as);
	if (err != KERR_OK)
		return err;
	if (child->as)
		aspace_put(child->as);
	memcpy(child->page, s->page, sizeof(s->page));
	child->as = as;
	return KERR_OK;
}

static void do_truncate(struct test_random *random)
{
	struct model_object *o = &objects[test_random_below(random, OBJECTS)];
	uint64_t pages = test_random_below(random, OBJECT_PAGES + 1);
	vm_object_truncate(o->o, pages * PAGE_SIZE);
	for (uint64_t i = pages; i < o->pages; i++)
		memset(o->byte[i], 0, BYTES);
	o->pages = pages;
}

static void do_object_write(struct test_random *random)
{
	struct model_object *o = &objects[test_random_below(random, OBJECTS)];
	if (!o->pages)
		return;
	uint64_t index = test_random_below(random, o->pages), i = test_random_below(random, BYTES);
	uint8_t value = (uint8_t)test_random(random);
	size_t done;
	if (vm_object_write(o->o, index * PAGE_SIZE + i * 1000, (vaddr_t)&value, 1, false, &done) ==
	    KERR_OK)
		o->byte[index][i] = value;
}

/* KERR_NOMEM when an injected failure came through; the model is as the address space then. */
static enum kerr step(struct model_space *s, struct test_random *random)
{
	unsigned page = (unsigned)test_random_below(random, PAGES);
	unsigned i = (unsigned)test_random_below(random, BYTES);
	unsigned dice = (unsigned)test_random_below(random, 100);
	if (dice < 4)
		return do_map(s, random);
	if (dice < 6)
		return do_unmap(s, random);
	if (dice < 9)
		return do_protect(s, random);
	if (dice < 11)
		return do_discard(s, random);
	if (dice < 14)
		return do_fork(s, random);
	if (dice < 16)
		return do_move(s, random);
	if (dice < 17)
		do_truncate(random);
	else if (dice < 20)
		do_object_write(random);
	else if (dice < 60)
		check_read(s, page, i);
	else
		check_write(s, page, i, (uint8_t)test_random(random));
	return KERR_OK;
}

static void check_everything(struct model_space *s)
{
	run_in(s->as);
	for (unsigned page = 0; page < PAGES; page++)
		check_read(s, page, page % BYTES);
}

static void begin(void)
{
	test_upcalls.page_fault = answer_fault;
	for (unsigned i = 0; i < OBJECTS; i++) {
		objects[i].pages = OBJECT_PAGES;
		EXPECT_OK(vm_object_create_anonymous(OBJECT_PAGES * PAGE_SIZE, &objects[i].o));
	}
	EXPECT_OK(aspace_create(&spaces[0].as));
}

/* What waits for a grace period goes. */
static void settle(void)
{
	for (int i = 0; i < 3; i++)
		rcu_synchronize();
	EXPECT(frame_reclaim() || true);
}

static void end(void)
{
	run_in(nullptr);
	running[cpu_id()] = nullptr;
	for (unsigned i = 0; i < SPACES; i++) {
		if (spaces[i].as)
			aspace_put(spaces[i].as);
		spaces[i] = (struct model_space){};
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		vm_object_put(objects[i].o);
	settle();
	struct memory_stats m;
	memory_stats(&m);
	EXPECT_EQ(m.anonymous, 0);
	EXPECT_EQ(m.cached, 0);
	EXPECT_EQ(m.committed, 0);
	EXPECT_EQ(pagetree_node_bytes(), 0);
}

static void random_steps(struct test_random *random, unsigned steps)
{
	begin();
	struct model_space *s = &spaces[0];
	run_in(s->as);
	for (unsigned n = 0; n < steps; n++) {
		if (test_random_below(random, 15) == 0) {
			s = &spaces[test_random_below(random, SPACES)];
			if (!s->as)
				s = &spaces[0];
			run_in(s->as);
		}
		EXPECT_OK(step(s, random));
		struct host_stale stale;
		if (!EXPECT_EQ(host_tlb_check(&stale), 0)) {
			ktest_note("step %u: stale %#lx asid %u table %d cached %#x actual %d %#x",
				   n, stale.va, stale.asid, stale.table, stale.cached.flags,
				   stale.actual.kind, stale.actual.flags);
			return;
		}
	}
	for (unsigned i = 0; i < SPACES; i++) {
		if (spaces[i].as)
			check_everything(&spaces[i]);
	}
	end();
}

static bool passed(void)
{
	fflush(nullptr); /* the child ends without */
	return !test_failures();
}

/* A machine lives once in a process, so each seed gets one of its own. */
static void each_seed(uint64_t (*fn)(uint64_t seed), unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t seed = test_seed() + i;
		if (!EXPECT(test_in_child(fn, seed)))
			ktest_note("seed %lu", seed);
	}
}

static uint64_t model(uint64_t seed)
{
	struct test_random random = {.state = seed * 77};
	test_kernel(&(struct host_config){
		.ram_dirty = true,
		.asid_bits = (unsigned)test_random_below(&random, 2) * 4,
		.split_root = test_random_below(&random, 2),
		.broadcast = test_random_below(&random, 2),
		.software_access = test_random_below(&random, 4) == 0,
		.seed = seed,
	});
	random_steps(&random, 3000);
	return passed();
}

TEST(aspace_model)
{
	each_seed(model, 16);
}

/* What was read or written while an allocation failed may have faulted with NO_MEMORY. */
static void inject_steps(struct test_random *random, unsigned steps)
{
	begin();
	struct model_space *s = &spaces[0];
	run_in(s->as);
	for (unsigned n = 0; n < steps; n++) {
		memory_fail_in = test_random_below(random, 3)
					 ? 1 + (int64_t)test_random_below(random, 8)
					 : 0;
		switch (test_random_below(random, 8)) {
		case 0:
			(void)!do_map(s, random);
			break;
		case 1:
			(void)!do_unmap(s, random);
			break;
		case 2:
			(void)!do_fork(s, random);
			break;
		case 3:
			(void)!do_protect(s, random);
			break;
		default: {
			unsigned page = (unsigned)test_random_below(random, PAGES);
			uint8_t value = (uint8_t)n, got;
			struct model_page *p = &s->page[page];
			last_fault = FAULT_CONTINUE;
			size_t left = hal.user.copy((void *)page_address(page), &value, 1);
			if (!left) {
				if (p->kind == PRIVATE_FILE && !p->own) {
					memcpy(p->byte, objects[p->object].byte[p->index], BYTES);
					p->own = true;
				}
				*model_byte(p, 0) = value;
			} else if (last_fault != FAULT_NO_MEMORY) {
				EXPECT_EQ(last_fault, expected(p, true));
			}
			memory_fail_in = 0;
			left = hal.user.copy(&got, (void *)page_address(page), 1);
			if (!left)
				EXPECT_EQ(got, *model_byte(p, 0));
		}
		}
		memory_fail_in = 0;
		EXPECT_EQ(host_tlb_check(nullptr), 0);
	}
	for (unsigned i = 0; i < SPACES; i++) {
		if (spaces[i].as)
			check_everything(&spaces[i]);
	}
	end();
}

static uint64_t failing(uint64_t seed)
{
	struct test_random random = {.state = seed * 77};
	test_kernel(&(struct host_config){.ram_dirty = true, .seed = seed});
	inject_steps(&random, 1500);
	return passed();
}

TEST(aspace_nth_allocation_fails)
{
	each_seed(failing, 10);
}

/* ---- Many CPUs in one address space ---------------------------------------------------------- */

static struct aspace *common;
static _Atomic uint32_t trouble;
#define SHARE 64u /* pages a CPU owns */

static void hammer(cpu_t cpu, void *arg)
{
	struct test_random random = {.state = host_config()->seed * 31 + cpu};
	uint8_t model[SHARE] = {};
	bool mapped[SHARE] = {};
	vaddr_t mine = BASE + cpu * SHARE * PAGE_SIZE;
	run_in(common);
	for (int n = 0; n < 600; n++) {
		unsigned page = (unsigned)test_random_below(&random, SHARE);
		unsigned count = 1 + (unsigned)test_random_below(&random, MIN(8u, SHARE - page));
		vaddr_t at = mine + page * PAGE_SIZE;
		uint8_t value = (uint8_t)test_random(&random), got;
		switch (test_random_below(&random, 8)) {
		case 0:
			EXPECT_OK(aspace_map(common, &at, count * PAGE_SIZE, PROT_READ | PROT_WRITE,
					     MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
			for (unsigned i = 0; i < count; i++) {
				mapped[page + i] = true;
				model[page + i] = 0;
			}
			break;
		case 1:
			EXPECT_OK(aspace_unmap(common, at, count * PAGE_SIZE));
			for (unsigned i = 0; i < count; i++)
				mapped[page + i] = false;
			break;
		case 2:
			if (cpu == 0 && n % 16 == 0) {
				struct aspace *child;
				EXPECT_OK(aspace_fork(common, &child));
				aspace_put(child);
			}
			break;
		case 3:
		case 4:
			if (hal.user.copy((void *)at, &value, 1) == mapped[page])
				trouble++;
			model[page] = value;
			break;
		default:
			if (hal.user.copy(&got, (void *)at, 1) == mapped[page] ||
			    (mapped[page] && got != model[page]))
				trouble++;
		}
		if (n % 64 == 0)
			preempt_check(); /* a quiet moment */
	}
	run_in(nullptr);
}

static void all_hammer(void)
{
	test_upcalls.page_fault = answer_fault;
	EXPECT_OK(aspace_create(&common));
	test_on_all_cpus(hammer, nullptr);
	EXPECT_EQ(trouble, 0);
	running[cpu_id()] = nullptr;
	aspace_put(common);
	settle();
	struct memory_stats m;
	memory_stats(&m);
	EXPECT_EQ(m.anonymous, 0);
	EXPECT_EQ(m.committed, 0);
	EXPECT_EQ(pagetree_node_bytes(), 0);
}

/*
 * Forks while others write. Each CPU owns one word of every page in every address space; what it
 * wrote last in an address space is what it must read there, whoever faults on the page's other
 * words, forks, exits or copies meanwhile.
 */
#define FAMILY 3u
#define FAMILY_PAGES 24u

static struct aspace *family[FAMILY]; /* (family_lock) */
static struct spinlock family_lock = SPINLOCK_INIT(RANK_NONE, "family");

static struct aspace *family_get(unsigned i)
{
	spin_lock(&family_lock);
	struct aspace *as = family[i];
	aspace_get(as);
	spin_unlock(&family_lock);
	return as;
}

static void family_replace(unsigned i, struct aspace *by)
{
	spin_lock(&family_lock);
	struct aspace *old = family[i];
	family[i] = by;
	spin_unlock(&family_lock);
	if (old)
		aspace_put(old);
}

static bool word(vaddr_t at, uint64_t *value, bool write)
{
	return (write ? hal.user.copy((void *)at, value, 8)
		      : hal.user.copy(value, (void *)at, 8)) == 0;
}

static void live_in(struct aspace *as, cpu_t cpu, struct test_random *random, uint64_t *counter)
{
	uint64_t mine[FAMILY_PAGES], got;
	run_in(as);
	for (unsigned p = 0; p < FAMILY_PAGES; p++) {
		if (!word(page_address(p) + cpu * 8, &mine[p], false) || mine[p] > *counter)
			trouble++;
	}
	for (int n = 0; n < 60; n++) {
		unsigned p = (unsigned)test_random_below(random, FAMILY_PAGES);
		if (test_random_below(random, 2)) {
			mine[p] = ++*counter;
			trouble += !word(page_address(p) + cpu * 8, &mine[p], true);
		} else if (!word(page_address(p) + cpu * 8, &got, false) || got != mine[p]) {
			trouble++;
		}
	}
	run_in(nullptr);
}

static void live(cpu_t cpu, void *arg)
{
	struct test_random random = {.state = host_config()->seed * 31 + cpu};
	uint64_t counter = 0;
	for (int n = 0; n < 60; n++) {
		struct aspace *as = family_get((unsigned)test_random_below(&random, FAMILY)),
			      *child;
		if (cpu < 2 && test_random_below(&random, 3) == 0) {
			EXPECT_OK(aspace_fork(as, &child));
			family_replace((unsigned)test_random_below(&random, FAMILY), child);
		} else {
			live_in(as, cpu, &random, &counter);
		}
		aspace_put(as);
		preempt_check();
	}
}

static void family_lives(void)
{
	test_upcalls.page_fault = answer_fault;
	for (unsigned i = 0; i < FAMILY; i++) {
		vaddr_t at = BASE;
		EXPECT_OK(aspace_create(&family[i]));
		EXPECT_OK(aspace_map(family[i], &at, FAMILY_PAGES * PAGE_SIZE,
				     PROT_READ | PROT_WRITE, MMAP_PRIVATE | MMAP_FIXED, nullptr,
				     0));
	}
	test_on_all_cpus(live, nullptr);
	EXPECT_EQ(trouble, 0);
	for (unsigned i = 0; i < FAMILY; i++)
		family_replace(i, nullptr);
	settle();
	struct memory_stats m;
	memory_stats(&m);
	EXPECT_EQ(m.anonymous, 0);
	EXPECT_EQ(m.page_tables, kernel_mapper.tables);
	EXPECT_EQ(pagetree_node_bytes(), 0);
}

static uint64_t family_simulated(uint64_t seed)
{
	struct test_random random = {.state = seed * 77};
	test_kernel(
		&(struct host_config){.cpus = 4,
				      .interleave = 2 + (unsigned)test_random_below(&random, 20),
				      .spurious = 50,
				      .ram_dirty = true,
				      .asid_bits = (unsigned)test_random_below(&random, 2) * 4,
				      .seed = seed});
	family_lives();
	return passed();
}

TEST(aspace_forks_on_four_cpus_simulated)
{
	each_seed(family_simulated, 24);
}

static uint64_t family_threads(uint64_t seed)
{
	test_kernel(&(struct host_config){
		.cpus = 4, .mode = HOST_THREADS, .asid_bits = 8, .seed = seed});
	family_lives();
	return passed();
}

TEST(aspace_forks_on_four_cpus_threads)
{
	each_seed(family_threads, 4);
}

static uint64_t four_simulated(uint64_t seed)
{
	struct test_random random = {.state = seed * 77};
	test_kernel(
		&(struct host_config){.cpus = 4,
				      .interleave = 3 + (unsigned)test_random_below(&random, 20),
				      .spurious = 50,
				      .asid_bits = (unsigned)test_random_below(&random, 2) * 4,
				      .seed = seed});
	all_hammer();
	return passed();
}

TEST(aspace_four_cpus_simulated)
{
	each_seed(four_simulated, 12);
}

static uint64_t four_threads(uint64_t seed)
{
	test_kernel(&(struct host_config){.cpus = 4, .mode = HOST_THREADS, .asid_bits = 8});
	all_hammer();
	return passed();
}

TEST(aspace_four_cpus_threads)
{
	each_seed(four_threads, 3);
}
