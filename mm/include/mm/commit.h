/*
 * Commit accounting (PMM-15): what programs were promised, and how much may be. And promises that
 * the kernel makes to itself: frames that are there when they are taken.
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>

struct frame;

enum overcommit_mode {
	OVERCOMMIT_GUESS,  /* refuses only what is larger than all memory */
	OVERCOMMIT_ALWAYS,
	OVERCOMMIT_NEVER,  /* never beyond the limit */
};

struct commit_settings { /* as in /proc/sys/vm */
	enum overcommit_mode mode;
	uint64_t ratio;  /* percent of RAM, if kib is 0 */
	uint64_t kib;
};
void commit_settings(struct commit_settings *out);
/* Thread context. KERR_INVAL: no such mode. What has been promised stays, even above a new limit. */
enum kerr commit_configure(const struct commit_settings *s);

struct commit_totals { /* frames */
	uint64_t physical; /* RAM the kernel manages */
	uint64_t used; /* of that */
	uint64_t committed; /* promised to programs; may be more than physical */
	uint64_t limit; /* of committed, in mode OVERCOMMIT_NEVER */
	uint64_t uncommitted; /* limit - committed, or 0 */
};
void commit_totals(struct commit_totals *out);

/* A promise: `count` frames, of which `left` have not been taken. Zero it to begin with. One owner. */
struct frame_promise {
	struct frame *frames; /* chained through link.next */
	size_t left;
};
/* Promises `count` frames more, of the kernel's memory. KERR_NOMEM: nothing changed. Any context. */
enum kerr frame_promise(struct frame_promise *p, size_t count);
/* The next one, contents undefined, references 1. Cannot fail as long as p->left. Any context. */
struct frame *frame_promise_take(struct frame_promise *p);
/* Gives back what was not taken. */
void frame_promise_end(struct frame_promise *p);
