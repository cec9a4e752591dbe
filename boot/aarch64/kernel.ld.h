/* AArch64. The address only matters to loaders of the ELF; the flat Image goes anywhere. */
#define KERNEL_OUTPUT_ARCH aarch64
#define KERNEL_LMA 0x40200000

/* boot/aarch64/early.h has tables for so much; and the Image header wants these as numbers. */
ASSERT(__image_end - __image_start <= 0x1000000, "the image outgrew the early tables")
