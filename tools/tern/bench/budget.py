"""The guard: counted instructions of ten operations may not rise more than 5 % over
tests/bench/budget.json. `./tern test ARCH -k budget` checks it (tests/guest/budget.py),
`./tern bench ARCH --update-budget` writes down what the operations need now.
"""

import json

from tern.bench import guest
from tern.common import Failure, relative, say

FILE = guest.SOURCES / "budget.json"
OPERATIONS = ("null_call", "open_close", "pread_4k", "fault_anon_write", "mmap_munmap_64k",
              "pipe_round_trip", "fork_exit_wait", "fork_exec_wait", "thread_create_join",
              "futex_round_trip")
MOST = 1.05


def load():
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def count(kernel):
    """{operation: instructions}"""
    values, reasons = guest.operations(kernel, guest.Settings(kernel.arch), OPERATIONS)
    for name, why in reasons.items():
        raise Failure(f"{kernel.arch}: {kernel.name}: {name}: {why}")
    return {name: min(found) for name, found in values.items()}


def judge(arch, allowed, counted):
    """Yields (operation, is it within the budget, a line that says so)."""
    for name in OPERATIONS:
        now, before = counted[name], allowed.get(name)
        if before is None:
            yield name, False, f"{name} has no budget for {arch}: {now:,.1f} instructions"
        else:
            yield name, now <= before * MOST, (
                f"{name} went from {before:,.1f} to {now:,.1f} instructions "
                f"({now / before - 1:+.1%}, allowed {MOST - 1:+.0%})")


def update(arches):
    budgets = load()
    for arch in arches:
        counted = count(guest.Tern(arch))
        for _, _, line in judge(arch, budgets.get(arch, {}), counted):
            say(f"{arch}: {line}")
        budgets[arch] = counted
    FILE.write_text(json.dumps(budgets, indent=1) + "\n")
    say(f"wrote {relative(FILE)}")
    return 0
