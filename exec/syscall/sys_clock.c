/* Time: clocks, sleeping, interval timers. Clock numbers as in clock_gettime(2). */
#include "gate.h"
#include <core/time.h>
#include <exec/domain.h>
#include <exec/signal.h>

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_PROCESS_CPUTIME_ID 2
#define CLOCK_THREAD_CPUTIME_ID 3
#define CLOCK_MONOTONIC_RAW 4
#define CLOCK_REALTIME_COARSE 5
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_BOOTTIME 7
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#define CLOCK_TAI 11
#define TIMER_ABSTIME 1

static enum kerr clock_read(int clock, nsec_t *out)
{
	nsec_t user, system;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		*out = time_wall();
		return KERR_OK;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*out = time_now();
		return KERR_OK;
	case CLOCK_PROCESS_CPUTIME_ID:
		process_times(current_process(), &user, &system);
		*out = user + system;
		return KERR_OK;
	case CLOCK_THREAD_CPUTIME_ID:
		thread_times(current_thread(), &user, &system);
		*out = user + system;
		return KERR_OK;
	default:
		return KERR_INVAL;
	}
}

SYSCALL(clock_gettime)
{
	nsec_t now;
	enum kerr err = clock_read((int)a0, &now);

	return err == KERR_OK ? timespec_write(a1, now) : err;
}

SYSCALL(clock_getres)
{
	nsec_t now;
	enum kerr err = clock_read((int)a0, &now);

	return err == KERR_OK && a1 ? timespec_write(a1, 1) : err;
}

SYSCALL(clock_settime)
{
	nsec_t wall;
	enum kerr err = timespec_read(a1, &wall);

	if (err != KERR_OK)
		return err;
	if ((int)a0 != CLOCK_REALTIME)
		return KERR_INVAL;
	if (!process_capable(TERN_CAP_TIME_ADMIN, LINUX_CAP_SYS_TIME))
		return KERR_PERM;
	time_set_wall(wall);
	return KERR_OK;
}

SYSCALL(gettimeofday)
{
	const uint32_t no_zone[2] = {};
	enum kerr err = a0 ? timeval_write(a0, time_wall()) : KERR_OK;

	return err == KERR_OK && a1 ? user_write(a1, no_zone, sizeof(no_zone)) : err;
}

SYSCALL(settimeofday)
{
	nsec_t wall;

	if (!a0)
		return KERR_OK; /* only a time zone: there is none */
	enum kerr err = timeval_read(a0, &wall);
	if (err != KERR_OK)
		return err;
	if (!process_capable(TERN_CAP_TIME_ADMIN, LINUX_CAP_SYS_TIME))
		return KERR_PERM;
	time_set_wall(wall);
	return KERR_OK;
}

SYSCALL(time)
{
	int64_t seconds = (int64_t)(time_wall() / NSEC_PER_SEC);
	enum kerr err = a0 ? user_write(a0, &seconds, sizeof(seconds)) : KERR_OK;

	return err == KERR_OK ? seconds : err;
}

/* Sleeps until `deadline`, or until where an earlier, interrupted try of the same call would have. */
static long sleep_relative(nsec_t span, vaddr_t left_to)
{
	struct thread *t = current_thread();
	nsec_t deadline = t->restart_deadline ? t->restart_deadline : deadline_after(span);

	t->restart_deadline = 0;
	enum kerr err = thread_sleep_until(deadline, true);
	if (err != KERR_INTR)
		return err;
	if (left_to) {
		nsec_t now = time_now();
		err = timespec_write(left_to, deadline > now ? deadline - now : 0);
		if (err != KERR_OK)
			return err;
	}
	t->restart_deadline = deadline;
	return KERR_RESTART_BLOCK;
}

SYSCALL(nanosleep)
{
	nsec_t span;
	enum kerr err = timespec_read(a0, &span);

	return err == KERR_OK ? sleep_relative(span, a1) : err;
}

SYSCALL(clock_nanosleep)
{
	int clock = (int)a0;
	nsec_t time, now;
	enum kerr err = timespec_read(a2, &time);

	if (err != KERR_OK)
		return err;
	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return KERR_INVAL;
	err = clock_read(clock, &now);
	if (err != KERR_OK)
		return err;
	if (!(a1 & TIMER_ABSTIME))
		return sleep_relative(time, a3);
	/* Of a clock that is set while we sleep, the time that was left counts. */
	err = thread_sleep_until(time > now ? deadline_after(time - now) : 0, true);
	return err == KERR_INTR ? KERR_RESTART_NOHAND : err;
}

SYSCALL(restart_syscall)
{
	return KERR_INTR; /* calls are restarted by their own numbers */
}

/* ---- interval timers: ITIMER_REAL ---- */

#define ITIMER_REAL 0

static enum kerr itimerval_write(vaddr_t to, nsec_t left, nsec_t interval)
{
	enum kerr err = timeval_write(to, interval);

	return err == KERR_OK ? timeval_write(to + sizeof(struct user_timeval), left) : err;
}

SYSCALL(getitimer)
{
	nsec_t left, interval;

	if ((int)a0 != ITIMER_REAL)
		return KERR_INVAL;
	alarm_get(&left, &interval);
	return itimerval_write(a1, left, interval);
}

SYSCALL(setitimer)
{
	nsec_t first = 0, interval = 0, old_left, old_interval;

	if ((int)a0 != ITIMER_REAL)
		return KERR_INVAL;
	if (a1) {
		enum kerr err = timeval_read(a1, &interval);
		if (err == KERR_OK)
			err = timeval_read(a1 + sizeof(struct user_timeval), &first);
		if (err != KERR_OK)
			return err;
	}
	alarm_set(first, interval, &old_left, &old_interval);
	return a2 ? itimerval_write(a2, old_left, old_interval) : KERR_OK;
}

SYSCALL(alarm)
{
	nsec_t old_left, old_interval;

	alarm_set((nsec_t)(uint32_t)a0 * NSEC_PER_SEC, 0, &old_left, &old_interval);
	return (long)((old_left + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}
