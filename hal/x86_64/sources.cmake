# The x86_64 port of the HAL. (Included by hal/CMakeLists.txt.)
set(X86 ${CMAKE_CURRENT_SOURCE_DIR}/x86_64)
target_sources(hal PRIVATE
  ${X86}/hal.c ${X86}/platform.c ${X86}/cpu.c ${X86}/fpu.c ${X86}/describe.c ${X86}/mmu.c
  ${X86}/trap.c ${X86}/trap.S ${X86}/switch.S ${X86}/string.S
  ${X86}/irq.c ${X86}/timer.c ${X86}/smp.c ${X86}/smp_entry.S
  ${X86}/user.c ${X86}/signal.c ${X86}/user_copy.S
  ${X86}/console.c ${X86}/power.c
  ${CMAKE_CURRENT_SOURCE_DIR}/common/acpi.c
  ${CMAKE_CURRENT_SOURCE_DIR}/common/uart16550.c)
