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
ALLOCATORS = ("buddy", "bitmap", "hybrid", "bump")
BY_ALLOCATOR = ("frame_alloc_free", "frame_alloc_free_8k", "frame_alloc_free_64k",
                "frame_alloc_free_2m", "frame_alloc_free_8k_all_cpus")
WHAT = {
    "frame_alloc_free": "allocate a frame and free it",
    "frame_alloc_free_zeroed": "the same, with zeroed contents",
    "frame_alloc_free_8k": "two frames in a row: past the CPU's stock, the policy itself",
    "frame_alloc_free_64k": "16 frames in a row",
    "frame_alloc_free_2m": "512 frames in a row",
    "frame_batch_of_16": "a batch of 16 single frames",
    "slab_alloc_free": "a slab object of 128 bytes",
    **{f"heap_alloc_free_{size}": f"a heap block of {size} bytes"
       for size in (8, 16, 32, 64, 128, 256, 512, 1000, 2048, 4096, 8192, 16384, 65536)},
    "kmap_alloc_free_page": "a zeroed kernel page: frame, map, unmap, shootdown, free",
    "kstack_alloc_free": "a kernel stack",
    "map_unmap_page": "map a page in a user table and unmap it, before the flush",
    "map_unmap_512_pages": "512 pages at once",
    "map_unmap_2m": "2 MiB as one leaf",
    "shootdown_page": "all CPUs forget one kernel page",
    "shootdown_512": "all CPUs forget 512 kernel pages",
    "shootdown_all": "all CPUs forget all kernel pages",
    "flush_64_pages": "one CPU forgets 64 pages, one by one",
    "flush_all_refill_64": "one CPU forgets everything, then touches 64 pages",
    "touch_64_pages": "a touch of 64 cached pages",
    "call_all_cpus": "an empty function on all CPUs, awaited",
    "frame_alloc_free_all_cpus": "a frame pair on every CPU at once",
    "frame_alloc_free_8k_all_cpus": "two frames in a row on every CPU at once",
    "slab_alloc_free_all_cpus": "a slab object on every CPU at once",
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


def allocator(kernel, name):
    """{operation: {CPUs: instructions}} with another frame allocator. Bump never takes back: one row."""
    found = {}
    for cpus in (1,) if kernel.arch in TIMED or name == "bump" else (1, CPU_COUNTS[-1]):
        for row in ("frame_alloc_free_8k",) if name == "bump" else BY_ALLOCATOR:
            heard = kernel.run(guest.Settings(kernel.arch, cpus, True, timeout=60,
                                              append=f"kbench={row} pmm={name}"), "true")
            for _, value in guest.LINE.findall(heard.output):
                found.setdefault(row, {})[str(cpus)] = float(value.split()[0])
    return found


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
    results["allocators"] = {name: allocator(kernel, name) for name in ALLOCATORS}
    say(f"{arch}: the kernel's own operations")
