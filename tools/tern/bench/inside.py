"""What the kernel's own operations cost (tests/kernel/bench.c), with one, two and four CPUs.

For that a release kernel is built that carries its tests: the ordinary one has none of this code.
"""

from tern import build, setup
from tern.bench import guest
from tern.common import BUILD, ROOT, Failure, locked, run_quietly, say

CPU_COUNTS = (1, 2, 4)
# There the firmware sends the requests to forget a page and spins for the answer: with -icount, one CPU
# after the other, that never ends in time. So with several CPUs it is nanoseconds.
TIMED = ("riscv64",)
WHAT = {
    "frame_alloc_free": "allocate a frame and free it",
    "frame_alloc_free_zeroed": "the same, with zeroed contents",
    "frame_alloc_free_64k": "16 frames in a row",
    "frame_batch_of_16": "a batch of 16 single frames",
    "slab_alloc_free": "a slab object of 128 bytes",
    "heap_alloc_free_1000": "a heap block of 1000 bytes",
    "kmap_alloc_free_page": "a zeroed kernel page: frame, map, unmap, shootdown, free",
    "kstack_alloc_free": "a kernel stack",
    "shootdown_page": "all CPUs forget one kernel page",
    "shootdown_512": "all CPUs forget 512 kernel pages",
    "shootdown_all": "all CPUs forget all kernel pages",
    "flush_64_pages": "one CPU forgets 64 pages, one by one",
    "flush_all_refill_64": "one CPU forgets everything, then touches 64 pages",
    "touch_64_pages": "a touch of 64 cached pages",
    "call_all_cpus": "an empty function on all CPUs, awaited",
    "switch_pair": "wake another thread and wait for it: two context switches",
    "thread_create_end": "a kernel thread from its creation to its end",
    "interrupt_to_thread": "from a due timer to the thread that slept",
}


class Inside(guest.Tern):
    """The release kernel with its tests in it."""

    def __init__(self, arch):
        setup.require("build")
        self.arch, self.version = arch, "release with tests"
        self.folder = self.image = BUILD / f"{arch}-kbench"
        with locked(f"build-{self.folder.name}"):
            if not (self.folder / "build.ninja").exists():
                run_quietly(["cmake", "--preset", f"{arch}-release", "-B", self.folder,
                             "-DTERN_TESTS=ON"], f"configuring {self.folder.name}", cwd=ROOT)
            build.ninja(self.folder.name)
        self.init = self.folder / "user" / "init"


def measure(arch, results):
    """Puts {operation: {CPUs: instructions}} into results["inside"]."""
    kernel = Inside(arch)
    found = {}
    for cpus in CPU_COUNTS:
        counted = cpus == 1 or arch not in TIMED
        heard = kernel.run(guest.Settings(arch, cpus, counted, append="kbench", timeout=60), "true")
        lines = guest.LINE.findall(heard.output)
        if not lines:
            raise Failure(f"{arch}: the kernel with {cpus} CPUs gave no figures: {heard.why}")
        for name, value in lines:
            found.setdefault(name, {})[str(cpus)] = float(value.split()[0])
    results["inside"] = found
    say(f"{arch}: the kernel's own operations")
