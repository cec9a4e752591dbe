/* The ordered end of the machine. */
#include <core/init.h>
#include <core/log.h>
#include <exec/process.h>
#include <lib/format.h>

void kernel_power_off(int status)
{
	char text[16];

	init_shutdown();
	format(text, sizeof(text), "%d", status);
	console_record("exit", text);
	hal.platform.power(HAL_POWER_OFF, status);
}
