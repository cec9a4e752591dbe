set(A ${CMAKE_CURRENT_SOURCE_DIR}/aarch64)
set(C ${CMAKE_CURRENT_SOURCE_DIR}/common)
target_sources(hal PRIVATE
  ${A}/hal.c ${A}/platform.c ${A}/cpu.c ${A}/switch.S ${A}/mmu.c ${A}/string.S
  ${A}/trap.c ${A}/trap.S ${A}/irq.c ${A}/gicv2.c ${A}/gicv3.c ${A}/timer.c ${A}/smp.c
  ${A}/user.c ${A}/signal.c ${A}/console.c ${A}/power.c
  ${C}/fdt.c ${C}/fdt_boot.c ${C}/psci.c ${C}/pl011.c ${C}/semihost.c)
