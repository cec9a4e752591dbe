/* The text of /proc/cpuinfo for one CPU, with the names that Linux programs look for. */
#include "cpu.h"

#include <lib/format.h>
#include <lib/string.h>

/* A name for each bit of one CPUID register, in the order of the bits; empty: not shown. */
struct flag_word {
	uint32_t leaf;
	uint8_t reg; /* 0 a, 1 b, 2 c, 3 d */
	const char *names;
};

static const struct flag_word flag_words[] = {
	{1, 3,
	 "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - "
	 "dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
	{1, 2,
	 "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - "
	 "pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c "
	 "rdrand hypervisor"},
	{0x80000001, 3,
	 "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - "
	 "lm 3dnowext 3dnow"},
	{0x80000001, 2,
	 "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs "
	 "xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext"},
	{7, 1,
	 "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a "
	 "avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er "
	 "avx512cd sha_ni avx512bw avx512vl"},
	{7, 2,
	 "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni "
	 "avx512_bitalg - avx512_vpopcntdq"},
};

struct text {
	char *buf;
	size_t size, length;
};

#define text_add(t, ...)                                                                           \
	((t)->length +=                                                                            \
	 (size_t)format((t)->buf ? (t)->buf + MIN((t)->length, (t)->size) : nullptr,               \
			(t)->length < (t)->size ? (t)->size - (t)->length : 0, __VA_ARGS__))

static uint32_t flag_register(const struct flag_word *w)
{
	uint32_t last = x86_cpuid(w->leaf & 0x80000000, 0).a;
	if (w->leaf > last)
		return 0;
	struct x86_cpuid r = x86_cpuid(w->leaf, 0);
	return w->reg == 1 ? r.b : w->reg == 2 ? r.c : r.d;
}

static void flags_add(struct text *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++) {
		const char *name = flag_words[i].names;
		for (uint32_t bits = flag_register(&flag_words[i]); *name; bits >>= 1) {
			const char *end = strchr(name, ' ');
			int length = end ? (int)(end - name) : (int)strlen(name);
			if (bits & 1 && *name != '-')
				text_add(t, " %.*s", length, name);
			name += length + (end != nullptr);
		}
	}
}

size_t x86_cpu_describe(cpu_t cpu, char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	struct x86_cpuid zero = x86_cpuid(0, 0), one = x86_cpuid(1, 0);
	uint32_t vendor[4] = {zero.b, zero.d, zero.c, 0}, brand[13] = {};
	uint32_t family = one.a >> 8 & 15, model = one.a >> 4 & 15, khz = x86_timer_tsc_khz();
	if (family == 6 || family == 15)
		model |= one.a >> 12 & 0xf0;
	if (family == 15)
		family += one.a >> 20 & 0xff;
	if (x86_cpuid(0x80000000, 0).a >= 0x80000004)
		for (uint32_t i = 0; i < 3; i++) {
			struct x86_cpuid r = x86_cpuid(0x80000002 + i, 0);
			memcpy(brand + 4 * i, &r, sizeof(r));
		}
	text_add(&t, "vendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n",
		 (const char *)vendor, family, model, (const char *)brand);
	text_add(&t, "stepping\t: %u\ncpu MHz\t\t: %u.%03u\nphysical id\t: %u\n", one.a & 15,
		 khz / 1000, khz % 1000, cpu);
	text_add(&t, "apicid\t\t: %u\nfpu\t\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:",
		 x86_cpus[cpu].apic_id, zero.a);
	flags_add(&t);
	text_add(&t, "\nclflush size\t: %u\naddress sizes\t: %u bits physical, %u bits virtual\n",
		 (one.b >> 8 & 0xff) * 8, x86_features.physical_bits, x86_features.linear_bits);
	return t.length;
}
