/* The advice of madvise(2): Linux's numbers, and two of Tern's own (user/include/tern/memory.h). */
#pragma once

#define ADVISE_NORMAL 0
#define ADVISE_RANDOM 1
#define ADVISE_SEQUENTIAL 2
#define ADVISE_WILLNEED 3
#define ADVISE_DONTNEED 4
#define ADVISE_FREE 8
#define ADVISE_REMOVE 9
#define ADVISE_DONTFORK 10
#define ADVISE_DOFORK 11
#define ADVISE_HUGEPAGE 14
#define ADVISE_NOHUGEPAGE 15
#define ADVISE_DONTDUMP 16
#define ADVISE_DODUMP 17
#define ADVISE_WIPEONFORK 18
#define ADVISE_KEEPONFORK 19
#define ADVISE_COLD 20
#define ADVISE_PAGEOUT 21
#define ADVISE_POPULATE_READ 22
#define ADVISE_POPULATE_WRITE 23
#define ADVISE_DONTNEED_LOCKED 24
#define ADVISE_COLLAPSE 25

/* Private anonymous memory whose pages may go under pressure, until it is made non-volatile again;
 * that tells (madvise gives 1) whether any went. */
#define ADVISE_VOLATILE 0x54000001
#define ADVISE_NONVOLATILE 0x54000002
