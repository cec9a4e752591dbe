"""The counted instructions of ten operations against tests/bench/budget.json."""

from harness import ROOT  # noqa: F401  (makes the package tern importable)
from tern.bench import budget, guest


def run(target, tap, group):
    names = tap.matching(group, budget.OPERATIONS)
    if not names:
        return
    counted = budget.count(guest.Tern(target.arch, target.preset))
    for name, good, line in budget.judge(target.arch, budget.load().get(target.arch, {}), counted):
        if name in names:
            tap.result(f"budget {name}", good, f"{line}\nif that is meant: ./tern bench "
                       f"{target.arch} --update-budget, and say why in the commit")
