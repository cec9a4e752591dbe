/*
 * The smallest module: it says hello as often as its parameter wants, and goodbye.
 *
 *	insmod /lib/modules/6.1.0-tern/hello.ko times=2 whom=world
 */
#include <core/log.h>
#include <module/module.h>

static uint32_t times = 1;
static char whom[32] = "kernel";
static bool loud;
MODULE_PARAM_UINT(times, "how often it says hello");
MODULE_PARAM_TEXT(whom, "to whom");
MODULE_PARAM_BOOL(loud, "with an exclamation mark");

static enum kerr hello_init(void)
{
	if (times > 100)
		return KERR_INVAL;
	for (uint32_t i = 0; i < times; i++)
		log_info("hello, %s%s", whom, loud ? "!" : "");
	return KERR_OK;
}

static void hello_exit(void)
{
	log_info("goodbye, %s", whom);
}

static enum kerr hello_health(void)
{
	return KERR_OK;
}

MODULE_DESCRIPTION("Says hello");
MODULE(hello, .version = "1.0", .init = hello_init, .exit = hello_exit, .health = hello_health);
