/*
 * Access to user memory from system calls (VM-20). Addresses are checked against the user range,
 * faults are answered (demand paging may sleep) or end the copy; KERR_FAULT then, with part of the
 * destination possibly written. No spinlock held. Kernel threads have no user memory: KERR_FAULT.
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>

enum kerr user_read(void *dst, vaddr_t src, size_t size);
enum kerr user_write(vaddr_t dst, const void *src, size_t size);
enum kerr user_zero(vaddr_t dst, size_t size);
/* Copies a string with its end mark. KERR_NAMETOOLONG if there is none in `size` bytes.
 * *length (may be null) gets strlen. */
enum kerr user_read_string(char *dst, vaddr_t src, size_t size, size_t *length);
/* As far as it goes: the number of bytes copied before a fault (for read(2), write(2)). */
size_t user_read_partial(void *dst, vaddr_t src, size_t size);
size_t user_write_partial(vaddr_t dst, const void *src, size_t size);
/* [addr, addr + size) lies in the range user mode can have (it need not be mapped). */
bool user_range_ok(vaddr_t addr, size_t size);
