/* RISC-V 64: firmware occupies the first 2 MiB of RAM, the kernel follows. */
#define KERNEL_OUTPUT_ARCH riscv
#define KERNEL_LMA 0x80200000
