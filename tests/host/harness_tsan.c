/*
 * ThreadSanitizer calls these for volatile accesses when they are told apart from plain ones
 * (-tsan-distinguish-volatile). The kernel's volatile accesses are READ_ONCE and WRITE_ONCE: races
 * on purpose. So nothing is noted here.
 */
#define IGNORE(name)                                                                               \
	void name(void *addr);                                                                     \
	void name(void *addr)                                                                      \
	{                                                                                          \
	}
#define IGNORE_ALL(name)                                                                           \
	IGNORE(name##1)                                                                            \
	IGNORE(name##2)                                                                            \
	IGNORE(name##4)                                                                            \
	IGNORE(name##8)                                                                            \
	IGNORE(name##16)

IGNORE_ALL(__tsan_volatile_read)
IGNORE_ALL(__tsan_volatile_write)
IGNORE_ALL(__tsan_unaligned_volatile_read)
IGNORE_ALL(__tsan_unaligned_volatile_write)
