/*
 * Intents as text: what /proc/PID/intent shows and takes.
 *
 *	audio_playback
 *	class=interactive latency=soft:4ms cpu=quota:2ms/10ms memory=64M slice=4ms flags=numa
 *	web_server cpu=percent:20
 *	none
 *
 * What is shown can be written again. Times end in ns, us, ms or s; sizes in K, M or G; a bare number is
 * nanoseconds or bytes.
 */
#include <exec/intent.h>
#include <exec/process.h>
#include <lib/format.h>
#include <lib/string.h>

static const char *const class_names[INTENT_CLASSES] = {"realtime", "soft-realtime", "interactive",
							"server",   "batch",         "background",
							"idle",     "critical"};
static const char *const latency_names[LATENCY_KINDS] = {"none", "best-effort", "soft", "hard",
							 "bounded"};
static const char *const budget_names[BUDGET_KINDS] = {"unlimited", "percent", "quota", "shares"};
static const char *const flag_names[] = {"one-core", "all-cores", "boot-cpu", "numa", "no-inherit"};
static_assert((1u << ARRAY_SIZE(flag_names)) - 1 == INTENT_FLAGS);

const char *intent_class_name(unsigned class)
{
	return class < INTENT_CLASSES ? class_names[class] : "?";
}

/* ---- Reading ---- */

static bool index_of(const char *name, const char *const *names, unsigned count, uint8_t *out)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0) {
			*out = (uint8_t)i;
			return true;
		}
	return false;
}

/* A number and a unit; false: something else. RANGE is seen by who asks: it becomes the largest. */
static bool amount_with(const char *text, const char *const *units, const uint64_t *factors,
			unsigned count, uint64_t *out)
{
	const char *end;

	if (*text < '0' || *text > '9')
		return false;
	uint64_t value = str_to_u64(text, &end, 10);
	for (unsigned i = 0; i < count; i++)
		if (strcmp(end, units[i]) == 0)
			return !__builtin_mul_overflow(value, factors[i], out);
	return false;
}

static bool time_of(const char *text, nsec_t *out)
{
	static const char *const units[] = {"", "ns", "us", "ms", "s"};
	static const uint64_t factors[] = {1, 1, NSEC_PER_USEC, NSEC_PER_MSEC, NSEC_PER_SEC};

	return amount_with(text, units, factors, ARRAY_SIZE(units), out);
}

static bool size_of(const char *text, uint64_t *out)
{
	static const char *const units[] = {"", "K", "M", "G"};
	static const uint64_t factors[] = {1, 1 << 10, 1 << 20, 1 << 30};

	return amount_with(text, units, factors, ARRAY_SIZE(units), out);
}

