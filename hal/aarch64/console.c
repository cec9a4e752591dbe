/*
 * The console: the PL011 that the device tree calls stdout. Output is polled and works from
 * console_early() on, through the direct map; input comes by interrupt.
 */
#include "cpu.h"
#include "pl011.h"
#include "platform.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

static volatile uint8_t *uart RO_AFTER_INIT; /* null: none */
static unsigned uart_line RO_AFTER_INIT;  /* 0: no input */

void console_early(const struct boot_info *info)
{
	if (info->console_mmio_size == 0)
		return;
	uart = (volatile uint8_t *)(info->direct_map + info->console_mmio);
	pl011_init(uart);
}

void console_put(const char *bytes, size_t count)
{
	if (uart)
		pl011_write(uart, bytes, count);
}

void console_flush(void)
{
	if (uart)
		pl011_flush(uart);
}

static bool console_find(struct fdt_node *node)
{
	return fdt_stdout(platform_fdt(), node) &&
	       fdt_is_compatible(platform_fdt(), node, "arm,pl011");
}

void console_init(const struct boot_info *info)
{
	struct fdt_node node;
	struct fdt_interrupt irq;
	/* Cells of a GIC interrupt: 0 = SPI, number, flags. */
	if (!uart || !console_find(&node) || !fdt_interrupt(platform_fdt(), &node, 0, &irq) ||
	    irq.count < 3 || irq.cells[0] != 0)
		return;
	unsigned line = 32 + irq.cells[1];
	if (irq_route(line, IRQ_LEVEL, 0) != KERR_OK)
		return;
	uart_line = line;
	pl011_input_enable(uart);
}

bool console_is(unsigned intid)
{
	return intid == uart_line;
}

void console_interrupt(void)
{
	char bytes[64];
	size_t count;
	while ((count = pl011_read(uart, bytes, sizeof(bytes))) > 0)
		core_console_input(bytes, count);
}
