/* Nodes: which memory and which CPUs are near each other (PMM-9). One node if the firmware tells nothing. */
#pragma once

#include <hal/boot_info.h>

#define NODE_MAX 16

/* Boot, before the zones are made. */
void numa_init(const struct boot_info *info);

/* Constant afterwards. Nodes are 0 .. numa_nodes() - 1, in the order of the firmware's numbers; a node may
 * have no CPU, or no memory. */
unsigned numa_nodes(void);
unsigned numa_node_of(pfn_t pfn);
/* Where the range round `pfn` that surely lies on one node ends. */
pfn_t numa_node_end(pfn_t pfn);
unsigned numa_node_of_cpu(cpu_t cpu);
/* As the firmware tells it: 10 is the node itself, 20 twice as far. */
unsigned numa_distance(unsigned from, unsigned to);

/* Nodes that have frames, a bit each; constant once the zones are made. */
uint16_t numa_memory_nodes(void);

/* More than one node: what costs something for the sake of nodes asks this first. */
extern bool numa_many;

struct numa_figures {
	uint64_t total, free; /* frames of the allocator's on it, `free` without CPU caches */
	uint64_t hit; /* frames that were wanted here and came from here */
	uint64_t miss; /* came from here because another node had none */
	uint64_t foreign; /* were wanted here and came from another node */
	uint64_t interleaved; /* of hit: their turn came round to this node */
	uint64_t local, other; /* came from here to a CPU of this node, of another */
};
struct numa_figures numa_figures(unsigned node);
