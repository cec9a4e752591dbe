# Compiler flags: what every part shares (tern_flags), by architecture and build type.
add_library(tern_flags INTERFACE)
target_include_directories(tern_flags INTERFACE ${CMAKE_SOURCE_DIR}/hal/include
                                                ${CMAKE_SOURCE_DIR}/core/lib/include)
target_compile_options(tern_flags INTERFACE
  -Wall -Wextra -Werror -Wassign-enum -Wmissing-prototypes -Wstrict-prototypes -Wshadow
  -Wno-unused-parameter -Wno-gnu-folding-constant
  -fno-omit-frame-pointer -fno-strict-aliasing -fno-common -g
  -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)

# init_text(FILE...): what only the boot runs, in this folder's modules; given back afterwards.
function(init_text)
  if(NOT TERN_ARCH STREQUAL host)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS
                 -include ${CMAKE_SOURCE_DIR}/cmake/init_text.h)
  endif()
endfunction()

# Full LTO folds the HAL table away. It has to see each call through it: merging the tails of two
# branches would first turn two calls into one of a pointer that is chosen at run time.
set(RELEASE_FLAGS "$<$<COMPILE_LANGUAGE:C>:-flto=full>"
                  "$<$<COMPILE_LANGUAGE:C>:SHELL:-mllvm -sink-common-insts=false>")

if(TERN_ARCH STREQUAL host)
  # The kernel as a Linux process (hal/host). TERN_SANITIZE: ON (address and undefined behaviour),
  # "thread", or OFF. The release is for native benchmarks.
  target_compile_options(tern_flags INTERFACE -Wno-format -pthread)
  # hal/image.h's name is taken by the C library's start code.
  target_compile_definitions(tern_flags INTERFACE __data_start=__image_data_start)
  add_link_options(-fuse-ld=lld-19 -pthread)
  if(TERN_SANITIZE STREQUAL thread)
    # READ_ONCE and WRITE_ONCE are meant to race (tests/host/harness_tsan.c).
    add_compile_options(-fsanitize=thread "SHELL:-mllvm -tsan-distinguish-volatile=1")
    add_link_options(-fsanitize=thread)
  elseif(TERN_SANITIZE)
    set(HOST_SANITIZERS -fsanitize=address,undefined -fno-sanitize-recover=all
        -fsanitize-ignorelist=${CMAKE_SOURCE_DIR}/hal/host/sanitize.txt)
    add_compile_options("$<$<COMPILE_LANGUAGE:C>:${HOST_SANITIZERS}>")
    add_link_options(-fsanitize=address,undefined)
  endif()
  if(CMAKE_BUILD_TYPE STREQUAL Release)
    target_compile_options(tern_flags INTERFACE -O2 ${RELEASE_FLAGS})
  else()
    target_compile_definitions(tern_flags INTERFACE TERN_DEBUG=1)
    target_compile_options(tern_flags INTERFACE -O1)
  endif()
  set(CMAKE_C_FLAGS_RELEASE "" CACHE STRING "" FORCE)
  set(CMAKE_C_FLAGS_DEBUG "" CACHE STRING "" FORCE)
else()
  target_compile_options(tern_flags INTERFACE
    -ffreestanding -fpie -fno-asynchronous-unwind-tables
    -momit-leaf-frame-pointer
    "SHELL:-include ${CMAKE_SOURCE_DIR}/cmake/hidden.h")
  # HW-4. The canary is one word for all CPUs (core/hardening.c), read PC-relative, not through a
  # GOT. Each indirect call compares the callee's type with the pointer's.
  target_compile_options(tern_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:C>:-fstack-protector-strong;-fdirect-access-external-data;-fsanitize=kcfi>")
  if(NOT TERN_ARCH STREQUAL riscv64) # which knows no other
    target_compile_options(tern_flags INTERFACE
      "$<$<COMPILE_LANGUAGE:C>:-mstack-protector-guard=global>")
  endif()
  set(ARCH_FLAGS_x86_64 -mno-red-zone -mcmodel=kernel -mgeneral-regs-only -mno-sse)
  set(ARCH_FLAGS_aarch64 -mgeneral-regs-only -mstrict-align -mno-outline-atomics)
  set(ARCH_FLAGS_riscv64 -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -mno-relax)
  add_compile_options(${ARCH_FLAGS_${TERN_ARCH}})
  if(CMAKE_BUILD_TYPE STREQUAL Release)
    target_compile_options(tern_flags INTERFACE -O2 ${RELEASE_FLAGS})
  else()
    target_compile_definitions(tern_flags INTERFACE TERN_DEBUG=1)
    # Call chains without gaps.
    target_compile_options(tern_flags INTERFACE -O1 -fno-optimize-sibling-calls)
  endif()
  set(CMAKE_C_FLAGS_RELEASE "" CACHE STRING "" FORCE)
  set(CMAKE_C_FLAGS_DEBUG "" CACHE STRING "" FORCE)
  set(CMAKE_ASM_FLAGS_RELEASE "" CACHE STRING "" FORCE)
  set(CMAKE_ASM_FLAGS_DEBUG "" CACHE STRING "" FORCE)
endif()
