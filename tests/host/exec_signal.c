/*
 * The sending side of signals (exec/signal.c) over processes that never run: what pends, in which
 * order it is taken, what is dropped, what stop, continue and kill change at once.
 */
#include "machine.h"

#include "process_private.h"
#include "thread_private.h"

#include <lib/string.h>
#include <security/domain.h>

static struct process *p;
static struct thread *first, *second;

static struct thread *add_thread(int tid)
{
	struct thread *t = thread_create(p, "signalled", true);

	if (!EXPECT(t != nullptr))
		return nullptr;
	t->tid = tid;
	process_thread_publish(p, t);
	return t;
}

static void make_process(void)
{
	static bool booted;

	if (!booted)
		test_kernel(nullptr);
	booted = true;
	p = process_create();
	p->pid = 100;
	p->domain = DOMAIN_OF(SYSTEM);
	p->credentials.capabilities = (struct capabilities)CAPABILITIES_ROOT;
	p->actions = signal_actions_create();
	p->limits[RLIMIT_SIGPENDING] = (struct rlimit64){16, 16};
	first = add_thread(100);
	second = add_thread(101);
}

static enum kerr send(struct thread *t, int signo, int code, uint64_t value)
{
	const struct signal_info info = {.signo = signo, .code = code, .value = value};

	return signal_send(p, t, &info);
}

static bool take(struct thread *t, struct signal_info *out)
{
	bool on = spin_lock_irq(&p->lock);
	bool found = signal_take_locked(t, ~t->signal_mask, out);

	spin_unlock_irq(&p->lock, on);
	return found;
}

static void act(int signo, vaddr_t handler)
{
	signal_action_reset(p->actions, signo);
	const struct signal_action action = {.handler = handler};
	struct process *self = current_process();
	struct signal_actions *mine = self->actions;

	self->actions = p->actions; /* sigaction(2) is about the current process */
	EXPECT_OK(signal_action(signo, &action, nullptr));
	self->actions = mine;
}

static uint32_t work(const struct thread *t)
{
	return atomic_load(&t->task.work);
}

TEST(signal_standard_ones_pend_once)
{
	struct signal_info info;

	make_process();
	EXPECT_OK(send(nullptr, SIGUSR1, SI_QUEUE, 1));
	EXPECT_OK(send(nullptr, SIGUSR1, SI_QUEUE, 2));
	REQUIRE(take(first, &info));
	EXPECT_EQ(info.value, 1);
	EXPECT(!take(first, &info));
}

TEST(signal_realtime_ones_queue_in_order)
{
	struct signal_info info;

	make_process();
	for (uint64_t i = 0; i < 5; i++)
		EXPECT_OK(send(nullptr, SIGRTMIN + 3, SI_QUEUE, i));
	EXPECT_OK(send(nullptr, SIGRTMIN + 1, SI_QUEUE, 9));
	REQUIRE(take(second, &info));
	EXPECT_EQ(info.signo, SIGRTMIN + 1);
	for (uint64_t i = 0; i < 5; i++) {
		REQUIRE(take(second, &info));
		EXPECT_EQ(info.value, i);
	}
	EXPECT(!take(second, &info));
	EXPECT_EQ(p->queued_signals, 0);
}

TEST(signal_queue_has_a_limit)
{
	make_process();
	for (unsigned i = 0; i < 16; i++)
		EXPECT_OK(send(nullptr, SIGRTMIN, SI_QUEUE, i));
	EXPECT_EQ(send(nullptr, SIGRTMIN, SI_QUEUE, 0), KERR_AGAIN);
	/* A standard signal still pends, only what it carries is lost. */
	struct signal_info info;
	EXPECT_OK(send(nullptr, SIGTERM, SI_QUEUE, 5));
	REQUIRE(take(first, &info));
	EXPECT_EQ(info.signo, SIGTERM);
}

TEST(signal_faults_come_first_and_own_before_shared)
{
	struct signal_info info;

	make_process();
	EXPECT_OK(send(nullptr, SIGHUP, SI_USER, 0));
	EXPECT_OK(send(first, SIGTERM, SI_USER, 1));
	EXPECT_OK(send(nullptr, SIGTERM, SI_USER, 2));
	EXPECT_OK(send(first, SIGSEGV, 1, 0));
	EXPECT(take(first, &info) && info.signo == SIGSEGV);
	EXPECT(take(first, &info) && info.signo == SIGHUP);
	EXPECT(take(first, &info) && info.signo == SIGTERM && info.value == 1);
	EXPECT(take(first, &info) && info.signo == SIGTERM && info.value == 2);
	EXPECT(!take(first, &info));
}

TEST(signal_goes_to_a_thread_that_does_not_block_it)
{
	struct signal_info info;

	make_process();
	first->signal_mask = SIGNAL_BIT(SIGUSR2);
	EXPECT_OK(send(nullptr, SIGUSR2, SI_USER, 0));
	EXPECT(!(work(first) & TASK_WORK_SIGNAL));
	EXPECT(work(second) & TASK_WORK_SIGNAL);
	EXPECT(!take(first, &info));
	EXPECT(take(second, &info));
}

