/* Included before everything in kernel builds: one image, so no symbol needs a GOT entry. */
#pragma GCC visibility push(hidden)
