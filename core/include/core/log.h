/*
 * The kernel log: a ring of records {time, level, text}, written from any context, read by the
 * console as it goes and by dmesg, /dev/kmsg and the panic page later. Lines carry no newline.
 */
#pragma once

#include <hal/types.h>
#include <lib/compiler.h>

enum log_level {
	LOG_EMERG,
	LOG_ALERT,
	LOG_CRIT,
	LOG_ERR,
	LOG_WARN,
	LOG_NOTICE,
	LOG_INFO,
	LOG_DEBUG
};

/* Any context. The text is cut at 255 bytes. */
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_write(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

/* Copies the record `*seq` or the oldest after it as "<level>[   s.uuuuuu] text\n" (without
 * "<level>" if !with_level) and moves *seq behind it. Returns the length, 0: nothing newer. */
size_t log_read(uint64_t *seq, char *buf, size_t size, bool with_level);
uint64_t log_next_seq(void);  /* the number the next record will get */
uint64_t log_first_seq(void); /* the oldest record still there */
size_t log_buffer_size(void);
void log_set_console_level(enum log_level below); /* records below it go to the console */

/* Raw bytes to the console, serialised with the log; any context. */
void console_write(const char *bytes, size_t count);
/* A record beside the program's output: ESC _ tern:KIND:TEXT ESC \  when console=framed,
 * nothing otherwise. For "exit". */
void console_record(const char *kind, const char *text);
/* Who gets console input; interrupt context. One consumer: the console terminal. */
void console_set_input(void (*consume)(const char *bytes, size_t count));
