"""Everything at once for a while (programs/soak.c): a minute, or as many seconds as TERN_SOAK says."""

import os

from harness import HERE
from programs import report_program
from tern.userland import program

SECONDS = {"release": "60", "debug": "20"}


def run(target, tap, group):
    for _ in tap.matching(group, ["soak"]):
        seconds = os.environ.get("TERN_SOAK", SECONDS[target.preset.rpartition("-")[2]])
        binary = program(target.arch, "musl", [HERE / "programs/soak.c"])
        p = target.run(["/soak", seconds], ["--add", f"{binary}:/soak"], timeout=int(seconds) * 2 + 120)
        report_program(tap, "soak", p.returncode, p.stdout.decode(errors="replace").replace("\r", ""))
