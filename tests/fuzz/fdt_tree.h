/* Writes flattened device trees for tests. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fdt_writer {
	uint8_t blob[16384];
	uint8_t strings[2048];
	size_t size,
		strings_size; /* of the structure block so far (after the header), of strings */
};

void fdt_begin(struct fdt_writer *w);
void fdt_node_begin(struct fdt_writer *w, const char *name);
void fdt_node_end(struct fdt_writer *w);
void fdt_put(struct fdt_writer *w, const char *name, const void *value, size_t size);
void fdt_put_string(struct fdt_writer *w, const char *name, const char *value);
/* `count` 32-bit cells. */
void fdt_put_cells(struct fdt_writer *w, const char *name, size_t count, const uint32_t *cells);
#define FDT_CELLS(w, name, ...)                                                                    \
	fdt_put_cells((w), (name), sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})
/* Makes the blob whole; its size in bytes. */
size_t fdt_finish(struct fdt_writer *w);

/* A machine with memory, a hole, four CPUs of which two can be used, buses and interrupts. */
size_t fdt_machine(struct fdt_writer *w);
