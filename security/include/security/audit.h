/* Refusals, counted and logged: see audit.c. */
#pragma once

#include <security/domain.h>

struct audit_subject {
	const char *name;
	int pid;
	struct domain *domain;
};

void audit_capability(enum tern_capability c, const struct audit_subject *s);
void audit_call(unsigned number, const struct audit_subject *s);
void audit_isolation(const char *what, const struct audit_subject *s);

struct audit_figures {
	bool logging;
	uint64_t calls, isolation; /* refused at the gate, by a domain's isolation */
};
uint64_t audit_denied(enum tern_capability c);
void audit_figures(struct audit_figures *out);
void audit_set_logging(bool on);
void audit_boot(void);
