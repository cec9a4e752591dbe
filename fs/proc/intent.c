/* /proc/PID/intent, and the lines of /proc/PID/sched about intents and what was learnt. */
#include "procfs.h"

#include <exec/intent.h>

enum kerr proc_show_intent(struct text *t, const struct proc_subject *s)
{
	struct dis_task k;
	char line[INTENT_TEXT] = "none";
	enum kerr err = intent_look(s->tid, &k);

	if (err != KERR_OK)
		return err;
	if (k.declared)
		intent_format(&k.intent, line, sizeof(line));
	text_print(t, "%s\n", line);
	return KERR_OK;
}

enum kerr proc_write_intent(const char *text, size_t length, const struct proc_subject *s)
{
	char line[INTENT_TEXT];
	struct intent i;
	bool none;

	if (!text_line(text, length, line, sizeof(line)))
		return KERR_INVAL;
	enum kerr err = intent_parse(line, &i, &none);
	return err == KERR_OK ? intent_set(s->tid, none ? nullptr : &i) : err;
}

static unsigned long thousandths(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned long)(part * 1000 / whole) : 0;
}

static void print_learnt(struct text *t, const struct thread_model *m)
{
	struct model_advice a;

	model_advise(m, &a);
	text_print(t, "dis_behaviour : %s\ndis_samples : %u\n", behaviour_name(model_behaviour(m)),
		   m->samples);
	text_print(t, "dis_predicted_run_ns : %lu\ndis_predicted_pages : %lu\n",
		   (unsigned long)m->predicted, (unsigned long)m->memory_next);
	text_print(t, "dis_run_error_thousandths : %lu\ndis_run_close_thousandths : %lu\n",
		   thousandths(m->error, m->total),
		   thousandths(m->close, m->samples > 2 ? m->samples - 2 : 0));
	text_print(t, "dis_run_naive_thousandths : %lu\n", thousandths(m->naive, m->total));
	text_print(t, "dis_memory_error_thousandths : %lu\n",
		   thousandths(m->memory_error, m->memory_total));
	text_print(t, "dis_suggests : class=%s slice=%luus%s%s\n", intent_class_name(a.class),
		   (unsigned long)(a.slice / NSEC_PER_USEC), a.stay ? " stay" : "",
		   a.consolidate ? " consolidate" : "");
	text_print(t, "dis_anomalies : %u%s\n", m->anomaly_count, m->anomalies ? " now" : "");
	for (unsigned i = 0; i < ANOMALY_KINDS; i++)
		if (m->anomaly_to[i])
			text_print(t, "dis_anomaly_%s : from %lu to %lu%s\n", anomaly_name(i),
				   (unsigned long)m->anomaly_from[i],
				   (unsigned long)m->anomaly_to[i],
				   m->anomalies & 1u << i ? " now" : "");
}

void proc_print_dis(struct text *t, const struct proc_subject *s)
{
	struct dis_task k;

	if (intent_look(s->tid, &k) != KERR_OK)
		return;
	text_print(t, "sleep_sum_ns : %lu\nio_wait_ns : %lu\n", (unsigned long)k.model.sleep_total,
		   (unsigned long)k.model.io_wait);
	text_print(t, "dis_throttles : %lu\ndis_throttled_ns : %lu\n", (unsigned long)k.throttles,
		   (unsigned long)k.throttled);
	text_print(t, "dis_deadlines : %lu\ndis_misses : %lu\n", (unsigned long)k.deadlines,
		   (unsigned long)k.misses);
	print_learnt(t, &k.model);
}
