/*
 * 16550. The transmitter's FIFO is filled with 16 bytes each time it has run empty, so that one
 * look at the status serves 16 bytes. The rate is left to 115200: the input clock of PCs and
 * of the boards that matter gives that with divisor 1. A port that is not there reads as all ones;
 * one that never gets its first bytes out is given up, so that it costs output, not the boot. One
 * that has sent is waited for however long it takes: that is an emulator whose reader has stopped.
 */
#include "uart16550.h"

#define REG_DATA 0
#define REG_INTERRUPT_ENABLE 1
#define REG_FIFO 2
#define REG_LINE_CONTROL 3
#define REG_MODEM_CONTROL 4
#define REG_LINE_STATUS 5
#define REG_SCRATCH 7

#define LINE_8N1 0x03
#define LINE_DIVISOR 0x80
#define FIFO_ENABLE_CLEAR 0x07
#define MODEM_DTR_RTS_OUT2 0x0b
#define INTERRUPT_RECEIVE 0x01
#define STATUS_RECEIVED 0x01
#define STATUS_SEND_EMPTY 0x20 /* the FIFO */
#define STATUS_ALL_SENT 0x40   /* and the shift register */

/* A byte takes 87 us at 115200; a look at the status about one. */
#define SEND_LOOKS 100000

static uint8_t reg_read(const struct uart16550 *u, unsigned reg)
{
	return u->bus->read(u->context, reg);
}

static void reg_write(const struct uart16550 *u, unsigned reg, uint8_t value)
{
	u->bus->write(u->context, reg, value);
}

static void uart_setup(struct uart16550 *u)
{
	u->ready = true;
	reg_write(u, REG_INTERRUPT_ENABLE, 0);
	reg_write(u, REG_LINE_CONTROL, LINE_DIVISOR | LINE_8N1);
	reg_write(u, REG_DATA, 1);
	reg_write(u, REG_INTERRUPT_ENABLE, 0);
	reg_write(u, REG_LINE_CONTROL, LINE_8N1);
	reg_write(u, REG_FIFO, FIFO_ENABLE_CLEAR);
	reg_write(u, REG_MODEM_CONTROL, MODEM_DTR_RTS_OUT2);
	reg_write(u, REG_SCRATCH, 0x5a);
	u->absent = reg_read(u, REG_SCRATCH) != 0x5a;
}

static bool transmitter_wait(struct uart16550 *u, uint8_t status)
{
	for (unsigned long i = 0; u->sends || i < SEND_LOOKS; i++)
		if (reg_read(u, REG_LINE_STATUS) & status) {
			u->sends = u->written;
			return true;
		}
	u->absent = true;
	return false;
}

void uart16550_write(struct uart16550 *u, const char *bytes, size_t count)
{
	size_t sent = 0;
	if (!u->ready)
		uart_setup(u);
	while (sent < count && !u->absent && transmitter_wait(u, STATUS_SEND_EMPTY)) {
		u->written = true;
		for (int room = UART16550_FIFO; room && sent < count; room--)
			reg_write(u, REG_DATA, (uint8_t)bytes[sent++]);
	}
}

void uart16550_flush(struct uart16550 *u)
{
	if (u->ready && !u->absent)
		(void)transmitter_wait(u, STATUS_ALL_SENT);
}

void uart16550_receive_enable(struct uart16550 *u)
{
	if (!u->ready)
		uart_setup(u);
	if (!u->absent)
		reg_write(u, REG_INTERRUPT_ENABLE, INTERRUPT_RECEIVE);
}

size_t uart16550_read(struct uart16550 *u, char *buf, size_t size)
{
	size_t count = 0;
	while (!u->absent && count < size && reg_read(u, REG_LINE_STATUS) & STATUS_RECEIVED)
		buf[count++] = (char)reg_read(u, REG_DATA);
	return count;
}
