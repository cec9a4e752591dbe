/*
 * The first serial port, a 16550 at 0x3f8: console from the first C line on. Sending is polled, a
 * FIFO's worth at a time; bytes come in by interrupt (ISA line 4).
 * Writers are serialised by core's log; a panic writes without asking, so nothing is locked here.
 */
#include "cpu.h"
#include "uart16550.h"

#include <hal/upcall.h>

#define COM1 0x3f8
#define COM1_LINE 4

static uint8_t port_read(void *context, unsigned reg)
{
	return x86_inb((uint16_t)(COM1 + reg));
}

static void port_write(void *context, unsigned reg, uint8_t value)
{
	x86_outb((uint16_t)(COM1 + reg), value);
}

static const struct uart16550_bus com1_bus = {port_read, port_write};
static struct uart16550 com1 = {.bus = &com1_bus}; /* (set up once, on the boot CPU) */

void x86_console_write(const char *bytes, size_t count)
{
	uart16550_write(&com1, bytes, count);
}

void x86_console_flush(void)
{
	uart16550_flush(&com1);
}

void x86_console_init(void)
{
	if (x86_irq_route(COM1_LINE, IRQ_EDGE, 0) == KERR_OK)
		uart16550_receive_enable(&com1);
}

bool x86_console_line(unsigned line)
{
	return line == COM1_LINE;
}

void x86_console_interrupt(void)
{
	char buf[UART16550_FIFO];
	size_t count;
	while ((count = uart16550_read(&com1, buf, sizeof(buf))))
		core_console_input(buf, count);
}
