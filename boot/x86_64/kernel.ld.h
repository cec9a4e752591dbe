/* What boot/kernel.ld.S needs to know of x86_64. */
#define KERNEL_OUTPUT_ARCH i386:x86-64
#define KERNEL_LMA 0x200000
