/*
 * What is watched by itself: subsystems of the initialisation (init_graph.c) that have a health_check, as
 * components; and loaded modules, by their health functions and their faults.
 *
 * A subsystem is restarted by stopping and starting it, with those that need it. One that cannot be stopped has
 * no rung but escalation if it is required, and isolation (it is not asked again) if it is optional.
 */
#include "private.h"

#include <core/init.h>
#include <core/log.h>
#include <lib/format.h>
#include <module/call.h>
#include <module/loader.h>

static const struct heal_limits subsystem_limits = {
	.restarts = 3,
	.window = 60 * NSEC_PER_SEC,
	.backoff = NSEC_PER_SEC,
	.backoff_max = 16 * NSEC_PER_SEC,
};

#define SUBSYSTEMS_MAX 16u

static struct subsystem {
	struct heal_component component;
	char name[32];
} subsystems[SUBSYSTEMS_MAX]; /* (boot) */

static enum kerr subsystem_check(struct heal_component *c)
{
	const struct init_record *r = c->arg;
	return r->status->state == INIT_RUNNING ? r->ops->health_check() : KERR_NODEV;
}

static enum kerr subsystem_restart(struct heal_component *c)
{
	return init_recover(((const struct init_record *)c->arg)->name);
}

static enum kerr subsystem_isolate(struct heal_component *c)
{
	return KERR_OK;
}

static const struct heal_ops can_restart = {
	.check = subsystem_check, .restart = subsystem_restart, .isolate = subsystem_isolate};
static const struct heal_ops cannot_restart = {.check = subsystem_check,
					       .isolate = subsystem_isolate};

void heal_add_subsystems(void)
{
	const struct init_record *r;

	for (size_t i = 0, n = 0; (r = init_get(i)); i++) {
		if (!r->ops->health_check || n == SUBSYSTEMS_MAX)
			continue;
		struct subsystem *s = &subsystems[n++];
		format(s->name, sizeof(s->name), "init:%s", r->name);
		s->component = (struct heal_component){
			.name = s->name,
			.ops = r->ops->stop ? &can_restart : &cannot_restart,
			.limits = subsystem_limits,
			.arg = (void *)r,
		};
		s->component.limits.required = !r->optional;
		heal_add(&s->component);
	}
}

/* ---- Modules ---- */

static void module_told(struct module *m, const char *name, const char *why)
{
	heal_note(time_now(), name, "contained", why);
}

void heal_watch_modules(void)
{
	module_fault_register(module_told);
}

void heal_check_modules(void)
{
	struct module_view v = {.id = UINT32_MAX};

	while (module_view_before(v.id, &v)) {
		if (v.state != MODULE_LIVE || v.failed)
			continue;
		enum kerr err = module_health(v.name);
		if (err == KERR_OK || err == KERR_OPNOTSUPP || err == KERR_NOENT)
			continue;
		if (!module_isolate(v.name))
			continue;
		log_warn("heal: module %s says %s; isolated", v.name, kerr_name(err));
		heal_note(time_now(), v.name, "isolate", kerr_name(err));
	}
}
