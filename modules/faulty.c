/*
 * A driver that breaks on purpose, to see what the kernel does about it. A word written to /dev/faulty says
 * how:
 *
 *	null    reads through a null pointer
 *	text    writes to its own code, which is read-only
 *	data    jumps into its own data, which is not executable
 *	bug     an assertion fails
 *	trap    runs an instruction that is none
 *	hang    never comes back, interrupts off
 *	spin    never comes back, interrupts on
 *	locks   never comes back, but takes and frees a spinlock
 *	twice   waits for a spinlock that it has
 *	locked  reads through a null pointer, with a spinlock and a mutex held (exit takes them again)
 *	waits   reads through a null pointer while it is queued to wait (exit wakes who waits)
 *	wrong   goes on, but its health function says that something is wrong
 *	slow    goes on, but its health function takes half a second
 */
#include <core/panic.h>
#include <core/time.h>
#include <core/wait.h>
#include <fs/device.h>
#include <lib/string.h>
#include <module/module.h>

static _Atomic bool wrong, slow;
static struct spinlock spin = SPINLOCK_INIT(RANK_OBJECT, "faulty");
static struct mutex mutex = MUTEX_INIT(mutex);
static struct waitq queue = WAITQ_INIT(queue);
static uint8_t some_data[64] = {0xc3};

static enum kerr faulty_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done);

static NOINLINE void break_null(void)
{
	volatile int *volatile nowhere = nullptr;
	(void)*nowhere;
}

static NOINLINE void break_text(void)
{
	volatile uint8_t *volatile code = (volatile uint8_t *)&faulty_write;
	*code = 0;
}

/* Without the check of the callee's type, which would stop it before the page table does. */
__attribute__((no_sanitize("kcfi"))) static NOINLINE void break_data(void)
{
	void (*volatile into)(void) = (void (*)(void))(void *)some_data;
	into();
}

static NOINLINE void break_bug(void)
{
	BUG_ON(some_data[0] == 0xc3);
}

static NOINLINE void break_hang(void)
{
	(void)hal.cpu.irq_save();
	for (;;)
		hal.cpu.relax();
}

static NOINLINE void break_spin(void)
{
	for (;;)
		hal.cpu.relax();
}

static NOINLINE void break_locks(void)
{
	for (;;) {
		spin_lock(&spin);
		spin_unlock(&spin);
	}
}

static NOINLINE void break_trap(void)
{
	__builtin_trap();
}

static NOINLINE void break_twice(void)
{
	spin_lock(&spin);
	spin_lock(&spin);
}

static NOINLINE void break_locked(void)
{
	mutex_lock(&mutex);
	bool on = spin_lock_irq(&spin);
	break_null();
	spin_unlock_irq(&spin, on);
	mutex_unlock(&mutex);
}

static NOINLINE bool look_twice(void)
{
	static bool seen;

	if (seen)
		break_null();
	seen = true;
	return false;
}

static NOINLINE void break_waits(void)
{
	(void)wait_until(&queue, look_twice(), WAIT_OTHER, false, NSEC_NEVER);
}

static NOINLINE void break_wrong(void)
{
	atomic_store(&wrong, true);
}

static NOINLINE void break_slow(void)
{
	atomic_store(&slow, true);
}

static const struct {
	const char *word;
	void (*fn)(void);
} ways[] = {
	{"null", break_null},     {"text", break_text},   {"data", break_data},
	{"bug", break_bug},       {"trap", break_trap},   {"hang", break_hang},
	{"spin", break_spin},     {"locks", break_locks}, {"twice", break_twice},
	{"locked", break_locked}, {"waits", break_waits}, {"wrong", break_wrong},
	{"slow", break_slow},
};

static enum kerr faulty_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	char word[16];

	*done = 0;
	if (b->size == 0 || b->size >= sizeof(word))
		return KERR_INVAL;
	if (io_from_buffer(b, 0, word, b->size) != b->size)
		return KERR_FAULT;
	size_t end = b->size - (word[b->size - 1] == '\n');
	word[end] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (strcmp(word, ways[i].word) != 0)
			continue;
		ways[i].fn();
		*done = b->size;
		return KERR_OK;
	}
	return KERR_INVAL;
}

static const struct file_ops faulty_ops = {.write = faulty_write};
static const struct device faulty_device = {
	.name = "faulty",
	.number = (uint64_t)240 << 8 | 2,
	.mode = 0600,
	.ops = &faulty_ops,
	.driver = "faulty",
	.owner = THIS_MODULE,
};

static enum kerr faulty_init(void)
{
	return device_add(&faulty_device);
}

static void faulty_exit(void)
{
	mutex_lock(&mutex); /* whatever has happened, nobody holds them */
	spin_lock(&spin);
	spin_unlock(&spin);
	mutex_unlock(&mutex);
	wake_all(&queue); /* nor waits */
	device_remove(&faulty_device);
}

static enum kerr faulty_health(void)
{
	if (atomic_load(&slow)) {
		struct waitq nobody = WAITQ_INIT(nobody);
		(void)wait_until(&nobody, false, WAIT_TIMER, false,
				 time_now() + 500 * NSEC_PER_MSEC);
	}
	return atomic_load(&wrong) ? KERR_IO : KERR_OK;
}

MODULE_DESCRIPTION("Breaks on purpose");
MODULE(faulty, .version = "1.0", .init = faulty_init, .exit = faulty_exit, .health = faulty_health);
