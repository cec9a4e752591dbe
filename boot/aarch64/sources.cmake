target_sources(boot PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/aarch64/entry.S
                            ${CMAKE_CURRENT_SOURCE_DIR}/aarch64/early.c
                            ${CMAKE_CURRENT_SOURCE_DIR}/aarch64/boot.c
                            ${CMAKE_CURRENT_SOURCE_DIR}/common/fdt_source.c)
target_include_directories(boot PRIVATE ${CMAKE_SOURCE_DIR}/hal/common)
