/* Device interrupts: who handles which line. Lines are the interrupt controller's numbers. */
#pragma once

#include <core/spinlock.h>
#include <hal/hal.h>

struct irq_handler {
	struct irq_handler *next; /* (irq lock; readers under rcu) */
	unsigned line;            /* (const) */
	const char *name;         /* (const) */
	/* Interrupt context. True: it was this device's. Lines can be shared. */
	bool (*fn)(struct irq_handler *h);
	uint64_t count;           /* (the CPU the line goes to) */
};

/* Adds `h`, which stays the caller's, and turns the line on. KERR_INVAL: no such line. */
enum kerr irq_add(struct irq_handler *h, enum irq_trigger trigger);
/* After it returns the handler is not called any more; sleeps. */
void irq_remove(struct irq_handler *h);
