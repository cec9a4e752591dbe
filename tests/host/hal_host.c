/*
 * hal/host itself: RAM and boot information, the TLB model (a stale translation is used and found, a
 * flush ends it), kernel addresses as real mappings, CPUs in both modes, user programs.
 */
#include "machine.h"

#include <hal/image.h>
#include <host/program.h>
#include <stdlib.h>

/* ---- Tables made by hand --------------------------------------------------------------------- */

static paddr_t next_frame = 0x400000; /* behind image and boot information */

static paddr_t frame_take(void)
{
	paddr_t pa = next_frame;
	next_frame += PAGE_SIZE;
	return pa;
}

static pte_t *slot(paddr_t root, vaddr_t va, unsigned level)
{
	for (unsigned l = hal.mmu.geometry()->levels - 1u;; l--) {
		pte_t *entry = (pte_t *)host_ram(root) + (va >> (12 + 9 * l) & 511);
		if (l == level)
			return entry;
		if (hal.mmu.decode(*entry, l).kind == PTE_NONE)
			*entry = hal.mmu.table(frame_take());
		root = hal.mmu.decode(*entry, l).address;
	}
}

static void map(paddr_t root, vaddr_t va, paddr_t pa, map_flags_t flags)
{
	*slot(root, va, 0) = hal.mmu.leaf(pa, flags, 0);
	hal.mmu.publish();
}

static bool reaches(vaddr_t va, enum trap_access access, paddr_t pa)
{
	struct host_translation t = host_translate(0, va, access, true);
	return t.ok && t.pa == pa;
}

static paddr_t machine_with_root(const struct host_config *config, unsigned asid)
{
	test_machine(config);
	paddr_t root = frame_take();
	bool on = hal.cpu.irq_save();
	hal.mmu.activate(root, asid);
	hal.cpu.irq_restore(on);
	return root;
}

#define VA 0x10000000ull
#define HOST_TEST_LARGE 0x1200000ull /* 2 MiB aligned RAM */

TEST(host_boot_info)
{
	struct boot_info *info = test_machine(&(struct host_config){
		.cpus = 3, .command_line = "quiet", .initrd = "hello", .initrd_size = 5});
	uint64_t usable = 0;

	EXPECT_STR(info->command_line, "quiet");
	EXPECT_EQ(info->cpu_count, 3);
	EXPECT_EQ(info->module_count, 1);
	EXPECT_MEM((void *)(info->direct_map + info->modules[0].start), "hello", 5);
	for (size_t i = 0; i < info->region_count; i++) {
		struct boot_region *r = &info->regions[i];
		if (r->kind != BOOT_MEM_USABLE)
			continue;
		usable += r->end - r->start;
		*(volatile char *)(info->direct_map + r->start) += 1;
		*(volatile char *)(info->direct_map + r->end - 1) += 1;
	}
	EXPECT_EQ(usable, 64 << 20);
	EXPECT_EQ((vaddr_t)__image_start, info->image_base);
	EXPECT_EQ(__image_end - __image_start, info->image_end - info->image_start);
	EXPECT(!host_ram(0));
	EXPECT(!host_ram(0xf80000));
}

TEST(host_tlb_keeps_until_flush)
{
	paddr_t root = machine_with_root(&(struct host_config){.asid_bits = 8}, 5),
		page = frame_take();

	EXPECT(!host_translate(0, VA, TRAP_READ, true).ok);
	map(root, VA, page, MAP_USER_WRITE);
	EXPECT(reaches(VA, TRAP_WRITE, page));
	*slot(root, VA, 0) = hal.mmu.leaf(page, MAP_USER_READ, 0);
	EXPECT(reaches(VA, TRAP_WRITE, page));
	struct host_stale stale;
	EXPECT_EQ(host_tlb_check(&stale), 1);
	EXPECT_EQ(stale.va, VA);
	hal.mmu.flush(5, VA, 1, false);
	EXPECT(!reaches(VA, TRAP_WRITE, page));
	EXPECT(reaches(VA, TRAP_READ, page));
	EXPECT_EQ(host_tlb_check(nullptr), 0);
	/* Another address space's flush does not help; a dropped one neither. */
	*slot(root, VA, 0) = (pte_t){};
	hal.mmu.flush(6, VA, 1, true);
	EXPECT_EQ(host_tlb_check(nullptr), 1);
	host_drop_flush(1);
	hal.mmu.flush(5, VA, 1, true);
	EXPECT_EQ(host_tlb_check(nullptr), 1);
	hal.mmu.flush(5, VA, 1, true);
	EXPECT_EQ(host_tlb_check(nullptr), 0);
}

