/*
 * Memory pressure (PMM-16): who can give frames back, and who is told when they run low.
 */
#pragma once

#include <hal/types.h>

/* Something that holds frames which it could do without. Lives as long as the kernel. */
struct shrinker {
	const char *name;
	/* About how many frames, or objects of a page or less, it could give. Any context. */
	uint64_t (*count)(void);
	/* Gives what it can, about `want` of them; how many it gave. Thread context; may sleep, must not
	 * wait for memory, nor take a lock under which user memory is touched. */
	uint64_t (*scan)(uint64_t want);
};

/* At boot, from one CPU; a handful of them. The last one is asked first. */
void shrinker_register(const struct shrinker *s);

struct shrinker_info {
	const char *name;
	uint64_t count; /* now */
	uint64_t given; /* since boot */
};
/* False past the end. */
bool shrinker_get(size_t index, struct shrinker_info *out);
/* How often the zones together have fallen below their low watermark. */
uint64_t pressure_events(void);

/* Reclaim since boot: by the thread that wakes below the low watermark, and directly by who found no
 * frame. Frames, or objects of a page or less. */
struct reclaim_stats {
	uint64_t wakes, stalls; /* how often */
	uint64_t asked, asked_direct; /* of shrinkers */
	uint64_t given, given_direct; /* by them */
};
void reclaim_stats(struct reclaim_stats *out);

/* Whether programs are out of frames: what is left is the kernel's. Any context, a few loads. */
bool frame_scarce(void);
/* The same of the nodes that the current task's last request was bound to (mm/policy.h). */
bool frame_scarce_here(void);
/* Whether pages of files may still be added. They stop a sixteenth of memory early, so that full
 * tmpfs mounts leave room for programs. Any context, a few loads. */
bool frame_file_room(void);
