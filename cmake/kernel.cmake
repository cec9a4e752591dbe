# Links all modules to build/<preset>/tern.elf, fills in its symbol table, and makes the flat Image
# that AArch64 and RISC-V boot from.
get_property(modules GLOBAL PROPERTY KERNEL_MODULES)
get_property(module_map GLOBAL PROPERTY KERNEL_MODULE_MAP)
file(WRITE ${CMAKE_BINARY_DIR}/modules.txt "${module_map}")

set(script ${CMAKE_BINARY_DIR}/kernel.ld)
add_custom_command(OUTPUT ${script}
  COMMAND clang-19 -E -P -x c -undef -I ${CMAKE_SOURCE_DIR}/boot/${TERN_ARCH}
          ${CMAKE_SOURCE_DIR}/boot/kernel.ld.S -o ${script}
  DEPENDS ${CMAKE_SOURCE_DIR}/boot/kernel.ld.S ${CMAKE_SOURCE_DIR}/boot/${TERN_ARCH}/kernel.ld.h)
add_custom_target(kernel_script DEPENDS ${script})

add_executable(tern.elf)
add_dependencies(tern.elf kernel_script)
target_link_libraries(tern.elf PRIVATE ${modules})
set_target_properties(tern.elf PROPERTIES LINK_DEPENDS ${script} LINKER_LANGUAGE C)
target_link_options(tern.elf PRIVATE -pie --no-dynamic-linker --build-id=none
  "SHELL:-z text" "SHELL:-z norelro" "SHELL:-z noexecstack" "SHELL:-z max-page-size=4096"
  --hash-style=gnu --orphan-handling=error "SHELL:-T ${script}"
  $<$<CONFIG:Release>:--lto-O2>)
add_custom_command(TARGET tern.elf POST_BUILD
  COMMAND python3 ${CMAKE_SOURCE_DIR}/tools/ksyms.py $<TARGET_FILE:tern.elf>
  COMMAND llvm-objcopy-19 -O binary $<TARGET_FILE:tern.elf> ${CMAKE_BINARY_DIR}/Image
  BYPRODUCTS ${CMAKE_BINARY_DIR}/Image VERBATIM)