TEST(host_tlb_keeps_tables_without_the_flag)
{
	paddr_t root = machine_with_root(&(struct host_config){.asid_bits = 8}, 5),
		page = frame_take();

	map(root, VA, page, MAP_USER_READ);
	EXPECT(reaches(VA, TRAP_READ, page));
	*slot(root, VA, 1) = (pte_t){};
	hal.mmu.flush(5, VA, 1, false);
	EXPECT(reaches(VA, TRAP_READ, page));
	EXPECT(host_tlb_check(nullptr) > 0);
	hal.mmu.flush(5, VA, 1, true);
	EXPECT(!reaches(VA, TRAP_READ, page));
	EXPECT_EQ(host_tlb_check(nullptr), 0);
}

TEST(host_tlb_forgets_nothing_there_by_publish)
{
	paddr_t root = machine_with_root(&(struct host_config){.asid_bits = 8}, 5),
		page = frame_take();

	EXPECT(!reaches(VA, TRAP_READ, page));
	*slot(root, VA, 0) = hal.mmu.leaf(page, MAP_USER_READ, 0);
	EXPECT(!reaches(VA, TRAP_READ, page));
	hal.mmu.publish();
	EXPECT(reaches(VA, TRAP_READ, page));
}

TEST(host_access_bits)
{
	paddr_t root = machine_with_root(&(struct host_config){.asid_bits = 8}, 5),
		page = frame_take();
	map_flags_t bare = MAP_PRESENT | MAP_USER | MAP_WRITABLE;

	map(root, VA, page, bare);
	EXPECT(reaches(VA, TRAP_READ, page));
	EXPECT_EQ(hal.mmu.decode(*slot(root, VA, 0), 0).flags, bare | MAP_ACCESSED);
	EXPECT(reaches(VA, TRAP_WRITE, page));
	EXPECT_EQ(hal.mmu.decode(*slot(root, VA, 0), 0).flags, bare | MAP_ACCESSED | MAP_DIRTY);
}

TEST(host_access_bits_by_software)
{
	paddr_t root = machine_with_root(
		&(struct host_config){.asid_bits = 8, .software_access = true}, 5);
	paddr_t page = frame_take();
	map_flags_t bare = MAP_PRESENT | MAP_USER | MAP_WRITABLE;

	map(root, VA, page, bare);
	EXPECT(!reaches(VA, TRAP_READ, page));
	map(root, VA, page, bare | MAP_ACCESSED);
	hal.mmu.flush(5, VA, 1, false);
	EXPECT(reaches(VA, TRAP_READ, page));
	EXPECT(!reaches(VA, TRAP_WRITE, page));
}

TEST(host_large_leaves_and_five_levels)
{
	paddr_t root = machine_with_root(&(struct host_config){.asid_bits = 8, .levels = 5}, 5);

	*slot(root, VA, 1) = hal.mmu.leaf(HOST_TEST_LARGE, MAP_USER_READ, 1);
	EXPECT(reaches(VA + 0x12345, TRAP_READ, HOST_TEST_LARGE + 0x12345));
	EXPECT(hal.mmu.decode(*slot(root, VA, 1), 1).flags & MAP_HUGE);
	hal.mmu.flush(5, VA + 0x12000, 1, false);
	*slot(root, VA, 1) = (pte_t){};
	EXPECT(!reaches(VA + 0x12345, TRAP_READ, HOST_TEST_LARGE + 0x12345));
}

/* ---- Kernel addresses -------------------------------------------------------------------------- */

TEST(host_kernel_addresses_are_pointers)
{
	paddr_t root = machine_with_root(nullptr, HAL_ASID_NONE), a = frame_take(),
		b = frame_take();
	vaddr_t va = hal.mmu.geometry()->kernel_start + 0x3000000000;
	volatile uint64_t *p = (uint64_t *)va;

	map(root, va, a, MAP_KERNEL_WRITE);
	*p = 42;
	EXPECT_EQ(*(uint64_t *)host_ram(a), 42);
	map(root, va, b, MAP_KERNEL_WRITE);
	EXPECT_EQ(*p, 42);
	hal.mmu.flush(HAL_ASID_NONE, va, 1, false);
	EXPECT_EQ(*p, 0);
	*(uint64_t *)host_ram(b) = 43;
	EXPECT_EQ(*p, 43);
}

TEST_DIES(host_kernel_read_only_page, "fatal trap")
{
	paddr_t root = machine_with_root(nullptr, HAL_ASID_NONE);
	vaddr_t va = hal.mmu.geometry()->kernel_start + 0x3000000000;

	map(root, va, frame_take(), MAP_KERNEL_READ);
	EXPECT_EQ(*(volatile char *)va, 0);
	*(volatile char *)va = 1;
}

