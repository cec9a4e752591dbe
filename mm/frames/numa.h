/* Nodes: which memory and which CPUs are near each other (PMM-9). One node if the firmware tells nothing. */
#pragma once

#include <hal/types.h>

#define NODE_MAX 16

/* Constant after numa_init(); nodes are 0 .. numa_nodes() - 1, some without CPUs, none without a range
 * or a CPU. */
unsigned numa_nodes(void);
unsigned numa_node_of(pfn_t pfn);
/* Where the range round `pfn` that lies on one node ends. */
pfn_t numa_node_end(pfn_t pfn);
unsigned numa_node_of_cpu(cpu_t cpu);
/* As firmware tells it: 10 is the node itself, 20 twice as far. */
unsigned numa_distance(unsigned from, unsigned to);
