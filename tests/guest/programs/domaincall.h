/* Tern's call 506, shortened. */
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <tern/domain.h>
#include <unistd.h>

static inline int domain_call(struct tern_domain *d, uint32_t operation, const char *name)
{
	d->size = sizeof(*d);
	d->operation = operation;
	if (name)
		strncpy(d->name, name, sizeof(d->name) - 1);
	return (int)syscall(TERN_NR_DOMAIN, d);
}

static inline int domain_capabilities(uint32_t operation, int pid, uint64_t capabilities)
{
	struct tern_domain d = {.pid = pid, .capabilities = capabilities};

	return domain_call(&d, operation, NULL);
}

static inline int domain_enter(const char *name)
{
	struct tern_domain d = {};

	return domain_call(&d, TERN_DOMAIN_ENTER, name);
}

static inline struct tern_domain domain_of(int pid)
{
	struct tern_domain d = {.pid = pid};

	if (domain_call(&d, TERN_DOMAIN_QUERY, NULL) != 0)
		memset(&d, 0, sizeof(d));
	return d;
}

static inline int capability_drop(uint64_t capabilities)
{
	return domain_capabilities(TERN_DOMAIN_DROP, 0, capabilities);
}
