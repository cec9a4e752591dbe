# kernel_module(NAME name [DEPS module...] SRCS file...)
#
# One module of the kernel: its sources, its public headers in include/, and the modules whose
# headers it may include. The DEPS of all modules are the layer order; tools/check.py refuses
# an include that they do not allow. Objects end up in the kernel (or in the host tests).
function(kernel_module)
  cmake_parse_arguments(M "" "NAME" "DEPS;SRCS" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "kernel_module(${M_NAME}): what is ${M_UNPARSED_ARGUMENTS}?")
  endif()
  add_library(${M_NAME} OBJECT ${M_SRCS})
  target_include_directories(${M_NAME} PUBLIC include)
  target_link_libraries(${M_NAME} PUBLIC tern_flags ${M_DEPS})
  set_property(GLOBAL APPEND PROPERTY KERNEL_MODULES ${M_NAME})
  list(JOIN M_DEPS " " deps)
  file(RELATIVE_PATH dir ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set_property(GLOBAL APPEND_STRING PROPERTY KERNEL_MODULE_MAP "${M_NAME}:${dir}:${deps}\n")
endfunction()
