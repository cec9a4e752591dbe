#!/usr/bin/env python3
"""Runs one group of guest tests on one machine: guest.py GROUP ARCH PRESET [--smp N] [--boot METHOD]
[--append WORDS].

ctest starts it (tests/CMakeLists.txt); it prints TAP lines. TERN_TEST_PATTERN picks cases.
"""

import argparse
import sys

import budget
import busybox
import command
import heal
import intents
import interactive
import kernel
import kshell
import locks
import machines
import memory
import modules
import programs
import soak
import strategies
import swaps
from harness import Tap, Target
from tern.common import Failure

GROUPS = {
    "busybox": busybox.against_linux,
    "system": busybox.of_the_system,
    "programs": programs.run,
    "command": command.run,
    "interactive": interactive.run,
    "kshell": kshell.run,
    "heal": heal.run,
    "machines": machines.run,
    "memory": memory.run,
    "modules": modules.run,
    "soak": soak.run,
    "swaps": swaps.run,
    "locks": locks.run,
    "budget": budget.run,
    "strategies": strategies.run,
    "intents": intents.budgets,
    "kernel": kernel.inside,
    "crashes": kernel.crashes,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("arch")
    parser.add_argument("preset")
    parser.add_argument("--smp", type=int, default=4)
    parser.add_argument("--boot", default="direct")
    parser.add_argument("--append", default="", help="words for the kernel's command line")
    options = parser.parse_args()
    tap = Tap()
    target = Target(options.arch, options.preset, options.smp, options.boot,
                    ["--append", options.append] if options.append else [])
    name = f"guest.{options.group}.smp{options.smp}" \
        + ("" if options.boot == "direct" else f".{options.boot}") \
        + "".join(f".{word}" for word in options.append.split())
    try:
        GROUPS[options.group](target, tap, name)
    except Failure as failure:
        tap.result(name, False, failure)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
