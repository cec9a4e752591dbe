"""Budgets of CPU time (DI-4) with counted instructions as time: the same on any host, and exact."""

from harness import HERE
from programs import report_program
from tern.userland import program


def budgets(target, tap, group):
    for name in tap.matching(group, ["exact"]):
        binary = program(target.arch, "musl", [HERE / "programs" / "intents.c"])
        p = target.run(["/intents", "exact"], ["--icount", "--add", f"{binary}:/intents"], timeout=300)
        report_program(tap, f"intents {name}", p.returncode,
                       p.stdout.decode(errors="replace").replace("\r", ""))
