/*
 * Job control: which session a terminal belongs to, which of its groups is in the foreground.
 *
 * A session and its terminal point at each other; the terminal's mutex guards both pointers, so
 * taking or losing a terminal is one critical section. A session pointer of the calling process
 * is stable, because only the process itself leaves its session.
 */
#include "tty.h"

#include <exec/domain.h>
#include <exec/signal.h>
#include <mm/user_copy.h>

#define TIOCSCTTY 0x540e
#define TIOCGPGRP 0x540f
#define TIOCSPGRP 0x5410
#define TIOCNOTTY 0x5422
#define TIOCGSID 0x5429

struct tty *tty_of_session(struct session *s)
{
	return atomic_load(&s->tty);
}

void tty_signal_foreground(struct tty *t, int signo)
{
	int group = READ_ONCE(t->foreground);

	if (group > 0)
		process_group_signal(group, signo);
}

enum kerr tty_job_check(struct tty *t, int signo)
{
	struct process *p = current_process();

	if (READ_ONCE(t->session) != p->session || READ_ONCE(t->foreground) == p->pgid ||
	    READ_ONCE(t->foreground) == 0)
		return KERR_OK;
	if (signal_blocked_or_ignored(signo))
		return signo == SIGTTIN ? KERR_IO : KERR_OK;
	if (process_group_orphaned(p->pgid))
		return KERR_IO;
	process_group_signal(p->pgid, signo);
	return KERR_RESTART;
}

static enum kerr claim_locked(struct tty *t, bool steal)
{
	struct process *p = current_process();

	if (t->session == p->session)
		return KERR_OK;
	if (p->session->sid != p->pid || atomic_load(&p->session->tty))
		return KERR_PERM;
	if (t->session) {
		if (!steal || !process_capable(TERN_CAP_DEVICES, LINUX_CAP_SYS_ADMIN))
			return KERR_PERM;
		atomic_store(&t->session->tty, nullptr);
	}
	t->session = p->session;
	t->foreground = p->pgid;
	atomic_store(&p->session->tty, t);
	return KERR_OK;
}

void tty_claim(struct tty *t)
{
	mutex_lock(&t->lock);
	if (!t->session) {
		enum kerr err = claim_locked(t, false);
		(void)err; /* only a leader without a terminal takes it; others just have it open */
	}
	mutex_unlock(&t->lock);
}

/* The leader of `s` has ended, or gives the terminal up. */
static void release_session(struct session *s)
{
	struct tty *t = tty_of_session(s);

	if (!t)
		return;
	mutex_lock(&t->lock);
	int group = 0;
	if (t->session == s) {
		group = t->foreground;
		t->session = nullptr;
		t->foreground = 0;
		atomic_store(&s->tty, nullptr);
	}
	mutex_unlock(&t->lock);
	if (group > 0) {
		process_group_signal(group, SIGHUP);
		process_group_signal(group, SIGCONT);
	}
}

static enum kerr set_foreground(struct tty *t, vaddr_t argument)
{
	struct process *p = current_process();
	int group;
	enum kerr err = tty_job_check(t, SIGTTOU);

	if (err == KERR_OK)
		err = user_read(&group, argument, sizeof(group));
	if (err != KERR_OK)
		return err;
	if (group < 0)
		return KERR_INVAL;
	if (!process_group_in_session(group, p->session))
		return KERR_PERM;
	mutex_lock(&t->lock);
	if (t->session == p->session)
		t->foreground = group;
	else
		err = KERR_NOTTY;
	mutex_unlock(&t->lock);
	return err;
}

enum kerr tty_job_ioctl(struct tty *t, unsigned command, vaddr_t argument, long *result)
{
	struct process *p = current_process();
	bool own = READ_ONCE(t->session) == p->session;
	enum kerr err;
	int value;

	switch (command) {
	case TIOCSCTTY:
		mutex_lock(&t->lock);
		err = claim_locked(t, argument == 1);
		mutex_unlock(&t->lock);
		return err;
	case TIOCNOTTY:
		if (!own)
			return KERR_NOTTY;
		if (p->session->sid == p->pid)
			release_session(p->session);
		return KERR_OK;
	case TIOCGPGRP:
		if (!own)
			return KERR_NOTTY;
		value = READ_ONCE(t->foreground);
		return user_write(argument, &value, sizeof(value));
	case TIOCSPGRP:
		return own ? set_foreground(t, argument) : KERR_NOTTY;
	case TIOCGSID:
		if (!own)
			return KERR_NOTTY;
		value = p->session->sid;
		return user_write(argument, &value, sizeof(value));
	}
	return KERR_NOTTY;
}

void tty_job_init(void)
{
	process_session_end_register(release_session);
}
