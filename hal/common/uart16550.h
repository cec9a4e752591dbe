/*
 * A 16550 serial port, polled transmitter and interrupt-driven receiver. How its registers are
 * reached (ports, memory with a stride) is the caller's: struct uart16550_bus.
 * Source: National Semiconductor PC16550D data sheet, chapter 8.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UART16550_FIFO 16

struct uart16550_bus {
	uint8_t (*read)(void *context, unsigned reg);
	void (*write)(void *context, unsigned reg, uint8_t value);
};

/* The caller serialises calls on one port, but that a panic may write over another writer. */
struct uart16550 {
	const struct uart16550_bus *bus;
	void *context;
	bool ready; /* set up (by the first write) */
	bool written, sends; /* bytes were given to it; and have gone out */
	bool absent; /* nothing answers there: writes vanish, reads give nothing */
};

/* Sends all of it as it is; busy while the transmitter is. Any context. */
void uart16550_write(struct uart16550 *uart, const char *bytes, size_t count);
/* Waits until the last byte has left, as before power goes. Any context. */
void uart16550_flush(struct uart16550 *uart);
/* Interrupts for received bytes from now on. */
void uart16550_receive_enable(struct uart16550 *uart);
/* Takes what has been received, at most `size`; 0: nothing (more). */
size_t uart16550_read(struct uart16550 *uart, char *buf, size_t size);
