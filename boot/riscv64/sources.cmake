# RISC-V 64: the Linux Image header, device tree, early tables.
set(riscv64 ${CMAKE_CURRENT_SOURCE_DIR}/riscv64)
target_include_directories(boot PRIVATE ${CMAKE_SOURCE_DIR}/hal/riscv64
                                        ${CMAKE_SOURCE_DIR}/hal/common)
target_sources(boot PRIVATE
  ${riscv64}/entry.S ${riscv64}/early_tables.c ${riscv64}/boot.c
  ${CMAKE_CURRENT_SOURCE_DIR}/common/fdt_source.c)