static bool count_of(const char *text, uint32_t *out)
{
	static const char *const units[] = {""};
	static const uint64_t factors[] = {1};
	uint64_t value;

	if (!amount_with(text, units, factors, 1, &value) || value > UINT32_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

/* Cuts `text` at the first `c`; what is behind it, or null. */
static char *cut(char *text, char c)
{
	char *at = strchr(text, c);

	if (at)
		*at++ = 0;
	return at;
}

static bool read_latency(struct intent *i, char *value)
{
	char *time = cut(value, ':');

	i->latency_time = 0;
	return index_of(value, latency_names, LATENCY_KINDS, &i->latency) &&
	       (time != nullptr) == (i->latency >= LATENCY_SOFT) &&
	       (!time || time_of(time, &i->latency_time));
}

static bool read_budget(struct intent *i, char *value)
{
	char *rest = cut(value, ':'), *period;

	i->amount = 0;
	i->quota = i->period = 0;
	if (!index_of(value, budget_names, BUDGET_KINDS, &i->budget) ||
	    (rest != nullptr) != (i->budget != BUDGET_UNLIMITED))
		return false;
	switch (i->budget) {
	case BUDGET_PERCENT:
		period = cut(rest, '/');
		return count_of(rest, &i->amount) && (!period || time_of(period, &i->period));
	case BUDGET_QUOTA:
		period = cut(rest, '/');
		return period && time_of(rest, &i->quota) && time_of(period, &i->period);
	case BUDGET_SHARES:
		return count_of(rest, &i->amount);
	default:
		return true;
	}
}

static bool read_flags(struct intent *i, char *value)
{
	uint8_t bit;

	i->flags = 0;
	if (strcmp(value, "none") == 0)
		return true;
	for (char *next; value; value = next) {
		next = cut(value, ',');
		if (!index_of(value, flag_names, ARRAY_SIZE(flag_names), &bit))
			return false;
		i->flags |= 1u << bit;
	}
	return true;
}

static enum kerr read_word(struct intent *i, char *word, bool first)
{
	char *value = cut(word, '=');
	bool good = false;

	if (!value)
		return first ? intent_preset(word, i) : KERR_INVAL;
	if (strcmp(word, "preset") == 0)
		return intent_preset(value, i);
	if (strcmp(word, "class") == 0)
		good = index_of(value, class_names, INTENT_CLASSES, &i->class);
	else if (strcmp(word, "latency") == 0)
		good = read_latency(i, value);
	else if (strcmp(word, "cpu") == 0)
		good = read_budget(i, value);
	else if (strcmp(word, "slice") == 0)
		good = time_of(value, &i->slice);
	else if (strcmp(word, "flags") == 0)
		good = read_flags(i, value);
	else if (strcmp(word, "memory") == 0)
		good = strcmp(value, "unlimited") == 0 ? (i->memory = 0, true)
						       : size_of(value, &i->memory);
	i->preset = 0;
	return good ? KERR_OK : KERR_INVAL;
}

enum kerr intent_parse(const char *text, struct intent *out, bool *none)
{
	char line[INTENT_TEXT];
	struct intent i = {.class = INTENT_SERVER};
	bool first = true;

	if (strlcpy(line, text, sizeof(line)) >= sizeof(line))
		return KERR_INVAL;
	*none = strcmp(line, "none") == 0;
	if (*none)
		return KERR_OK;
	for (char *word = line, *next; word; word = next) {
		next = cut(word, ' ');
		if (!*word)
			continue;
		enum kerr err = read_word(&i, word, first);
		if (err != KERR_OK)
			return err;
		first = false;
	}
	if (first)
		return KERR_INVAL;
	enum kerr err = intent_complete(&i);
	if (err == KERR_OK)
		*out = i;
	return err;
}

/* ---- Writing ---- */

static size_t add(char *text, size_t size, size_t at, const char *fmt, ...) PRINTF_LIKE(4, 5);
static size_t add(char *text, size_t size, size_t at, const char *fmt, ...)
{
	va_list args;

	if (at >= size)
		return at;
	va_start(args, fmt);
	int n = vformat(text + at, size - at, fmt, args);
	va_end(args);
	return at + (size_t)n;
}

static size_t add_time(char *text, size_t size, size_t at, nsec_t t)
{
	if (t % NSEC_PER_MSEC == 0)
		return add(text, size, at, "%lums", (unsigned long)(t / NSEC_PER_MSEC));
	return add(text, size, at, "%luns", (unsigned long)t);
}

static size_t add_budget(char *text, size_t size, size_t at, const struct intent *i)
{
	if (i->budget == BUDGET_UNLIMITED)
		return at;
	at = add(text, size, at, " cpu=%s:", budget_names[i->budget]);
	if (i->budget == BUDGET_QUOTA)
		at = add_time(text, size, at, i->quota);
	else
		at = add(text, size, at, "%u", i->amount);
	if (i->budget == BUDGET_SHARES)
		return at;
	at = add(text, size, at, "/");
	return add_time(text, size, at, i->period);
}

void intent_format(const struct intent *i, char *text, size_t size)
{
	size_t at = 0;

	if (i->preset)
		at = add(text, size, at, "preset=%s ", intent_preset_name(i->preset - 1u));
	at = add(text, size, at, "class=%s", class_names[i->class]);
	at = add(text, size, at, " latency=%s", latency_names[i->latency]);
	if (i->latency >= LATENCY_SOFT)
		at = add_time(text, size, add(text, size, at, ":"), i->latency_time);
	at = add_budget(text, size, at, i);
	if (i->slice)
		at = add_time(text, size, add(text, size, at, " slice="), i->slice);
	if (i->memory)
		at = add(text, size, at, " memory=%luK", (unsigned long)(i->memory >> 10));
	for (unsigned f = 0, some = 0; f < ARRAY_SIZE(flag_names); f++)
		if (i->flags & 1u << f)
			at = add(text, size, at, "%s%s", some++ ? "," : " flags=", flag_names[f]);
}
