/*
 * Where the direct map begins (VM-14): at a random GiB, from the firmware's seed, the CPU's random
 * instruction if the caller has it already, and the clock at the first instruction. `nokaslr` on the
 * command line: at the start of the kernel's half. The image itself is not moved: its text would give
 * the address away at the first backtrace, and a debugger wants it where it is linked.
 *
 * Position-independent: RISC-V calls it with translation off. Pointers into the direct map exist from
 * here on, so nobody can move it later.
 */
#include "boot.h"

#include <lib/string.h>

#define GIB_SHIFT 30

static bool has_word(const char *line, const char *word)
{
	size_t length = strlen(word);
	for (const char *s = line; (s = strstr(s, word)); s += length)
		if ((s == line || s[-1] == ' ') && (!s[length] || s[length] == ' '))
			return true;
	return false;
}

uint64_t boot_slide(const struct boot_source *s, uint64_t hardware, unsigned bits)
{
	const uint8_t *seed = s->seed;
	uint64_t mix = boot_entered ^ hardware;

	if (has_word(s->command_line, "nokaslr"))
		return 0;
	for (size_t i = 0; i < s->seed_size; i++)
		mix = (mix ^ seed[i]) * 0x100000001b3;
	mix = (mix ^ mix >> 32) * 0x9e3779b97f4a7c15;
	return mix >> (64 - bits) << GIB_SHIFT;
}
