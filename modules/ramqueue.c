/*
 * Another driver for the RAM disk: it queues, and works in the device's thread, as a driver of hardware does that is
 * told by an interrupt. And it breaks on demand, to see it healed (tern-ctl heal inject WHAT).
 *
 *	modprobe ramqueue; echo "block queued" >/sys/kernel/slots
 *
 * What was asked for is kept outside of the instance, so that a restarted one may break again.
 */
#include <core/panic.h>
#include <drivers/block.h>
#include <lib/string.h>
#include <mm/heap.h>

struct job {
	struct list link;
	struct block_request *request;
};

struct queue {
	struct spinlock lock;
	struct list jobs; /* (lock) */
	_Atomic bool deaf; /* its interrupt does not come any more */
};

static _Atomic uint32_t what, times; /* what is to happen, how often still */

static bool happens(enum block_injection this)
{
	uint32_t left = atomic_load(&times);

	if (atomic_load(&what) != (uint32_t)this || left == 0)
		return false;
	return atomic_compare_exchange_strong(&times, &left, left - 1);
}

static NOINLINE void crash(void)
{
	volatile int *volatile nowhere = nullptr;
	*nowhere = 1;
}

static NOINLINE void hang(void)
{
	(void)hal.cpu.irq_save();
	for (;;)
		hal.cpu.relax();
}

static NOINLINE void write_wild(void)
{
	volatile uint8_t *volatile code = (volatile uint8_t *)&block_complete;
	*code = 0xff;
}

static void transfer(const struct block_request *r)
{
	ram_transfer(r);
	if (r->op == BLOCK_READ && happens(BLOCK_INJECT_WRONG))
		r->data[7] ^= 0x40;
}

static struct job *take(struct queue *q)
{
	struct job *j = nullptr;

	bool on = spin_lock_irq(&q->lock);
	if (!list_empty(&q->jobs)) {
		j = list_entry(q->jobs.next, struct job, link);
		list_remove(&j->link);
	}
	spin_unlock_irq(&q->lock, on);
	return j;
}

static enum kerr queued_work(void *instance)
{
	struct queue *q = instance;
	struct job *j;

	while ((j = take(q))) {
		struct block_request *r = j->request;
		heap_free(j);
		if (happens(BLOCK_INJECT_CRASH))
			crash();
		if (happens(BLOCK_INJECT_HANG))
			hang();
		if (happens(BLOCK_INJECT_WILD))
			write_wild();
		transfer(r);
		BUG_ON(happens(BLOCK_INJECT_BUG));
		(void)block_complete(r, KERR_OK);
	}
	return KERR_OK;
}

static enum kerr queued_submit(void *instance, struct block_request *r)
{
	struct queue *q = instance;
	struct job *j = happens(BLOCK_INJECT_NOMEM) ? nullptr : heap_alloc(sizeof(*j));

	if (!j)
		return KERR_NOMEM;
	j->request = r;
	bool on = spin_lock_irq(&q->lock);
	list_add_tail(&q->jobs, &j->link);
	spin_unlock_irq(&q->lock, on);
	if (happens(BLOCK_INJECT_LOST))
		atomic_store(&q->deaf, true);
	if (!atomic_load(&q->deaf))
		block_kick("ram0");
	return KERR_OK;
}

static enum kerr queued_inject(void *instance, enum block_injection wanted, uint32_t count)
{
	if (wanted >= BLOCK_INJECTIONS)
		return KERR_INVAL;
	atomic_store(&times, 0);
	atomic_store(&what, wanted);
	atomic_store(&times, count);
	return KERR_OK;
}

static enum kerr queued_begin(void **instance)
{
	struct queue *q = heap_alloc_zeroed(sizeof(*q));

	*instance = q;
	if (!q)
		return KERR_NOMEM;
	spin_init(&q->lock, RANK_OBJECT, "ramqueue");
	list_init(&q->jobs);
	return KERR_OK;
}

/* What is still queued is the layer's, which gives it to the next driver. */
static void queued_end(void *instance)
{
	struct job *j;

	while ((j = take(instance)))
		heap_free(j);
	heap_free(instance);
}

static enum kerr queued_import(void *instance, const struct slot_state *in)
{
	block_adopt("ram0");
	return KERR_OK;
}

static const struct block_ops queued_ops = {
	.submit = queued_submit, .work = queued_work, .inject = queued_inject};
static struct slot_provider queued = {
	.name = "queued",
	.version = 1,
	.oldest = 1,
	.owner = THIS_MODULE,
	.ops = &queued_ops,
	.init = queued_begin,
	.fini = queued_end,
	.import = queued_import,
};

static enum kerr ramqueue_init(void)
{
	return slot_provider_add("block", &queued);
}

static void ramqueue_exit(void)
{
	/* It is not current: then this module would be in use. */
	(void)slot_provider_remove("block", &queued);
}

MODULE_DESCRIPTION("A RAM disk driver with a queue, which breaks on demand");
MODULE(ramqueue, .version = "1.0", .init = ramqueue_init, .exit = ramqueue_exit);
