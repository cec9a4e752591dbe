# How control arrives on x86_64. (Included by boot/CMakeLists.txt.)
set(BOOT_X86 ${CMAKE_CURRENT_SOURCE_DIR}/x86_64)
target_sources(boot PRIVATE
  ${BOOT_X86}/entry.S ${BOOT_X86}/main.c ${BOOT_X86}/firmware.c ${BOOT_X86}/pvh.c
  ${BOOT_X86}/multiboot2.c ${BOOT_X86}/multiboot2_check.c)
target_include_directories(boot PRIVATE
  ${CMAKE_SOURCE_DIR}/hal/common ${CMAKE_SOURCE_DIR}/hal/x86_64)
