/*
 * The symbols of hal/image.h: the sections of a kernel image that exists only as 128 KiB of
 * simulated RAM, 2 GiB below the end of the kernel half. Numbers of machine.h.
 */
#if HOST_THREAD_SANITIZER
#define BASE 0x7f80000000
#else
#define BASE 0x207f80000000
#endif
#define SYMBOL(name, offset) .globl name; .set name, BASE + offset

SYMBOL(__image_start, 0)
SYMBOL(__text_start, 0)
SYMBOL(__text_end, 0x8000)
SYMBOL(__init_text_start, 0x8000)
SYMBOL(__init_text_end, 0xc000)
SYMBOL(__rodata_start, 0xc000)
SYMBOL(__rodata_end, 0x10000)
SYMBOL(__data_start, 0x10000)
SYMBOL(__ro_after_init_start, 0x10000)
SYMBOL(__ro_after_init_end, 0x12000)
SYMBOL(__bss_start, 0x18000)
SYMBOL(__bss_end, 0x20000)
SYMBOL(__data_end, 0x20000)
SYMBOL(__image_end, 0x20000)

	.section .note.GNU-stack, "", @progbits
