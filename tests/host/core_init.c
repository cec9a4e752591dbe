/* core/init_graph.c: order, what is refused by name, failures with and without rollback. */
#include "machine.h"

#include <core/init.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static char trace[400];

static void note(char what, const char *name)
{
	size_t n = strlen(trace);

	snprintf(trace + n, sizeof(trace) - n, "%c%s ", what, name);
}

static enum kerr fail_init, fail_start, fail_stop; /* of "x" */

#define OPS(id)                                                                                    \
	static enum kerr init_##id(const struct boot_info *info)                                   \
	{                                                                                          \
		note('i', #id);                                                                    \
		return strcmp(#id, "x") == 0 ? fail_init : KERR_OK;                                \
	}                                                                                          \
	static enum kerr start_##id(void)                                                          \
	{                                                                                          \
		note('s', #id);                                                                    \
		return strcmp(#id, "x") == 0 ? fail_start : KERR_OK;                               \
	}                                                                                          \
	static enum kerr stop_##id(void)                                                           \
	{                                                                                          \
		note('e', #id);                                                                    \
		return strcmp(#id, "x") == 0 ? fail_stop : KERR_OK;                                \
	}                                                                                          \
	static const struct init_ops ops_##id = {                                                  \
		.init = init_##id, .start = start_##id, .stop = stop_##id};                        \
	static struct init_status status_##id

OPS(a);
OPS(b);
OPS(c);
OPS(x);

/* clang-format off */
#define RECORD(id, ...)                                                                            \
	&(const struct init_record){.name = #id, .ops = &ops_##id, .status = &status_##id, __VA_ARGS__}
/* clang-format on */

static struct init_graph graph;

static enum kerr run(const struct init_record *const *records, size_t count)
{
	static bool up;

	if (!up)
		test_machine(nullptr);
	up = true;
	trace[0] = '\0';
	status_a = status_b = status_c = status_x = (struct init_status){};
	graph = (struct init_graph){.records = records, .count = count};
	enum kerr err = init_graph_run(&graph, INIT_RUNTIME, nullptr);
	if (err != KERR_OK && !*graph.why)
		abort();
	return err;
}

/* No block: what it makes lives to the end of the test. */
#define RUN(...)                                                                                   \
	run((const struct init_record *const[]){__VA_ARGS__},                                      \
	    sizeof((const struct init_record *const[]){__VA_ARGS__}) / sizeof(void *))

static void ok(void)
{
	fail_init = fail_start = fail_stop = KERR_OK;
}

TEST(init_order)
{
	ok();
	EXPECT_EQ(RUN(RECORD(a, .phase = INIT_LATE), RECORD(b, .phase = INIT_CORE, .priority = 5),
		      RECORD(c, .phase = INIT_CORE, .priority = 1)),
		  KERR_OK);
	EXPECT_STR(trace, "ic sc ib sb ia sa ");
	EXPECT_EQ(RUN(RECORD(a, INIT_DEPENDS("b"), .priority = -1), RECORD(b, .priority = 9)),
		  KERR_OK);
	EXPECT_STR(trace, "ib sb ia sa ");
	EXPECT_EQ(RUN(RECORD(a, .requires = INIT_HEAP), RECORD(b, .provides = INIT_HEAP)), KERR_OK);
	EXPECT_STR(trace, "ib sb ia sa ");
	EXPECT_EQ(status_a.state, INIT_RUNNING);
	init_graph_stop_all(&graph);
	EXPECT_STR(trace, "ib sb ia sa ea eb ");
	EXPECT_EQ(status_a.state, INIT_STOPPED);
}

TEST(init_refuses_by_name)
{
	ok();
	EXPECT_EQ(RUN(RECORD(a), RECORD(b, INIT_DEPENDS("nobody"))), KERR_NOENT);
	EXPECT_STR(graph.why, "\"b\" depends on \"nobody\", which does not exist");
	EXPECT_STR(trace, "");
	EXPECT_EQ(RUN(RECORD(a), RECORD(a)), KERR_EXIST);
	EXPECT_STR(graph.why, "two subsystems are called \"a\"");
	EXPECT_EQ(RUN(RECORD(a, INIT_DEPENDS("b")), RECORD(b, INIT_DEPENDS("c")),
		      RECORD(c, INIT_DEPENDS("b"))),
		  KERR_LOOP);
	EXPECT_STR(graph.why, "a cycle: \"b\" depends on \"c\" depends on \"b\"");
	EXPECT_EQ(RUN(RECORD(a, INIT_DEPENDS("a"))), KERR_LOOP);
	EXPECT_STR(trace, "");
	EXPECT_EQ(RUN(RECORD(a, .phase = INIT_CORE, INIT_DEPENDS("b")),
		      RECORD(b, .phase = INIT_LATE)),
		  KERR_INVAL);
	EXPECT_STR(graph.why, "\"a\" depends on \"b\", which starts in a later phase");
	EXPECT_EQ(RUN(RECORD(a), RECORD(b, .requires = INIT_IPC | INIT_NETWORK)), KERR_NODEV);
	EXPECT_STR(graph.why,
		   "\"b\" requires IPC NETWORK, which nothing provides; stopped again: a");
	EXPECT_STR(trace, "ia sa ea ");
	EXPECT_EQ(status_b.state, INIT_FAILED);
}

TEST(init_optional_failure)
{
	ok();
	fail_init = KERR_NODEV;
	EXPECT_EQ(RUN(RECORD(a), RECORD(x, .optional = true), RECORD(c, .priority = 1)), KERR_OK);
	EXPECT_STR(trace, "ia sa ix ic sc ");
	EXPECT_EQ(status_x.state, INIT_FAILED);
	EXPECT_EQ(status_x.error, KERR_NODEV);
	/* Who needs it fails too, and if that is optional, so be it. */
	EXPECT_EQ(RUN(RECORD(a), RECORD(x, .optional = true, .provides = INIT_IPC),
		      RECORD(b, .optional = true, .requires = INIT_IPC),
		      RECORD(c, .optional = true, INIT_DEPENDS("b"))),
		  KERR_OK);
	EXPECT_STR(trace, "ia sa ix ");
	EXPECT_EQ(status_b.state, INIT_FAILED);
	EXPECT_EQ(status_c.state, INIT_FAILED);
	EXPECT_EQ(status_a.state, INIT_RUNNING);
	ok();
	fail_start = KERR_IO; /* what its init did is undone */
	EXPECT_EQ(RUN(RECORD(a), RECORD(x, .optional = true)), KERR_OK);
	EXPECT_STR(trace, "ia sa ix sx ex ");
}

TEST(init_required_failure_rolls_back)
{
	ok();
	fail_start = KERR_NOMEM;
	EXPECT_EQ(RUN(RECORD(a), RECORD(b, INIT_DEPENDS("a")), RECORD(x, .priority = 1),
		      RECORD(c, .priority = 2)),
		  KERR_NOMEM);
	EXPECT_STR(trace, "ia sa ib sb ix sx ex eb ea ");
	EXPECT_STR(graph.why, "\"x\" failed: out of memory; stopped again: b a");
	EXPECT_EQ(status_a.state, INIT_STOPPED);
	EXPECT_EQ(status_x.state, INIT_FAILED);
	EXPECT_EQ(status_c.state, INIT_REGISTERED);
	/* A required one behind a failed optional one. */
	EXPECT_EQ(RUN(RECORD(a), RECORD(x, .optional = true), RECORD(c, INIT_DEPENDS("x"))),
		  KERR_NODEV);
	EXPECT_STR(graph.why, "\"c\" depends on \"x\", which is failed; stopped again: a");
	EXPECT_STR(trace, "ia sa ix sx ex ea ");
}

static bool inject_b(const char *name)
{
	return strcmp(name, "b") == 0;
}

TEST(init_injected_failure)
{
	const struct init_record *records[] = {RECORD(a), RECORD(b, .optional = true)};

	ok();
	EXPECT_EQ(run(records, 0), KERR_OK);
	graph = (struct init_graph){.records = records, .count = 2, .inject = inject_b};
	EXPECT_EQ(init_graph_run(&graph, INIT_RUNTIME, nullptr), KERR_OK);
	EXPECT_STR(trace, "ia sa ib eb ");
	EXPECT_EQ(status_b.state, INIT_FAILED);
}

TEST(init_stop_and_recover)
{
	static const struct init_ops fixed_ops = {.init = init_c};

	ok();
	EXPECT_EQ(RUN(RECORD(a), RECORD(x, INIT_DEPENDS("a")), RECORD(b, INIT_DEPENDS("x"))),
		  KERR_OK);
	trace[0] = '\0';
	EXPECT_EQ(init_graph_recover(&graph, "x", nullptr), KERR_OK);
	EXPECT_STR(trace, "eb ex ix sx ib sb ");
	EXPECT_EQ(status_x.state, INIT_RUNNING);
	trace[0] = '\0';
	EXPECT_EQ(init_graph_stop(&graph, "a"), KERR_OK);
	EXPECT_STR(trace, "eb ex ea ");
	EXPECT_EQ(init_graph_stop(&graph, "a"), KERR_NOENT);
	EXPECT_EQ(init_graph_stop(&graph, "nobody"), KERR_NOENT);
	EXPECT_EQ(init_graph_recover(&graph, "nobody", nullptr), KERR_NOENT);
	EXPECT_EQ(RUN(RECORD(a, .provides = INIT_IPC),
		      &(const struct init_record){.name = "c",
						  .ops = &fixed_ops,
						  .status = &status_c,
						  .requires = INIT_IPC}),
		  KERR_OK);
	EXPECT_EQ(init_graph_stop(&graph, "c"), KERR_OPNOTSUPP);
	EXPECT_EQ(init_graph_stop(&graph, "a"), KERR_BUSY);
	EXPECT_STR(graph.why, "\"c\" needs \"a\" and cannot be stopped");
	EXPECT_EQ(status_a.state, INIT_RUNNING);
}
