/* The PL011 UART (Arm DDI 0183), as firmware left its speed. `base`: its registers, mapped. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void pl011_init(volatile uint8_t *base); /* transmitter and receiver on, interrupts off */
void pl011_write(volatile uint8_t *base, const char *bytes, size_t count); /* waits for room */
void pl011_flush(volatile uint8_t *base); /* waits until the last byte has left */
void pl011_input_enable(volatile uint8_t *base); /* interrupt for what comes in */
/* What is there, at most `max`; 0: nothing (and the interrupt is down). */
size_t pl011_read(volatile uint8_t *base, char *bytes, size_t max);
