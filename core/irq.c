/*
 * Device interrupts. A line's handlers are a list in a small hash table, read without a lock in the
 * interrupt (a handler is unlinked and then waited out by rcu). All lines go to CPU 0 until
 * a driver asks for more.
 *
 * An interrupt that nobody wants is counted; after SPURIOUS_MAX in a row its line is turned off with a message, as
 * a stuck level-triggered line would stop the machine.
 */
#include <core/irq.h>
#include <core/log.h>
#include <core/rcu.h>
#include <hal/upcall.h>

#define BUCKETS 64
#define SPURIOUS_MAX 1000

static struct spinlock lock = SPINLOCK_INIT(RANK_IRQ, "irq");
static struct irq_handler *_Atomic buckets[BUCKETS];
static uint32_t spurious; /* (interrupt context of CPU 0) in a row */

static struct irq_handler *first(unsigned line)
{
	return atomic_load_explicit(&buckets[line % BUCKETS], memory_order_acquire);
}

enum kerr irq_add(struct irq_handler *h, enum irq_trigger trigger)
{
	bool on = spin_lock_irq(&lock);

	h->next = first(h->line);
	atomic_store_explicit(&buckets[h->line % BUCKETS], h, memory_order_release);
	spin_unlock_irq(&lock, on);
	enum kerr err = hal.irq.route(h->line, trigger, 0);
	if (err != KERR_OK)
		irq_remove(h);
	return err;
}

void irq_remove(struct irq_handler *h)
{
	bool on = spin_lock_irq(&lock);
	bool shared = false;

	if (first(h->line) == h) {
		atomic_store_explicit(&buckets[h->line % BUCKETS], h->next, memory_order_release);
	} else {
		for (struct irq_handler *i = first(h->line); i; i = i->next)
			if (i->next == h)
				i->next = h->next;
	}
	for (struct irq_handler *i = first(h->line); i; i = i->next)
		shared |= i->line == h->line;
	spin_unlock_irq(&lock, on);
	if (!shared && hal.irq.route(h->line, IRQ_LEVEL, CPU_NONE) != KERR_OK)
		log_warn("irq: line %u of %s was never there", h->line, h->name);
	rcu_synchronize();
}

void core_irq(unsigned line)
{
	bool wanted = false;

	for (struct irq_handler *h = first(line); h; h = READ_ONCE(h->next)) {
		if (h->line == line && h->fn(h)) {
			h->count++;
			wanted = true;
		}
	}
	if (wanted) {
		spurious = 0;
		return;
	}
	if (++spurious < SPURIOUS_MAX)
		return;
	spurious = 0;
	enum kerr err = hal.irq.route(line, IRQ_LEVEL, CPU_NONE);
	log_error("irq: nobody handles line %u, turned off%s", line,
		  err == KERR_OK ? "" : " (failed)");
}
