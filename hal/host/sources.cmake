set(dir ${CMAKE_CURRENT_SOURCE_DIR}/host)
target_sources(hal PRIVATE ${dir}/hal.c ${dir}/machine.c ${dir}/cpu.c ${dir}/irq.c ${dir}/sim.c
  ${dir}/threads.c ${dir}/mmu.c ${dir}/tlb.c ${dir}/mirror.c ${dir}/user.c ${dir}/program.c
  ${dir}/platform.c ${dir}/switch.S ${dir}/image.S
  ${CMAKE_CURRENT_SOURCE_DIR}/common/fdt.c ${CMAKE_CURRENT_SOURCE_DIR}/common/fdt_boot.c)
target_include_directories(hal PUBLIC ${dir}/include PRIVATE ${dir})
if(TERN_SANITIZE STREQUAL thread)
  set_source_files_properties(${dir}/image.S PROPERTIES COMPILE_DEFINITIONS HOST_THREAD_SANITIZER=1)
endif()
