# Modules that are loaded into the running kernel (docs/modules.md).
#
# tern_module(NAME name [DEPS kernel-module...] SRCS file...)
#
# build/<preset>/modules/name.ko: one relocatable object, made with the kernel's own flags but for link-time
# optimisation, because the loader needs machine code. DEPS: whose headers it includes.
#
# TERN_ABI_FOLDER/module/abi.h says what kernel and modules must agree on: a hash over all public headers
# (types and inline functions are the interface, not only names) and over the flags. Whoever changes a header
# gets new modules by the same build; an old module is refused by name.
set(TERN_ABI_FOLDER ${CMAKE_BINARY_DIR}/abi)
get_target_property(abi_flags tern_flags INTERFACE_COMPILE_OPTIONS)
get_property(abi_arch_flags DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTY COMPILE_OPTIONS)
string(REPLACE "${CMAKE_SOURCE_DIR}" "" abi_flags "${abi_flags} ${abi_arch_flags}")
file(WRITE ${CMAKE_BINARY_DIR}/abi-flags.txt "${abi_flags}")
add_custom_target(module_abi
  COMMAND python3 -B ${CMAKE_SOURCE_DIR}/tools/module_abi.py ${TERN_ARCH} "${CMAKE_BUILD_TYPE}"
          ${CMAKE_BINARY_DIR}/abi-flags.txt ${TERN_ABI_FOLDER}/module/abi.h
  BYPRODUCTS ${TERN_ABI_FOLDER}/module/abi.h VERBATIM)

function(tern_module)
  cmake_parse_arguments(M "" "NAME" "DEPS;SRCS" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tern_module(${M_NAME}): what is ${M_UNPARSED_ARGUMENTS}?")
  endif()
  set(target ko_${M_NAME})
  set(file ${CMAKE_BINARY_DIR}/modules/${M_NAME}.ko)
  add_library(${target} OBJECT ${M_SRCS})
  set_target_properties(${target} PROPERTIES TERN_LOADED ON)
  target_compile_definitions(${target} PRIVATE TERN_MODULE=1)
  target_link_libraries(${target} PRIVATE tern_flags module ${M_DEPS})
  add_dependencies(${target} module_abi)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
  add_custom_command(OUTPUT ${file}
    COMMAND ld.lld-19 -r -o ${file} $<TARGET_OBJECTS:${target}>
    COMMAND llvm-objcopy-19 --strip-debug --remove-section=.comment ${file}
    COMMAND python3 -B ${CMAKE_SOURCE_DIR}/tools/module_check.py ${file}
    DEPENDS $<TARGET_OBJECTS:${target}> ${CMAKE_SOURCE_DIR}/tools/module_check.py
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${M_NAME}_ko ALL DEPENDS ${file})
endfunction()
