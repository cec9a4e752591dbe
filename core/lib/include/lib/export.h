/*
 * Symbols that loaded modules may use. One line EXPORT_SYMBOL(name); in an exports.c of the layer
 * that owns the symbol makes a record in the section .exports; the lists are the whole interface
 * (docs/modules.md). In a module the same macro offers a symbol to other modules.
 */
#pragma once

#include <lib/compiler.h>

struct export
{
	const char *name;
	const void *address;
};

#define EXPORT_SYMBOL(symbol)                                                                      \
	static const struct export export_##symbol = {#symbol, (const void *)&symbol};             \
	KEEP static const struct export *const export_pointer_##symbol                             \
		__attribute__((section(".exports"))) = &export_##symbol
