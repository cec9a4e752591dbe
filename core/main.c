/*
 * The boot, portable part, on one screen:
 *
 *   boot/<arch>/entry.S -> boot_info -> core_boot_main:
 *     platform.early          vectors, geometry, console
 *     random numbers          and with them the stack protector's word
 *     init: boot .. core      memory, interrupts, timers, scheduler, the other CPUs
 *     thread "boot"           init: late, runtime: filesystem, drivers, first program
 *     idle                    what ran until here is CPU 0's idle thread
 */
#include "core_private.h"
#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/profile.h>
#include <core/random.h>
#include <core/time.h>
#include <core/upcalls.h>
#include <core/wait.h>
#include <hal/upcall.h>

static struct task boot_task = {.name = "boot", .preempt_count = 1};
static struct boot_info *boot;

static enum kerr init_boot(const struct boot_info *info)
{
	console_record("begin", ""); /* what firmware wrote ends here */
	log_info("Tern on %s (%s), %s, %zu CPU%s", hal.name, info->machine, info->protocol,
		 info->cpu_count, info->cpu_count == 1 ? "" : "s");
	log_info("command line: %s", info->command_line);
	if (*profile_name())
		log_info("profile: %s", profile_name());
	else if (cmdline_has("profile"))
		log_warn("profile: there are minimal, desktop, server, realtime, debug");
	return KERR_OK;
}

static const struct init_ops boot_ops = {.init = init_boot};
INIT_SUBSYSTEM(boot, .phase = INIT_BOOT, .priority = 0, .provides = INIT_CONSOLE, .ops = &boot_ops);

static enum kerr init_cpu(const struct boot_info *info)
{
	cpu_boot(info);
	return KERR_OK;
}

static const struct init_ops cpu_ops = {.init = init_cpu};
INIT_SUBSYSTEM(cpu, .phase = INIT_BOOT, .priority = 10, INIT_DEPENDS("boot"), .ops = &cpu_ops);

static enum kerr init_debug(const struct boot_info *info)
{
	return KERR_OK; /* symbols and the panic page need nothing */
}

static const struct init_ops debug_ops = {.init = init_debug};
INIT_SUBSYSTEM(debug, .phase = INIT_BOOT, .priority = 20, INIT_DEPENDS("boot"),
	       .provides = INIT_DEBUG, .ops = &debug_ops);

static enum kerr init_interrupts(const struct boot_info *info)
{
	return hal.platform.init(boot);
}

static const struct init_ops interrupts_ops = {.init = init_interrupts};
INIT_SUBSYSTEM(interrupts, .phase = INIT_EARLY, .priority = 10, .requires = INIT_MEMORY | INIT_HEAP,
	       INIT_DEPENDS("memory"), .provides = INIT_INTERRUPTS, .ops = &interrupts_ops);

static enum kerr init_timers(const struct boot_info *info)
{
	log_time_ready();
	time_set_wall_at_boot(info->wall_seconds);
	nsec_t now = time_now();
	random_mix(&now, sizeof(now));
	return KERR_OK;
}

static const struct init_ops timers_ops = {.init = init_timers};
INIT_SUBSYSTEM(timers, .phase = INIT_EARLY, .priority = 20, INIT_DEPENDS("interrupts"),
	       .requires = INIT_INTERRUPTS, .provides = INIT_TIMERS, .ops = &timers_ops);

uint64_t boot_time_entered(void)
{
	return boot->entered;
}

static _Atomic nsec_t user_started;

uint64_t boot_time_user(void)
{
	return atomic_load_explicit(&user_started, memory_order_relaxed);
}

void boot_user_starts(void)
{
	nsec_t never = 0;

	atomic_compare_exchange_strong(&user_started, &never, hal.timer.now());
}

static void boot_thread(void *arg)
{
	sleep_check_begin();
	init_run(INIT_RUNTIME, boot);
}

/* Not inlined: its callers are given back when the boot has ended, and it goes on as the idle
 * thread. */
__attribute__((no_stack_protector)) NOINLINE void core_boot_main(struct boot_info *info)
{
	boot = info;
	hal.cpu.set_current(&boot_task.hal);
	cmdline_set(info->command_line);
	log_configure();
	hal.platform.early(info);
	random_seed_at_boot(info);
	stack_guard_set(random_u64());
	init_run(INIT_CORE, info);
	enum kerr err = upcalls.spawn("boot", boot_thread, nullptr);
	if (err != KERR_OK)
		panic("boot: no thread for the rest of the boot: %s", kerr_name(err));
	upcalls.run_idle();
}
