/*
 * The console: the 16550 that the device tree calls stdout, through the direct map, where boot/
 * mapped its registers; without one the firmware's console. The firmware has set its rate, so it is
 * used as it is. The firmware's own putchar is the fallback only: some thousand instructions a
 * byte.
 *
 * lock serialises the port, interrupts off, for one filling of its FIFO at a time; whoever holds it
 * leaves it soon, so a panic waits for it too. Whole lines are kept together by core's log.
 */
#include "riscv64.h"

#include "fdt.h"
#include "sbi.h"
#include "uart16550.h"

struct mmio {
	volatile uint8_t *base;
	uint32_t shift; /* registers are 1 << shift bytes apart */
	uint32_t width; /* and are accessed with 1 or 4 bytes */
};

static uint8_t mmio_read(void *context, unsigned reg)
{
	const struct mmio *m = context;
	volatile uint8_t *at = m->base + ((uintptr_t)reg << m->shift);
	return m->width == 4 ? (uint8_t)*(volatile uint32_t *)at : *at;
}

static void mmio_write(void *context, unsigned reg, uint8_t value)
{
	const struct mmio *m = context;
	volatile uint8_t *at = m->base + ((uintptr_t)reg << m->shift);
	if (m->width == 4)
		*(volatile uint32_t *)at = value;
	else
		*at = value;
}

static const struct uart16550_bus mmio_bus = {mmio_read, mmio_write};

static RO_AFTER_INIT struct mmio mmio;
static struct uart16550 uart = {.bus = &mmio_bus, .context = &mmio, .ready = true}; /* lock */
static bool lock;
static RO_AFTER_INIT unsigned line;
static RO_AFTER_INIT vaddr_t image_offset; /* image address - physical, for the debug console */

static bool port_lock(void)
{
	bool on = riscv_cpu_irq_save();
	while (__atomic_exchange_n(&lock, true, __ATOMIC_ACQUIRE))
		riscv_cpu_relax();
	return on;
}

static void port_unlock(bool on)
{
	__atomic_store_n(&lock, false, __ATOMIC_RELEASE);
	riscv_cpu_irq_restore(on);
}

void riscv_console_early(const struct boot_info *info)
{
	struct fdt_node node;
	image_offset = info->image_base - info->image_start;
	if (info->console_mmio_size == 0 || !fdt_stdout(riscv_platform_fdt(), &node))
		return;
	mmio.width = 1;
	fdt_u32(riscv_platform_fdt(), &node, "reg-shift", 0, &mmio.shift);
	fdt_u32(riscv_platform_fdt(), &node, "reg-io-width", 0, &mmio.width);
	mmio.base = (volatile uint8_t *)(info->direct_map + info->console_mmio);
}

void riscv_console_init(void)
{
	struct fdt_node node;
	struct fdt_interrupt interrupt;
	if (!mmio.base || !fdt_stdout(riscv_platform_fdt(), &node) ||
	    !fdt_interrupt(riscv_platform_fdt(), &node, 0, &interrupt) || interrupt.count == 0)
		return;
	line = interrupt.cells[0];
	if (riscv_irq_route(line, IRQ_LEVEL, 0) != KERR_OK) {
		line = 0;
		return;
	}
	bool on = port_lock();
	uart16550_receive_enable(&uart);
	port_unlock(on);
}

unsigned riscv_console_line(void)
{
	return line;
}

void riscv_console_interrupt(void)
{
	char bytes[64];
	size_t count;
	do {
		bool on = port_lock();
		count = uart16550_read(&uart, bytes, sizeof(bytes));
		port_unlock(on);
		if (count > 0)
			core_console_input(bytes, count);
	} while (count > 0);
}

/* Through a buffer in the image, whose physical address is known. */
static void firmware_write(const char *bytes, size_t count)
{
	static char buffer[UART16550_FIFO * 4]; /* lock */
	while (count > 0) {
		size_t part = MIN(count, sizeof(buffer));
		bool on = port_lock();
		for (size_t i = 0; i < part; i++)
			buffer[i] = bytes[i];
		sbi_console_write(buffer, (vaddr_t)buffer - image_offset, part);
		port_unlock(on);
		bytes += part;
		count -= part;
	}
}

/* What the firmware sends, it has sent when it returns, but for its FIFO: nothing to ask for. */
void riscv_console_flush(void)
{
	if (mmio.base)
		uart16550_flush(&uart);
}

void riscv_console_write(const char *bytes, size_t count)
{
	if (!mmio.base) {
		firmware_write(bytes, count);
		return;
	}
	while (count > 0) {
		size_t part = MIN(count, (size_t)UART16550_FIFO);
		bool on = port_lock();
		uart16550_write(&uart, bytes, part);
		port_unlock(on);
		bytes += part;
		count -= part;
	}
}
