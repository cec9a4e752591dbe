/* futex(2) and robust lists. */
#include "gate.h"
#include <core/time.h>
#include <exec/futex.h>

enum {
	FUTEX_WAIT,
	FUTEX_WAKE,
	FUTEX_FD,
	FUTEX_REQUEUE,
	FUTEX_CMP_REQUEUE,
	FUTEX_WAKE_OP,
	FUTEX_LOCK_PI,
	FUTEX_UNLOCK_PI,
	FUTEX_TRYLOCK_PI,
	FUTEX_WAIT_BITSET,
	FUTEX_WAKE_BITSET,
	FUTEX_WAIT_REQUEUE_PI,
	FUTEX_CMP_REQUEUE_PI,
	FUTEX_LOCK_PI2,
};
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256

/* The absolute time at `timeout` on the wall clock or the monotonic one; NEVER if it is null. */
static enum kerr deadline_read(vaddr_t timeout, bool wall, nsec_t *out)
{
	nsec_t time;

	*out = NSEC_NEVER;
	if (!timeout)
		return KERR_OK;
	enum kerr err = timespec_read(timeout, &time);
	if (err != KERR_OK)
		return err;
	*out = time;
	if (wall) {
		nsec_t now = time_wall();
		*out = time > now ? deadline_after(time - now) : 0;
	}
	return KERR_OK;
}

static NOINLINE long pi_call(vaddr_t addr, unsigned long op, uint32_t value, vaddr_t timeout,
			     vaddr_t second, uint32_t value3)
{
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	unsigned command = op & 127;
	nsec_t deadline;
	uint32_t count = 0;
	enum kerr err;

	if ((op & FUTEX_CLOCK_REALTIME) && command != FUTEX_LOCK_PI2 &&
	    command != FUTEX_WAIT_REQUEUE_PI)
		return KERR_NOSYS;
	switch (command) {
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(addr, shared);
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(addr, shared, NSEC_NEVER, true);
	case FUTEX_CMP_REQUEUE_PI:
		if ((int)value < 0 || (int)timeout < 0)
			return KERR_INVAL;
		err = futex_cmp_requeue_pi(addr, second, shared, value, (uint32_t)timeout, value3,
					   &count);
		return err == KERR_OK ? (long)count : err;
	default:
		break;
	}
	err = deadline_read(timeout, command == FUTEX_LOCK_PI || (op & FUTEX_CLOCK_REALTIME),
			    &deadline);
	if (err != KERR_OK)
		return err;
	err = command == FUTEX_WAIT_REQUEUE_PI
		      ? futex_wait_requeue_pi(addr, second, shared, value, FUTEX_ANY_BIT, deadline)
		      : futex_lock_pi(addr, shared, deadline, false);
	return err == KERR_INTR ? KERR_RESTART_ALWAYS : err;
}

static long wait(vaddr_t addr, unsigned long op, uint32_t value, vaddr_t timeout, uint32_t bits)
{
	struct thread *t = current_thread();
	bool relative = (op & 127) == FUTEX_WAIT;
	nsec_t deadline = NSEC_NEVER, time;

	if (timeout) {
		enum kerr err = timespec_read(timeout, &time);
		if (err != KERR_OK)
			return err;
		if (relative) {
			deadline = t->restart_deadline ? t->restart_deadline : deadline_after(time);
		} else {
			deadline = time;
			if (op & FUTEX_CLOCK_REALTIME) {
				nsec_t wall = time_wall();
				deadline = time > wall ? deadline_after(time - wall) : 0;
			}
		}
	}
	t->restart_deadline = 0;
	enum kerr err = futex_wait(addr, !(op & FUTEX_PRIVATE_FLAG), value, bits, deadline);
	if (err != KERR_INTR)
		return err;
	if (relative && timeout) {
		t->restart_deadline = deadline;
		return KERR_RESTART_BLOCK;
	}
	return KERR_RESTART;
}

SYSCALL(futex)
{
	vaddr_t addr = a0, second = a4;
	unsigned long op = a1;
	uint32_t value = (uint32_t)a2, count = 0;
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	enum kerr err;

	switch (op & 127) {
	case FUTEX_WAIT:
		return wait(addr, op, value, a3, FUTEX_ANY_BIT);
	case FUTEX_WAIT_BITSET:
		return wait(addr, op, value, a3, (uint32_t)a5);
	case FUTEX_WAKE:
		err = futex_wake(addr, shared, value, FUTEX_ANY_BIT, &count);
		break;
	case FUTEX_WAKE_BITSET:
		err = futex_wake(addr, shared, value, (uint32_t)a5, &count);
		break;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		if ((int)value < 0 || (int)a3 < 0)
			return KERR_INVAL;
		err = futex_requeue(addr, second, shared, value, (uint32_t)a3,
				    (op & 127) == FUTEX_CMP_REQUEUE, (uint32_t)a5, &count);
		break;
	case FUTEX_WAKE_OP:
		err = futex_wake_op(addr, second, shared, value, (uint32_t)a3, (uint32_t)a5,
				    &count);
		break;
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_UNLOCK_PI:
	case FUTEX_TRYLOCK_PI:
	case FUTEX_WAIT_REQUEUE_PI:
	case FUTEX_CMP_REQUEUE_PI:
		return pi_call(addr, op, value, a3, second, (uint32_t)a5);
	default:
		return KERR_NOSYS;
	}
	return err == KERR_OK ? (long)count : err;
}

SYSCALL(set_robust_list)
{
	if (a1 != 24)
		return KERR_INVAL;
	current_thread()->robust_list = a0;
	return KERR_OK;
}

SYSCALL(get_robust_list)
{
	uint64_t head, size = 24;
	enum kerr err = KERR_SRCH;

	rcu_read_lock();
	struct thread *t = (int)a0 ? thread_find((int)a0) : current_thread();
	if (t && t->process == current_process()) {
		head = t->robust_list;
		err = KERR_OK;
	} else if (t) {
		err = KERR_PERM;
	}
	rcu_read_unlock();
	if (err == KERR_OK)
		err = user_write(a1, &head, sizeof(head));
	if (err == KERR_OK)
		err = user_write(a2, &size, sizeof(size));
	return err;
}
