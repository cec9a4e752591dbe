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
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
};
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256

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
