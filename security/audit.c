/*
 * Refusals: counted for each capability, and logged if somebody wants to know.
 *
 * A refusal costs one atomic addition; the log lines (kernel.audit, /sys/kernel/security/audit,
 * audit= on the command line) are at most LINES a second, and the next second tells how many were
 * left out. Asking only to choose between two ways (is the caller above its limit?) counts as well.
 *
 * Any context; no locks but the log's.
 */
#include <core/cmdline.h>
#include <core/log.h>
#include <core/time.h>
#include <security/audit.h>

#define LINES 20

static _Atomic uint64_t denied[TERN_CAP_COUNT];
static _Atomic uint64_t gate_refusals, isolation_refusals;
static _Atomic bool wanted;

/* A second's lines: its number in the high half, how many in the low one. */
static _Atomic uint64_t window;

static bool may_log(void)
{
	uint64_t second = time_now() / NSEC_PER_SEC << 32, now, next;

	if (!atomic_load_explicit(&wanted, memory_order_relaxed))
		return false;
	now = atomic_load_explicit(&window, memory_order_relaxed);
	do {
		next = (now & ~(uint64_t)UINT32_MAX) == second ? now + 1 : second + 1;
	} while (!atomic_compare_exchange_weak_explicit(&window, &now, next, memory_order_relaxed,
							memory_order_relaxed));
	if (next == second + 1 && (uint32_t)now > LINES)
		log_info("audit: %u lines left out", (uint32_t)now - LINES);
	return (uint32_t)next <= LINES;
}

void audit_capability(enum tern_capability c, const struct audit_subject *s)
{
	atomic_fetch_add_explicit(&denied[c], 1, memory_order_relaxed);
	if (may_log())
		log_info("audit: %s[%d] in domain %s has no capability %s", s->name, s->pid,
			 s->domain->name, capability_name(c));
}

void audit_call(unsigned number, const struct audit_subject *s)
{
	atomic_fetch_add_explicit(&gate_refusals, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->domain->denied_calls, 1, memory_order_relaxed);
	if (may_log())
		log_info("audit: %s[%d] in domain %s: call %u refused", s->name, s->pid,
			 s->domain->name, number);
}

void audit_isolation(const char *what, const struct audit_subject *s)
{
	atomic_fetch_add_explicit(&isolation_refusals, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->domain->denied_access, 1, memory_order_relaxed);
	if (may_log())
		log_info("audit: %s[%d] in domain %s is kept apart: %s", s->name, s->pid,
			 s->domain->name, what);
}

uint64_t audit_denied(enum tern_capability c)
{
	return atomic_load_explicit(&denied[c], memory_order_relaxed);
}

void audit_figures(struct audit_figures *out)
{
	*out = (struct audit_figures){
		.logging = atomic_load_explicit(&wanted, memory_order_relaxed),
		.calls = atomic_load_explicit(&gate_refusals, memory_order_relaxed),
		.isolation = atomic_load_explicit(&isolation_refusals, memory_order_relaxed),
	};
}

void audit_set_logging(bool on)
{
	atomic_store_explicit(&wanted, on, memory_order_relaxed);
}

void audit_boot(void)
{
	audit_set_logging(cmdline_u64("audit", 0));
}
