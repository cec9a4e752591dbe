/* /proc/net: a file for each kind of socket; the network layer above gives name and contents. */
#include "procfs.h"

#define NET_FILES_MAX 8

struct proc_entry proc_net[NET_FILES_MAX + 1]; /* (at init) ended by an empty entry */

void proc_net_register(const char *name,
		       enum kerr (*show)(struct text *t, const struct proc_subject *s))
{
	size_t n = 0;

	while (proc_net[n].mode)
		n++;
	assert(n < NET_FILES_MAX);
	proc_net[n] = (struct proc_entry){.name = name, .mode = S_IFREG | 0444, .show = show};
}
