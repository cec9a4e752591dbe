/*
 * The HAL as a loaded module sees it: the few operations that inline functions of the kernel's headers
 * need. `hal` is a constant here, of exported functions (core/module/hal_calls.c), so the
 * compiler makes each use a direct call, and the kernel's own table stays folded away. Using any
 * other operation in a module does not compile.
 */
#pragma once

#include <hal/thread.h>

struct hal_thread *module_hal_current(void);
bool module_hal_irq_save(void);
void module_hal_irq_restore(bool on);
bool module_hal_irq_enabled(void);
void module_hal_relax(void);
nsec_t module_hal_now(void);

#if defined(TERN_MODULE)
[[maybe_unused]] static const struct {
	struct {
		struct hal_thread *(*current)(void);
		bool (*irq_save)(void);
		void (*irq_restore)(bool on);
		bool (*irq_enabled)(void);
		void (*relax)(void);
	} cpu;
	struct {
		nsec_t (*now)(void);
	} timer;
} hal = {
	.cpu = {module_hal_current, module_hal_irq_save, module_hal_irq_restore,
		module_hal_irq_enabled, module_hal_relax},
	.timer = {module_hal_now},
};
#endif
