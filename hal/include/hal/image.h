/* The sections of the kernel image, as boot/kernel.ld.S lays them out. */
#pragma once

extern char __image_start[], __image_end[];
extern char __text_start[], __text_end[];
extern char __init_text_start[], __init_text_end[];
extern char __rodata_start[], __rodata_end[];
extern char __ro_after_init_start[], __ro_after_init_end[];
extern char __data_start[], __data_end[];
extern char __bss_start[], __bss_end[];
