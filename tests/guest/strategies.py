"""What the strategies of the scheduler `dis` must gain: programs/strategies.c, counted, so that the host's load is not in it.

What cannot be counted is not asked for: on RISC-V those of several CPUs (tests/host/exec_dis.c has `affinity` too).
"""

from harness import ROOT  # noqa: F401  (makes the package tern importable)
from programs import report_program
from tern.bench import guest, strategies
from tern.common import Failure


def run(target, tap, group):
    cases = {f"strategies {cpus} CPUs": cpus for cpus in (1, 4)
             if strategies.is_counted(target.arch, cpus)}
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