TEST_DIES(host_null_pointer, "fatal trap")
{
	test_machine(nullptr);
	*(volatile int *)8 = 1;
}

/* ---- CPUs -------------------------------------------------------------------------------------- */

static struct spin {
	_Atomic uint32_t locked;
	uint64_t count;
} spin;

static void count_under_lock(cpu_t cpu, void *arg)
{
	for (int i = 0; i < 2000; i++) {
		while (atomic_exchange(&spin.locked, 1))
			hal.cpu.relax();
		uint64_t seen = spin.count;
		hal.cpu.current();
		spin.count = seen + 1;
		atomic_store(&spin.locked, 0);
		EXPECT_EQ(hal.cpu.current()->cpu, cpu);
	}
}

TEST(host_cpus_simulated)
{
	test_machine(&(struct host_config){.cpus = 4, .interleave = 3, .seed = test_seed()});
	test_on_all_cpus(count_under_lock, nullptr);
	test_on_all_cpus(count_under_lock, nullptr);
	EXPECT_EQ(spin.count, 4 * 2000 * 2);
	EXPECT(host_counters().cpu_changes > 1000);
}

TEST(host_cpus_threads)
{
	test_machine(&(struct host_config){.cpus = 4, .mode = HOST_THREADS});
	test_on_all_cpus(count_under_lock, nullptr);
	test_on_all_cpus(count_under_lock, nullptr);
	EXPECT_EQ(spin.count, 4 * 2000 * 2);
}

/* The same seed, the same run. */
static uint64_t simulate(uint64_t seed)
{
	test_machine(&(struct host_config){.cpus = 4, .interleave = 3, .seed = seed});
	test_on_all_cpus(count_under_lock, nullptr);
	struct host_counters c = host_counters();
	return hal.timer.now() * 31 + c.cpu_changes * 17 + c.points;
}

TEST(host_simulation_repeats)
{
	uint64_t results[3];

	for (int i = 0; i < 3; i++)
		results[i] = test_in_child(simulate, i == 2 ? 8 : 7);
	EXPECT_EQ(results[0], results[1]);
	EXPECT(results[0] != results[2]);
}

TEST_DIES(host_deadlock_is_named, "deadlock")
{
	test_machine(nullptr);
	hal.cpu.irq_save();
	hal.cpu.wait();
}

TEST(host_virtual_time_jumps)
{
	test_machine(nullptr);
	nsec_t before = hal.timer.now();
	hal.cpu.irq_save();
	hal.timer.arm(before + 3600 * NSEC_PER_SEC);
	hal.cpu.wait();
	EXPECT(hal.timer.now() - before >= 3600 * NSEC_PER_SEC);
	EXPECT(hal.timer.now() - before < 3601 * NSEC_PER_SEC);
}

/* ---- A user program ------------------------------------------------------------------------------ */

static const struct host_instruction program[] = {
	P_LI(R1, 0),          P_LI(R2, 10),     P_ADD(R1, R1, R2), /* 2: loop */
	P_ADDI(R2, R2, -1),   P_LI(R3, 0),      P_BNE(R2, R3, -3),
	P_LI(R4, 0x20000000), P_ST(R1, R4, 16), P_LD(R0, R4, 16),
	P_LI(R7, 93),         P_SYSCALL,        P_ILLEGAL,
};

static paddr_t program_root;

static bool demand(struct trap *trap)
{
	EXPECT(trap->from_user);
	EXPECT(trap->access == TRAP_WRITE ? !trap->present : true);
	map(program_root, trap->addr & PAGE_MASK, frame_take(), MAP_USER_WRITE);
	return true;
}

static void program_exit(struct hal_frame *frame)
{
	struct hal_syscall call = hal.user.syscall(frame);
	_Exit(call.number == 93 && call.args[0] == 55 ? 0 : 1);
}

TEST(host_user_program)
{
	static struct task thread;
	uintptr_t stack = (uintptr_t)aligned_alloc(4096, 65536) + 65536;
	paddr_t code = frame_take();

	program_root = machine_with_root(&(struct host_config){.asid_bits = 8}, 5);
	memcpy(host_ram(code), program, sizeof(program));
	map(program_root, VA, code, MAP_USER_CODE);
	test_upcalls.page_fault = demand;
	test_upcalls.syscall = program_exit;
	thread.hal.stack_top = stack;
	hal.cpu.irq_save();
	hal.cpu.set_current(&thread.hal);
	struct hal_frame *frame = (struct hal_frame *)(stack - hal.user.info()->frame_size);
	hal.user.frame_init(frame, VA, 0);
	hal.user.enter(frame);
}
