/*
 * Tern's own advice for madvise(2): memory that a program could do without.
 *
 *	madvise(p, size, MADV_TERN_VOLATILE)      from now on its pages may go when memory is short;
 *	                                          they may be read and written meanwhile
 *	madvise(p, size, MADV_TERN_NONVOLATILE)   they stay again. 1: some have gone and read as
 *	                                          zeroes, make the contents anew. 0: all is there
 *
 * For private anonymous memory, in whole pages; EINVAL for any other and for locked memory. Volatile
 * memory stays so over fork, for each side by itself. Linux answers EINVAL: MADV_FREE is what both
 * have.
 */
#ifndef TERN_MEMORY_H
#define TERN_MEMORY_H

#define MADV_TERN_VOLATILE 0x54000001
#define MADV_TERN_NONVOLATILE 0x54000002

#endif
