"""What the HAL's table costs: the same operations on a debug kernel, which calls through the table, and
on a release kernel, where the linker has folded it away; and what the disassembly check says of it.

A debug kernel also checks lock ranks and invariants: the difference is the upper bound.
"""

import re
import subprocess
import sys

from tern import build
from tern.bench import budget, guest
from tern.common import ROOT, run_quietly, say
from tern.elf import Elf

# Calls; the disassembler names the target of those that go to one place.
INDIRECT = {"x86_64": r"\bcallq?\s+\*", "aarch64": r"\bblr\b", "riscv64": r"\bjalr\s[^<]*$"}


def check(folder):
    """What tools/check.py finds in the release kernel: nothing is good."""
    result = subprocess.run([sys.executable, "-B", ROOT / "tools/check.py", "--build", folder,
                             "hal_calls"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.stdout.strip() if result.returncode else "no table, no call through it"


def indirect_calls(arch, folder):
    """All indirect calls of the kernel's code: through the HAL, and through the other tables."""
    listing = run_quietly(["llvm-objdump-19", "-d", "--no-show-raw-insn", folder / "tern.elf"],
                          "disassembling")
    return sum(bool(re.search(INDIRECT[arch], line)) for line in listing.splitlines())


def table_size(folder):
    """The bytes of the HAL's table in the image."""
    elf = Elf((folder / "tern.elf").read_bytes())
    return sum(s.size for s in elf.symbols() if re.match(r"hal(\.|$)", s.name) and s.kind == 1)


def measure(arch, results):
    """Puts the figures into results["hal"]."""
    found = {"count": {}, "check": check(build.build(f"{arch}-release"))}
    for preset in ("release", "debug"):
        folder = build.build(f"{arch}-{preset}")
        for name, value in budget.count(guest.Tern(arch, preset)).items():
            found["count"].setdefault(name, {})[preset] = value
        found[preset] = {"indirect_calls": indirect_calls(arch, folder),
                         "table": table_size(folder)}
    results["hal"] = found
    say(f"{arch}: what the HAL's table costs")