TEST(signal_ignored_ones_are_dropped_unless_blocked)
{
	struct signal_info info;

	make_process();
	EXPECT_OK(send(nullptr, SIGCHLD, SI_USER, 0));
	EXPECT_EQ(p->pending.bits, 0);
	act(SIGUSR1, SIG_IGN);
	EXPECT_OK(send(nullptr, SIGUSR1, SI_USER, 0));
	EXPECT_EQ(p->pending.bits, 0);
	first->signal_mask = SIGNAL_BIT(SIGUSR1);
	EXPECT_OK(send(nullptr, SIGUSR1, SI_USER, 0));
	EXPECT_EQ(p->pending.bits, SIGNAL_BIT(SIGUSR1));
	first->signal_mask = 0;
	act(SIGCHLD, 0x1000);
	EXPECT_OK(send(nullptr, SIGCHLD, SI_USER, 0));
	EXPECT(take(first, &info));
}

TEST(signal_stop_and_continue_cancel_each_other)
{
	make_process();
	act(SIGCONT, 0x1000);
	EXPECT_OK(send(nullptr, SIGCONT, SI_USER, 0));
	EXPECT_OK(send(first, SIGTSTP, SI_USER, 0));
	EXPECT_EQ(p->pending.bits, 0);
	EXPECT_EQ(first->signal_pending, SIGNAL_BIT(SIGTSTP));
	p->group_stop = true;
	p->state = PROCESS_STOPPED;
	EXPECT_OK(send(nullptr, SIGCONT, SI_USER, 0));
	EXPECT_EQ(first->signal_pending, 0);
	EXPECT(!p->group_stop);
	EXPECT_EQ(p->state, PROCESS_RUNNING);
}

TEST(signal_kill_ends_all_threads)
{
	make_process();
	first->signal_mask = second->signal_mask = ~(uint64_t)0;
	EXPECT_OK(send(nullptr, SIGKILL, SI_USER, 0));
	EXPECT(p->exiting);
	EXPECT_EQ(p->exit_status, SIGKILL);
	EXPECT(work(first) & TASK_WORK_STOP);
	EXPECT(work(second) & TASK_WORK_STOP);
}

TEST(signal_actions_over_exec)
{
	make_process();
	act(SIGUSR1, SIG_IGN);
	act(SIGUSR2, 0x1000);
	struct signal_actions *copy = signal_actions_copy(p->actions);
	REQUIRE(copy != nullptr);
	signal_actions_exec(copy);
	EXPECT_EQ(signal_action_get(copy, SIGUSR1).handler, SIG_IGN);
	EXPECT_EQ(signal_action_get(copy, SIGUSR2).handler, SIG_DFL);
	EXPECT_EQ(signal_action_get(p->actions, SIGUSR2).handler, 0x1000);
}

TEST(signal_info_has_linux_layout)
{
	const struct signal_info fault = {.signo = SIGSEGV, .code = 1, .addr = 0x1122334455667788};
	struct signal_info child = {.signo = SIGCHLD, .code = CLD_EXITED}, back;
	uint8_t bytes[128];
	int number;
	uint64_t wide;

	make_process();
	signal_info_encode(&fault, bytes);
	memcpy(&number, bytes, 4);
	memcpy(&wide, bytes + 16, 8);
	EXPECT_EQ(number, SIGSEGV);
	EXPECT_EQ(wide, 0x1122334455667788);
	child.child = 7;
	child.status = 42;
	child.system_time = 99;
	signal_info_encode(&child, bytes);
	memcpy(&number, bytes + 16, 4);
	EXPECT_EQ(number, 7);
	memcpy(&number, bytes + 24, 4);
	EXPECT_EQ(number, 42);
	memcpy(&wide, bytes + 40, 8);
	EXPECT_EQ(wide, 99);
	const struct signal_info queued = {
		.signo = SIGRTMIN, .code = SI_QUEUE, .pid = 3, .uid = 4, .value = 5};
	signal_info_encode(&queued, bytes);
	signal_info_decode(bytes, SIGRTMIN, &back);
	EXPECT(back.pid == 3 && back.uid == 4 && back.value == 5 && back.code == SI_QUEUE);
}

/* Random sends, takes and mask changes against sets of counters. */
PROPERTY(signal_random, 40)
{
	unsigned shared[SIGNAL_COUNT + 1] = {}, own[SIGNAL_COUNT + 1] = {};

	make_process();
	p->limits[RLIMIT_SIGPENDING].current = 100000;
	for (int i = 0; i < 2000; i++) {
		int signo = 1 + (int)test_random_below(random, SIGNAL_COUNT);
		bool to_first = test_random_below(random, 2);
		struct signal_info info;
		if (SIGNAL_BIT(signo) & SIGNAL_UNBLOCKABLE || signo == SIGCONT ||
		    signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU || signo == SIGCHLD ||
		    signo == SIGURG || signo == SIGWINCH)
			continue;
		if (test_random_below(random, 2)) {
			unsigned *count = to_first ? &own[signo] : &shared[signo];
			EXPECT_OK(send(to_first ? first : nullptr, signo, SI_QUEUE, 0));
			if (signo >= SIGRTMIN || *count == 0)
				++*count;
		} else if (take(first, &info)) {
			unsigned *count = own[info.signo] ? &own[info.signo] : &shared[info.signo];
			EXPECT(*count > 0);
			--*count;
		} else {
			for (int s = 1; s <= SIGNAL_COUNT; s++)
				EXPECT(own[s] == 0 && shared[s] == 0);
		}
		if (test_failures())
			return;
	}
	unsigned left = 0;
	for (int s = 1; s <= SIGNAL_COUNT; s++)
		left += own[s] + shared[s];
	EXPECT_EQ(p->queued_signals, left);
}
