/*
 * Random numbers: ChaCha20 (RFC 8439, section 2.3) in counter mode, a generator per CPU, with fast
 * key erasure: each refill of the buffer takes its first 32 bytes as the next key, so old output
 * cannot be computed from captured state.
 *
 * A pool of 32 bytes collects entropy: the firmware's seed, the CPU's random instruction, clock
 * readings at interrupts. A generator takes the pool in when the pool's generation has moved on.
 *
 * Locks: a generator is its CPU's own, used with interrupts off; the pool has a lock.
 * Rejected: one shared generator (a lock on every call); the hardware instruction alone (slow in
 * emulators, trusted blindly).
 */
#include "core_private.h"
#include <core/cpu.h>
#include <core/log.h>
#include <core/random.h>
#include <core/time.h>
#include <lib/string.h>

#define BLOCK_WORDS 16
#define BUFFER_BLOCKS 4

struct generator {
	uint32_t key[8];
	uint64_t counter;
	uint32_t generation;  /* of the pool when it was taken in; 0: never */
	uint32_t available;   /* bytes at the end of buffer */
	uint8_t buffer[BUFFER_BLOCKS * 64];
} ALIGNED(64);

static struct generator generators[CPU_MAX];

static struct {
	struct spinlock lock;
	uint32_t words[8];     /* (lock) */
	_Atomic uint32_t generation;
} pool = {.lock = SPINLOCK_INIT(RANK_LOG, "random"), .generation = 1};

static uint32_t rotate(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static void quarter_round(uint32_t *s, unsigned a, unsigned b, unsigned c, unsigned d)
{
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 16);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 12);
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 8);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 7);
}

static void chacha_block(const uint32_t key[8], uint64_t counter, uint32_t out[BLOCK_WORDS])
{
	uint32_t start[BLOCK_WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

	memcpy(start + 4, key, 32);
	start[12] = (uint32_t)counter;
	start[13] = (uint32_t)(counter >> 32);
	memcpy(out, start, sizeof(start));
	for (unsigned i = 0; i < 10; i++) {
		quarter_round(out, 0, 4, 8, 12);
		quarter_round(out, 1, 5, 9, 13);
		quarter_round(out, 2, 6, 10, 14);
		quarter_round(out, 3, 7, 11, 15);
		quarter_round(out, 0, 5, 10, 15);
		quarter_round(out, 1, 6, 11, 12);
		quarter_round(out, 2, 7, 8, 13);
		quarter_round(out, 3, 4, 9, 14);
	}
	for (unsigned i = 0; i < BLOCK_WORDS; i++)
		out[i] += start[i];
}

static void refill(struct generator *g)
{
	uint32_t generation = atomic_load_explicit(&pool.generation, memory_order_relaxed);

	if (g->generation != generation) {
		spin_acquire(&pool.lock);
		for (unsigned i = 0; i < 8; i++)
			g->key[i] ^= pool.words[i];
		spin_release(&pool.lock);
		g->generation = generation;
		g->counter ^= (uint64_t)cpu_id() << 56;
	}
	for (unsigned i = 0; i < BUFFER_BLOCKS; i++)
		chacha_block(g->key, g->counter++, (uint32_t *)(g->buffer + i * 64));
	memcpy(g->key, g->buffer, sizeof(g->key));
	memset(g->buffer, 0, sizeof(g->key));
	g->available = sizeof(g->buffer) - sizeof(g->key);
}

void random_bytes(void *buf, size_t size)
{
	uint8_t *out = buf;

	while (size > 0) {
		bool on = hal.cpu.irq_save();
		struct generator *g = &generators[cpu_id()];
		if (g->available == 0)
			refill(g);
		size_t n = MIN(size, (size_t)g->available);
		uint8_t *from = g->buffer + sizeof(g->buffer) - g->available;
		memcpy(out, from, n);
		memset(from, 0, n);
		g->available -= (uint32_t)n;
		hal.cpu.irq_restore(on);
		out += n;
		size -= n;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}

void random_mix(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint32_t block[BLOCK_WORDS];
	bool on = spin_lock_irq(&pool.lock);

	for (size_t i = 0; i < size; i++) {
		pool.words[i % 8] ^= (uint32_t)bytes[i] << (8 * (i / 8 % 4));
		if (i % 32 == 31 || i + 1 == size) {
			chacha_block(pool.words, i, block);
			memcpy(pool.words, block, sizeof(pool.words));
		}
	}
	atomic_fetch_add_explicit(&pool.generation, 1, memory_order_relaxed);
	spin_unlock_irq(&pool.lock, on);
}

void random_seed_at_boot(const struct boot_info *info)
{
	uint64_t words[5] = {info->entered};
	unsigned hardware = 0;

	for (unsigned i = 1; i < ARRAY_SIZE(words); i++)
		hardware += hal.cpu.entropy(&words[i]);
	random_mix(words, sizeof(words));
	if (info->seed_size)
		random_mix(info->seed, info->seed_size);
	if (hardware == 0 && info->seed_size == 0)
		log_warn("random: no hardware source and no seed from the firmware; numbers can be "
			 "guessed until interrupts have come in");
}
