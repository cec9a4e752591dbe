"""What the strategies of the scheduler `dis` must gain: programs/strategies.c, counted, so that the host's load is not in it."""

from harness import ROOT  # noqa: F401  (makes the package tern importable)
from programs import report_program
from tern.bench import guest, strategies
from tern.common import Failure


def run(target, tap, group):
    cases = {f"strategies {cpus} CPUs": cpus for cpus in (1, 4)}
    names = tap.matching(group, cases)
    if not names:
        return
    tern = guest.Tern(target.arch, target.preset)
    for name in names:
        try:
            said = strategies.boot(tern, cases[name])
        except Failure as failure:
            tap.result(name, False, str(failure))
            continue
        report_program(tap, name, int("\nnot ok " in said), said)
