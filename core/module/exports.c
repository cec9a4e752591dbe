/*
 * What of core, mm and the library a module may use: log, memory, strings, locks, waiting, time. Added
 * to when a module needs it, never taken from without a reason: the list is a promise.
 */
#include <core/log.h>
#include <core/panic.h>
#include <core/random.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>
#include <lib/export.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/user_copy.h>

/* The library; the first four also because the compiler calls them by itself. */
EXPORT_SYMBOL(memcpy);
EXPORT_SYMBOL(memmove);
EXPORT_SYMBOL(memset);
EXPORT_SYMBOL(memcmp);
EXPORT_SYMBOL(memchr);
EXPORT_SYMBOL(strlen);
EXPORT_SYMBOL(strnlen);
EXPORT_SYMBOL(strcmp);
EXPORT_SYMBOL(strncmp);
EXPORT_SYMBOL(strchr);
EXPORT_SYMBOL(strlcpy);
EXPORT_SYMBOL(str_to_u64);
EXPORT_SYMBOL(format);
EXPORT_SYMBOL(vformat);
EXPORT_SYMBOL(kerr_name);

/* Log and stopping. */
EXPORT_SYMBOL(log_write);
EXPORT_SYMBOL(core_panic);
EXPORT_SYMBOL(assert_failed);

/* Memory. */
EXPORT_SYMBOL(heap_alloc);
EXPORT_SYMBOL(heap_alloc_zeroed);
EXPORT_SYMBOL(heap_alloc_aligned);
EXPORT_SYMBOL(heap_realloc);
EXPORT_SYMBOL(heap_free);
EXPORT_SYMBOL(frame_alloc);
EXPORT_SYMBOL(frame_free);
EXPORT_SYMBOL(user_read);
EXPORT_SYMBOL(user_write);

/* Locks and waiting. */
EXPORT_SYMBOL(preempt_check);
EXPORT_SYMBOL(spin_wait);
#if defined(TERN_DEBUG)
EXPORT_SYMBOL(spin_debug_acquired);
EXPORT_SYMBOL(spin_debug_check);
EXPORT_SYMBOL(spin_debug_release);
EXPORT_SYMBOL(spin_assert_held);
#endif
EXPORT_SYMBOL(mutex_init);
EXPORT_SYMBOL(waitq_init);
EXPORT_SYMBOL(wait_park);
EXPORT_SYMBOL(wake_all);
EXPORT_SYMBOL(wake_one);
EXPORT_SYMBOL(rcu_synchronize);

/* Time and chance. */
EXPORT_SYMBOL(time_wall);
EXPORT_SYMBOL(timer_set);
EXPORT_SYMBOL(timer_cancel);
EXPORT_SYMBOL(random_bytes);
