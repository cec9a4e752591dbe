/*
 * The one linker script. Each architecture gives in boot/<arch>/kernel.ld.h:
 *   KERNEL_OUTPUT_ARCH   for OUTPUT_ARCH
 *   KERNEL_LMA           physical address where the ELF's first segment wants to be loaded
 * The image is linked at KERNEL_VMA on all three (the top 2 GiB, which Sv39 has too) and
 * relocates itself. Segments: text r-x, init r-x (given back), rodata r--, data rw-.
 */
#include "kernel.ld.h"

#define KERNEL_VMA 0xffffffff80000000

OUTPUT_ARCH(KERNEL_OUTPUT_ARCH)
ENTRY(boot_entry)

PHDRS
{
	text PT_LOAD FLAGS(5);
	init PT_LOAD FLAGS(5);
	rodata PT_LOAD FLAGS(4);
	data PT_LOAD FLAGS(6);
	dynamic PT_DYNAMIC FLAGS(4);
	note PT_NOTE FLAGS(4);
}

#define LMA(section) AT(ADDR(section) - KERNEL_VMA + KERNEL_LMA)

SECTIONS
{
	. = KERNEL_VMA;
	__image_start = .;

	.text : LMA(.text) {
		__text_start = .;
		KEEP(*(.head))
		*(.text .text.*)
		. = ALIGN(4096);
		__text_end = .;
	} :text

	.init.text : LMA(.init.text) {
		__init_text_start = .;
		*(.init.text .init.text.*)
		. = ALIGN(4096);
		__init_text_end = .;
	} :init

	.rodata : LMA(.rodata) {
		__rodata_start = .;
		*(.rodata .rodata.* .srodata .srodata.*)
		*(.eh_frame .eh_frame_hdr)
	} :rodata
	.note : LMA(.note) { KEEP(*(.note.Xen)) } :rodata :note
	.init_records : LMA(.init_records) {
		. = ALIGN(8);
		__init_records_start = .;
		KEEP(*(.init_records))
		__init_records_end = .;
	} :rodata
	.kernel_tests : LMA(.kernel_tests) {
		. = ALIGN(8);
		__kernel_tests_start = .;
		KEEP(*(.kernel_tests))
		__kernel_tests_end = .;
	} :rodata
	.fixups : LMA(.fixups) {
		. = ALIGN(8);
		__fixups_start = .;
		KEEP(*(.fixups))
		__fixups_end = .;
	} :rodata
	/* Where the checks of indirect calls trap: each word is its distance from there. */
	.kcfi_traps : LMA(.kcfi_traps) {
		. = ALIGN(4);
		__kcfi_traps_start = .;
		KEEP(*(.kcfi_traps))
		__kcfi_traps_end = .;
	} :rodata
	.dynsym : LMA(.dynsym) { *(.dynsym) } :rodata
	.gnu.hash : LMA(.gnu.hash) { *(.gnu.hash) } :rodata
	.hash : LMA(.hash) { *(.hash) } :rodata
	.dynstr : LMA(.dynstr) { *(.dynstr) } :rodata
	.rela.dyn : LMA(.rela.dyn) {
		__rela_start = .;
		*(.rela .rela.*)
		__rela_end = .;
	} :rodata
	/* The symbol table for backtraces; tools/ksyms.py fills it in after the link. */
	.ksyms : LMA(.ksyms) {
		. = ALIGN(8);
		__ksyms_start = .;
		KEEP(*(.ksyms))
		__ksyms_end = .;
		. = ALIGN(4096);
		__rodata_end = .;
	} :rodata

	.data.ro_after_init : LMA(.data.ro_after_init) {
		. = ALIGN(4096);
		__data_start = .;
		__ro_after_init_start = .;
		*(.data.ro_after_init)
		*(.data.rel.ro .data.rel.ro.*)
		*(.got .got.plt)
		. = ALIGN(4096);
		__ro_after_init_end = .;
	} :data
	.dynamic : LMA(.dynamic) { *(.dynamic) } :data :dynamic
	.init.data : LMA(.init.data) { *(.init.data .init.data.*) } :data
	.data : LMA(.data) { *(.data .data.* .sdata .sdata.*) } :data
	.bss : LMA(.bss) {
		. = ALIGN(64);
		__bss_start = .;
		*(.bss .bss.* .sbss .sbss.* COMMON)
		. = ALIGN(4096);
		__bss_end = .;
	} :data
	__data_end = .;
	__image_end = .;
	__image_load_end = __bss_start; /* what a flat image holds */

	/* Not loaded: for debuggers and tools. */
	.debug_info 0 : { *(.debug_info) }
	.debug_abbrev 0 : { *(.debug_abbrev) }
	.debug_line 0 : { *(.debug_line) }
	.debug_line_str 0 : { *(.debug_line_str) }
	.debug_str 0 : { *(.debug_str) }
	.debug_str_offsets 0 : { *(.debug_str_offsets) }
	.debug_addr 0 : { *(.debug_addr) }
	.debug_loclists 0 : { *(.debug_loclists) }
	.debug_rnglists 0 : { *(.debug_rnglists) }
	.debug_aranges 0 : { *(.debug_aranges) }
	.debug_frame 0 : { *(.debug_frame) }
	.riscv.attributes 0 : { *(.riscv.attributes) }
	.symtab 0 : { *(.symtab) }
	.strtab 0 : { *(.strtab) }
	.shstrtab 0 : { *(.shstrtab) }

	/DISCARD/ : { *(.comment) *(.note.GNU-stack) *(.note.gnu.*) *(.ARM.attributes) *(.interp) }

	/* The symbols that header fields need as plain numbers. */
	__image_size = __image_end - __image_start;
	__image_load_size = __image_load_end - __image_start;
}

ASSERT(__image_end - __image_start < 0x4000000, "the kernel image grew over 64 MiB")
