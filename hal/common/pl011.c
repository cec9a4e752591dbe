/* PL011 UART, polled output, input by interrupt. Callers serialise output themselves. */
#include "pl011.h"

#define DR 0x00
#define FR 0x18
#define LCR_H 0x2c
#define CR 0x30
#define IMSC 0x38
#define ICR 0x44

#define FR_RXFE (1u << 4)
#define FR_BUSY (1u << 3)
#define FR_TXFF (1u << 5)
#define LCR_H_8BIT (3u << 5)
#define LCR_H_FIFO (1u << 4)
#define CR_ON ((1u << 0) | (1u << 8) | (1u << 9)) /* UART, transmit, receive */
#define INT_RX (1u << 4)
#define INT_RX_TIMEOUT (1u << 6)
#define INT_ALL 0x7ffu

static volatile uint32_t *reg(volatile uint8_t *base, size_t offset)
{
	return (volatile uint32_t *)(base + offset);
}

void pl011_init(volatile uint8_t *base)
{
	*reg(base, IMSC) = 0;
	*reg(base, ICR) = INT_ALL;
	if ((*reg(base, CR) & CR_ON) == CR_ON)
		return;
	*reg(base, CR) = 0;
	*reg(base, LCR_H) = LCR_H_8BIT | LCR_H_FIFO;
	*reg(base, CR) = CR_ON;
}

void pl011_write(volatile uint8_t *base, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		while (*reg(base, FR) & FR_TXFF)
			;
		*reg(base, DR) = (uint8_t)bytes[i];
	}
}

void pl011_flush(volatile uint8_t *base)
{
	while (*reg(base, FR) & FR_BUSY)
		;
}

void pl011_input_enable(volatile uint8_t *base)
{
	*reg(base, IMSC) = INT_RX | INT_RX_TIMEOUT;
}

size_t pl011_read(volatile uint8_t *base, char *bytes, size_t max)
{
	size_t count = 0;
	*reg(base, ICR) = INT_RX | INT_RX_TIMEOUT;
	while (count < max && !(*reg(base, FR) & FR_RXFE))
		bytes[count++] = (char)(*reg(base, DR) & 0xff);
	return count;
}
