/* Futexes (futex(2)): sleeping on a word of user memory. */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>
#include <stdint.h>

#define FUTEX_ANY_BIT UINT32_MAX

/* Sleeps if *addr is `value` until a wake whose bitset meets `bits`. `shared`: the key is the memory
 * behind the address, otherwise the address in this address space. KERR_AGAIN: another value,
 * TIMEDOUT, INTR, FAULT, INVAL (misaligned). */
enum kerr futex_wait(vaddr_t addr, bool shared, uint32_t value, uint32_t bits, nsec_t deadline);
/* Wakes up to `count`; *woken gets how many. */
enum kerr futex_wake(vaddr_t addr, bool shared, uint32_t count, uint32_t bits, uint32_t *woken);
/* Wakes up to `wake`, moves up to `requeue` others to `to`. With `compare`: KERR_AGAIN unless *addr
 * is `value`. *moved gets the number woken and (only with `compare`) moved. */
enum kerr futex_requeue(vaddr_t addr, vaddr_t to, bool shared, uint32_t wake, uint32_t requeue,
			bool compare, uint32_t value, uint32_t *moved);
/* The word as a lock with priority inheritance (FUTEX_LOCK_PI). `try`: AGAIN if it is taken. DEADLOCK: by the
 * caller, or by somebody who waits for it; SRCH: its owner does not exist; PERM: it is a kernel thread;
 * TIMEDOUT, INTR, FAULT, INVAL, NOMEM. */
enum kerr futex_lock_pi(vaddr_t addr, bool shared, nsec_t deadline, bool try);
/* PERM: it is not the caller's; INVAL: the word and who waits do not fit. */
enum kerr futex_unlock_pi(vaddr_t addr, bool shared);
/* As futex_wait, then as futex_lock_pi(to) once futex_cmp_requeue_pi has moved it there. */
enum kerr futex_wait_requeue_pi(vaddr_t addr, vaddr_t to, bool shared, uint32_t value,
				uint32_t bits, nsec_t deadline);
/* The first of `addr` gets the lock `to` if that is free; it and up to `requeue` others else queue there.
 * `wake` must be 1. AGAIN: *addr is not `value`; *moved gets how many came along. */
enum kerr futex_cmp_requeue_pi(vaddr_t addr, vaddr_t to, bool shared, uint32_t wake,
			       uint32_t requeue, uint32_t value, uint32_t *moved);
struct thread;
/* The priority of `t` is another one: so may be that of who it waits for. */
void futex_pi_priority_changed(struct thread *t);
/* FUTEX_WAKE_OP: does `op` on *second, wakes `wake` on `addr` and, if the old value passes, `wake2`
 * on `second`. */
enum kerr futex_wake_op(vaddr_t addr, vaddr_t second, bool shared, uint32_t wake, uint32_t wake2,
			uint32_t op, uint32_t *woken);
