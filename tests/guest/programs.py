"""Ordinary C programs in the guest, each as a static glibc and as a static-PIE musl program, some with
the shared libc.

A program prints "ok WHAT" and "not ok WHAT" lines (programs/tap.h); all run in one boot.
"""

import shutil

from harness import HERE, WORK, boot_cases, replacing, stage
from tern.userland import FLAVOURS, libraries, program

TIMEOUT = 400
FOLDER = HERE / "programs"
# Program: arguments in the guest; {} is the folder of the programs of the same flavour.
BOTH = {"threads": "", "signals": "", "memory": "", "files": "", "processes": "", "fpu": "", "fpustate": "",
        "epoll": "", "events": "", "locks": "", "sockets": "", "rights": "", "overcommit": "",
        "badmem": "", "faults": "", "figures": "", "aslr": "", "numa": "", "pkeys": "",
        "terncalls": "", "inheritance": "", "capabilities": "", "credentials": "", "domains": "",
        "badelf": "{}/crash"}
# Hard on the machine, the same for both flavours: once is enough.
ONCE = {"mapmodel": "2 10000", "huge": "", "epollstress": "", "socketstress": "", "hostile": "",
        "forkbomb": "", "exhaust": "", "devmem": "", "deferred": "", "modules": "", "slots": "",
        "heal": "", "intents": "", "scheduling": ""}
# They choose their policies themselves.
OWN_POLICIES = {"heal", "intents", "modules", "scheduling", "slots"}
# What a loader and shared libraries may change.
SHARED = {"threads": "", "signals": "", "processes": ""}


def table_of(target, flavour):
    if flavour == "shared":
        return SHARED
    table = {**BOTH, **(ONCE if flavour == "musl" else {})}
    return {name: table[name] for name in table if not (target.extra and name in OWN_POLICIES)}


def flavours_of(target):
    """Other policies, one CPU and the debug kernel see the static-PIE programs only: how a program was linked
    is not their business."""
    plain = not target.extra and target.smp > 1 and target.preset.endswith("release")
    return (*FLAVOURS, "shared") if plain else ("musl",)


def build_all(target, folder):
    for flavour in flavours_of(target):
        (folder / "programs" / flavour).mkdir(parents=True)
        for name in [*table_of(target, flavour), *([] if flavour == "shared" else ["crash"])]:
            binary = program(target.arch, flavour, [FOLDER / f"{name}.c"])
            shutil.copy(binary, folder / "programs" / flavour / name)
    (folder / "lib").mkdir()
    for file, name in libraries(target.arch):
        shutil.copy(file, folder / "lib" / name)


def cases(target):
    found = {}
    for flavour in flavours_of(target):
        for name, arguments in table_of(target, flavour).items():
            base = f"/t/programs/{flavour}"
            found[f"{flavour}-{name}"] = f"exec {base}/{name} {arguments.format(base)}\n"
    return found


def run(target, tap, group):
    table = cases(target)
    names = tap.matching(group, table)
    if not names:
        return
    staged = WORK / f"{group}-{target.arch}-{target.smp}-{target.boot}"
    with replacing(staged) as folder:
        stage(folder, {name: table[name] for name in names}, {})
        build_all(target, folder)
    got, process = boot_cases(target, staged, TIMEOUT)
    for name in names:
        if name not in got:
            tap.result(name, False, "the guest did not get that far")
            continue
        status, output = got[name]
        report_program(tap, name, status, output.decode(errors="backslashreplace"))
    if "end" not in got or process.returncode != 0:
        tap.result(f"{group} ends", False, f"status {process.returncode}\n"
                   + process.stderr.decode(errors="backslashreplace")[-4000:])


def report_program(tap, name, status, output):
    failed = 0
    for line in output.splitlines():
        verdict, _, what = line.partition("ok ")
        if verdict in ("", "not ") and what:
            failed += verdict != ""
            what, _, why = what.partition(" # ")
            tap.result(f"{name}: {what}", verdict == "", why)
    if (status != 0) != (failed > 0):
        tap.result(f"{name} ends", False, f"status {status}\n{output[-2000:]}")
