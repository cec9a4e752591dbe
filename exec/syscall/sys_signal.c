/* Signals: signal(7). Sets are 64 bits; the size argument must say 8. */
#include "gate.h"
#include <core/time.h>
#include <core/upcalls.h>
#include <exec/signal.h>

#define SIGSET_SIZE 8
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2

/* ---- actions and masks ---- */

/* struct sigaction as the kernel sees it: handler, flags, [restorer,] mask. */
static enum kerr action_read(vaddr_t from, struct signal_action *out)
{
	uint64_t words[4];
	unsigned count = abi->action_restorer ? 4 : 3;
	enum kerr err = user_read(words, from, count * sizeof(uint64_t));

	if (err != KERR_OK)
		return err;
	*out = (struct signal_action){
		.handler = words[0],
		.flags = words[1],
		.restorer = abi->action_restorer ? words[2] : 0,
		.mask = words[count - 1],
	};
	if (!abi->action_restorer)
		out->flags &= ~(uint64_t)SA_RESTORER;
	return KERR_OK;
}

static enum kerr action_write(vaddr_t to, const struct signal_action *action)
{
	uint64_t words[4] = {action->handler, action->flags, action->restorer, action->mask};

	if (abi->action_restorer)
		return user_write(to, words, sizeof(words));
	words[2] = action->mask;
	return user_write(to, words, 3 * sizeof(uint64_t));
}

SYSCALL(rt_sigaction)
{
	struct signal_action set, old;
	enum kerr err = a3 == SIGSET_SIZE ? KERR_OK : KERR_INVAL;

	if (err == KERR_OK && a1)
		err = action_read(a1, &set);
	if (err == KERR_OK)
		err = signal_action((int)a0, a1 ? &set : nullptr, &old);
	return err == KERR_OK && a2 ? action_write(a2, &old) : err;
}

SYSCALL(rt_sigprocmask)
{
	uint64_t old = current_thread()->signal_mask, set;

	if (a3 != SIGSET_SIZE)
		return KERR_INVAL;
	if (a1) {
		enum kerr err = user_read(&set, a1, sizeof(set));
		if (err != KERR_OK)
			return err;
		switch ((int)a0) {
		case SIG_BLOCK:
			set |= old;
			break;
		case SIG_UNBLOCK:
			set = old & ~set;
			break;
		case SIG_SETMASK:
			break;
		default:
			return KERR_INVAL;
		}
		if (set != old)
			signal_set_mask(set);
	}
	return a2 ? user_write(a2, &old, sizeof(old)) : KERR_OK;
}

SYSCALL(rt_sigpending)
{
	uint64_t set = signal_pending_set();

	if (a1 > SIGSET_SIZE)
		return KERR_INVAL;
	return user_write(a0, &set, a1);
}

SYSCALL(rt_sigreturn)
{
	if (signal_return(thread_frame(current_thread())) != KERR_OK)
		signal_force(SIGSEGV, SI_KERNEL, 0);
	return RESULT_NONE;
}

SYSCALL(sigaltstack)
{
	struct {
		uint64_t base;
		int flags, pad;
		uint64_t size;
	} set = {}, old = {};
	struct thread *t = current_thread();
	vaddr_t sp = hal.user.regs(thread_frame(t)).sp;

	if (a0) {
		enum kerr err = user_read(&set, a0, sizeof(set));
		if (err != KERR_OK)
			return err;
	}
	old.base = t->alt_stack_base;
	old.size = t->alt_stack_size;
	old.flags = signal_alt_stack_flags(sp);
	if (a0) {
		enum kerr err = signal_set_alt_stack(set.base, set.size, set.flags, sp);
		if (err != KERR_OK)
			return err;
	}
	return a1 ? user_write(a1, &old, sizeof(old)) : KERR_OK;
}

/* ---- waiting ---- */

/* Until a signal comes that is not blocked. */
static long await_signal(void)
{
	while (upcalls.park(WAIT_SIGNAL, true, NSEC_NEVER) == KERR_OK)
		;
	return KERR_RESTART_NOHAND;
}

SYSCALL(pause)
{
	return await_signal();
}

SYSCALL(rt_sigsuspend)
{
	uint64_t mask;

	if (a1 != SIGSET_SIZE)
		return KERR_INVAL;
	enum kerr err = user_read(&mask, a0, sizeof(mask));
	if (err != KERR_OK)
		return err;
	signal_set_temporary_mask(mask);
	return await_signal();
}

SYSCALL(rt_sigtimedwait)
{
	struct signal_info info;
	uint8_t encoded[128];
	nsec_t span = NSEC_NEVER;
	uint64_t set;

	if (a3 != SIGSET_SIZE)
		return KERR_INVAL;
	enum kerr err = user_read(&set, a0, sizeof(set));
	if (err == KERR_OK && a2)
		err = timespec_read(a2, &span);
	if (err == KERR_OK)
		err = signal_wait(set, deadline_after(span), &info);
	if (err != KERR_OK)
		return err;
	if (a1) {
		signal_info_encode(&info, encoded);
		err = user_write(a1, encoded, sizeof(encoded));
		if (err != KERR_OK)
			return err;
	}
	return info.signo;
}

/* ---- sending ---- */

static struct signal_info from_me(int signo, int code)
{
	const struct process *p = current_process();

	return (struct signal_info){
		.signo = signo, .code = code, .pid = p->pid, .uid = p->credentials.uid};
}

SYSCALL(kill)
{
	struct signal_info info = from_me((int)a1, SI_USER);

	return signal_kill((int)a0, &info);
}

SYSCALL(tkill)
{
	struct signal_info info = from_me((int)a1, SI_TKILL);

	return signal_thread(0, (int)a0, &info);
}

SYSCALL(tgkill)
{
	struct signal_info info = from_me((int)a2, SI_TKILL);

	if ((int)a0 <= 0)
		return KERR_INVAL;
	return signal_thread((int)a0, (int)a1, &info);
}

/* The caller's siginfo; what only the kernel may say is refused for others. */
static enum kerr info_read(vaddr_t from, int signo, bool to_self, struct signal_info *out)
{
	uint8_t encoded[128];
	enum kerr err = user_read(encoded, from, sizeof(encoded));

	if (err != KERR_OK)
		return err;
	if (signo < 0 || signo > SIGNAL_COUNT)
		return KERR_INVAL;
	signal_info_decode(encoded, signo, out);
	return (out->code >= 0 || out->code == SI_TKILL) && !to_self ? KERR_PERM : KERR_OK;
}

SYSCALL(rt_sigqueueinfo)
{
	struct signal_info info;
	int pid = (int)a0;
	enum kerr err = info_read(a2, (int)a1, pid == current_process()->pid, &info);

	if (err != KERR_OK)
		return err;
	return pid <= 0 ? KERR_INVAL : signal_kill(pid, &info);
}

SYSCALL(rt_tgsigqueueinfo)
{
	struct signal_info info;
	int tgid = (int)a0;
	enum kerr err = info_read(a3, (int)a2, tgid == current_process()->pid, &info);

	if (err != KERR_OK)
		return err;
	return tgid <= 0 ? KERR_INVAL : signal_thread(tgid, (int)a1, &info);
}
