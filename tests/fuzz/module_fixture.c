/*
 * What the module loader's fuzz driver loads: not run, but compiled for each architecture, so that it holds
 * what the compiler makes of calls, tables, jumps by table, and data of every kind. With ALONE it wants
 * nothing of the kernel, whose functions are out of reach in a host process.
 */
#include <core/log.h>
#include <core/spinlock.h>
#include <lib/export.h>
#include <mm/heap.h>
#include <module/module.h>

static uint32_t level = 3;
static char title[24] = "fixture";
static bool enabled;
MODULE_PARAM_UINT(level, "a number");
MODULE_PARAM_TEXT(title, "a text");
MODULE_PARAM_BOOL(enabled, "a switch");

static struct spinlock lock = SPINLOCK_INIT(RANK_NONE, "fixture");
static uint8_t zeroes[5000];
static uint16_t halves[64] = {1, 2, 3};
static const char *const words[] = {"one", "two", "three"};
static int (*table[4])(int);

static NOINLINE int plus(int a)
{
	return a + (int)halves[a & 63];
}

static NOINLINE int minus(int a)
{
	return a - zeroes[(unsigned)a % sizeof(zeroes)];
}

int fixture_work(int a);
#if defined(ALONE)
int fixture_work(int a)
{
	table[0] = plus;
	table[1] = minus;
	return enabled ? words[a & 1][0] + title[0] : table[a & 1](a) + (int)sizeof(lock);
}
#else
int fixture_work(int a)
{
	table[0] = plus;
	table[1] = minus;
	bool on = spin_lock_irq(&lock);
	switch (a) {
	case 0:
		log_info("%s", words[a]);
		break;
	case 1:
		log_error("%u", level);
		break;
	case 2:
		zeroes[a] = halves[2];
		break;
	case 3:
		heap_free(heap_alloc(100));
		break;
	case 4:
		a = plus(a) * 7;
		break;
	case 5:
		title[3] = 'x';
		break;
	case 6:
		enabled = !enabled;
		break;
	default:
		a = table[a & 1](a);
	}
	spin_unlock_irq(&lock, on);
	return a;
}
#endif
EXPORT_SYMBOL(fixture_work);

static INIT_TEXT int early(int a)
{
	return fixture_work(a) + 1;
}

int fixture_early(void);
INIT_TEXT int fixture_early(void)
{
	return early((int)level);
}

MODULE_DESCRIPTION("For tests");
MODULE(fixture, .version = "7");
