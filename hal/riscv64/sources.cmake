# The RISC-V 64 port.
set(riscv64 ${CMAKE_CURRENT_SOURCE_DIR}/riscv64)
set(common ${CMAKE_CURRENT_SOURCE_DIR}/common)
target_include_directories(hal PRIVATE ${riscv64})
target_sources(hal PRIVATE
  ${riscv64}/hal.c ${riscv64}/cpu.c ${riscv64}/mmu.c ${riscv64}/trap.c ${riscv64}/irq.c
  ${riscv64}/timer.c ${riscv64}/smp.c ${riscv64}/user.c ${riscv64}/signal.c ${riscv64}/console.c
  ${riscv64}/power.c ${riscv64}/platform.c
  ${riscv64}/trap.S ${riscv64}/switch.S ${riscv64}/string.S
  ${common}/sbi.c ${common}/plic.c ${common}/fdt.c ${common}/fdt_boot.c ${common}/uart16550.c)
