"""The kernel's own operations in nanoseconds of this machine's processor: the host port, optimised.

There an address space, a slab or a frame is the same code as on the three architectures; only the HAL
beneath is a process's (hal/host). Interrupts are a flag there, so that turning them off and on costs less
than an instruction of the real kind would; a shootdown is a model and is left out.
"""

import json
import platform
import re
import subprocess

from tern import build, setup
from tern.bench import guest, report
from tern.common import Failure, locked, say

PATH = report.FOLDER / "native.json"
PRESET = "host-release"
PROGRAM = "tests/host/kernel_host"
CPU_COUNTS = (1, 2)
# {operation: (what it is, the most nanoseconds that we want it to take; 0: no goal)}
ROWS = {
    "frame_alloc_free": ("allocate a frame and free it", 20),
    "frame_alloc_free_8k": ("two frames in a row, past the CPU's stock", 0),
    "frame_batch_of_16": ("a batch of 16 frames", 0),
    "slab_alloc_free": ("a slab object of 128 bytes", 15),
    "heap_alloc_free_1000": ("a heap block of 1000 bytes", 15),
    "malloc_free_128": ("glibc: malloc and free of 128 bytes", 0),
    "malloc_free_1000": ("glibc: malloc and free of 1000 bytes", 0),
    "map_unmap_page": ("map a page and unmap it, without the flush", 50),
    "map_unmap_512_pages": ("512 pages at once", 0),
    "map_unmap_2m": ("2 MiB as one leaf", 0),
    "frame_alloc_free_all_cpus": ("a frame pair on every CPU at once", 20),
    "slab_alloc_free_all_cpus": ("a slab pair on every CPU at once", 15),
    "switch_pair": ("two context switches", 0),
    "thread_create_end": ("a kernel thread from its creation to its end", 0),
}
SCALED = ("frame_alloc_free_all_cpus", "slab_alloc_free_all_cpus")
RUNS = 5


def one_run(program, *words):
    heard = subprocess.run([program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, timeout=120)
    return {name: float(value.split()[0]) for name, value in guest.LINE.findall(heard.stdout)}


def least(*words):
    """The least of several runs: what disturbs only adds."""
    program = build.BUILD / PRESET / PROGRAM
    found = {}
    for _ in range(RUNS):
        for name, value in one_run(program, *words).items():
            found[name] = min(value, found.get(name, value))
    if not found:
        raise Failure(f"{program.name} {' '.join(words)} gave no figures")
    return found


def measure():
    setup.require("build", "host")
    with locked(f"build-{PRESET}"):
        build.configure(PRESET)
        build.ninja(PRESET, PROGRAM)  # tests need what only debug builds have
    results = {"machine": processor(), "figures": {}}
    for cpus in CPU_COUNTS:
        results["figures"][str(cpus)] = least("--threads", "--cpus", str(cpus), "kbench")
    results["figures"]["1"] |= least("--malloc")
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps(results, indent=1) + "\n")
    say("the kernel's own operations as a process")


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        name = None
    return name[1] if name else platform.machine()


def lines():
    """The section of docs/performance.md."""
    try:
        results = json.loads(PATH.read_text())
    except (OSError, ValueError):
        yield "Not measured yet: `./tern bench all --vs linux`."
        yield ""
        return
    alone, two = (results["figures"][str(cpus)] for cpus in CPU_COUNTS)
    yield (f"The host port (`hal/host`, preset `{PRESET}`) runs the same objects natively: nanoseconds on {results['machine']}, "
           f"the least of {RUNS} runs. Interrupts are a flag there, and there is no hardware to flush.")
    yield ""
    yield "| operation | 1 CPU | 2 CPUs | goal |"
    yield "|---|---:|---:|---:|"
    for name, (what, goal) in ROWS.items():
        cells = [f"{side[name]:.1f}" if name in side else "-" for side in (alone, two)]
        yield f"| {what} (`{name}`) | {' | '.join(cells)} | {goal or '-'} |"
    yield ""
    for name in SCALED:
        if name in alone and name in two:
            yield (f"- `{name}`: two CPUs do {2 * alone[name] / two[name]:.2f} times as many as one.")
    yield ""

