"""Reads the command line. A wrong call gets one line on stderr and status 2."""

import argparse
import re
import signal
import sys

from tern.common import ARCHES, STATUS_FAILED, Failure, Usage, say

HELP = """\
Tern: one kernel for x86_64, AArch64 and RISC-V 64.

  ./tern setup                              install what is missing from the distribution
  ./tern build [ARCH|all] [--preset NAME]   build the kernel
  ./tern run [ARCH] [OPTIONS]               boot to a shell on this terminal
  ./tern run [ARCH] [OPTIONS] -- PROGRAM ARGS...
                                            boot, run one program, exit with its status
  ./tern test [host|ARCH|all] [-k PATTERN]  run the tests
  ./tern bench [ARCH|all] [OPTIONS]         run the benchmarks, in counted instructions

ARCH is x86_64 (the default), aarch64 or riscv64. Options of run:

  --smp N             CPUs (4)                 --append "WORDS"    add to the kernel command line
  --mem SIZE          memory (512M)            --add HOST[:GUEST]  add a file or folder (repeatable)
  --cpu MODEL         the emulator's CPU       --disk IMAGE        attach a disk (repeatable)
  --machine NAME      the emulator's machine   --icount            count instructions
  --boot METHOD       direct, grub (x86_64)    --timeout S         give up after S seconds
  --preset NAME       release, debug           --gdb               wait for a debugger
  --qemu "WORDS"      more for the emulator    -v                  show the kernel's log

Options of bench:

  --vs linux          the same on Debian's Linux, and what the whole system needs
  -k PATTERN          only operations with PATTERN in their name
  --ram               also the smallest memory that boots to a prompt
  --latency           only the latencies beside processes that compute, by scheduler
  --strategies        only what the strategies of the scheduler dis gain
  --profile NAME      the instructions of one operation by function (-v: by source line too;
                      with --vs linux: those of Linux)
  --update-budget     write down what ten operations may need (tests/bench/budget.json)
  --preset NAME       release, debug

A program's status is 128+signal if it was killed, 125 if the kernel panicked, 124 on --timeout.
"""


class Parser(argparse.ArgumentParser):
    def __init__(self, call):
        super().__init__(prog=f"./tern {call}", add_help=False, allow_abbrev=False)
        self.add_argument("-h", "--help", action="store_true")

    def error(self, message):
        raise Usage(f"{self.prog.removeprefix('./tern ')}: {message} (./tern help)")

    def read(self, words):
        result = self.parse_args(words)
        if result.help:
            print(HELP, end="")
            sys.exit(0)
        return result


def architecture(*others):
    def check(word):
        if word not in (*ARCHES, *others):
            raise argparse.ArgumentTypeError(
                f"{word} is not one of {', '.join((*ARCHES, *others))}")
        return word
    return check


def count(word):
    if not word.isdigit() or not 1 <= int(word) <= 512:
        raise argparse.ArgumentTypeError(f"{word} is not a number of CPUs")
    return int(word)


def memory(word):
    if not re.fullmatch(r"[1-9][0-9]*[KMGTkmgt]?", word):
        raise argparse.ArgumentTypeError(f"{word} is not a size such as 512M or 2G")
    return word


def seconds(word):
    try:
        value = float(word)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} is not a number of seconds")
    return value


def setup_call(words):
    Parser("setup").read(words)
    from tern import setup
    setup.setup_all()
    return 0


def build_call(words):
    parser = Parser("build")
    parser.add_argument("arch", nargs="?", default="x86_64", type=architecture("all", "host"))
    parser.add_argument("--preset")
    options = parser.read(words)
    from tern import build
    names = ARCHES if options.arch == "all" else [options.arch]
    preset = options.preset
    if preset in build.presets() and not parser_named(words, options.arch):
        names = [preset.split("-")[0]]  # `build --preset aarch64-debug` names its architecture
    build.build_and_report(names, preset)
    return 0


def parser_named(words, arch):
    return arch in words


def run_call(words, program):
    parser = Parser("run")
    parser.add_argument("arch", nargs="?", type=architecture())
    parser.add_argument("--smp", type=count, default=4)
    parser.add_argument("--mem", type=memory, default="512M")
    parser.add_argument("--cpu")
    parser.add_argument("--machine")
    parser.add_argument("--boot", default="direct")
    parser.add_argument("--append", action="append", default=[])
    parser.add_argument("--add", action="append", default=[])
    parser.add_argument("--disk", action="append", default=[])
    parser.add_argument("--icount", action="store_true")
    parser.add_argument("--preset")
    parser.add_argument("--gdb", action="store_true")
    parser.add_argument("--timeout", type=seconds)
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("--qemu", default="")
    # Only for the tests: the bad cases of the initramfs cannot be made with --add.
    parser.add_argument("--initramfs", help=argparse.SUPPRESS)
    options = parser.read(words)
    if options.disk:
        raise Usage("--disk: the kernel has no disk drivers yet")
    if program is not None and not program:
        raise Usage("run: there is no program after --")
    from tern import build, run
    arch = options.arch or architecture_of(options.preset, build.presets())
    return run.run(run.Request(
        arch, options.preset, program, options.smp, options.mem, options.cpu, options.machine,
        options.boot, " ".join(options.append), tuple(options.add), options.icount, options.gdb,
        options.timeout, options.verbose, options.qemu, options.initramfs))


def architecture_of(preset, presets):
    """Without ARCH a full preset name says which; else it is the default."""
    if preset in presets and not preset.startswith("host"):
        return preset.split("-")[0]
    return "x86_64"


def test_call(words):
    parser = Parser("test")
    parser.add_argument("what", nargs="?", default="all", type=architecture("host", "all"))
    parser.add_argument("-k", dest="pattern", metavar="PATTERN")
    parser.add_argument("--preset")
    parser.add_argument("-v", dest="verbose", action="store_true")
    options = parser.read(words)
    from tern import test
    return test.test(options.what, options.pattern, options.preset, options.verbose)


def bench_call(words):
    parser = Parser("bench")
    parser.add_argument("arch", nargs="?", type=architecture("all"))
    parser.add_argument("--vs", metavar="SYSTEM")
    parser.add_argument("-k", dest="pattern", metavar="PATTERN")
    parser.add_argument("--ram", action="store_true")
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--strategies", action="store_true")
    parser.add_argument("--update-budget", action="store_true")
    parser.add_argument("--profile", metavar="NAME")
    parser.add_argument("--preset")
    parser.add_argument("-v", dest="verbose", action="store_true")
    options = parser.read(words)
    if options.vs not in (None, "linux"):
        raise Usage(f"bench --vs: {options.vs} is unknown; linux is what there is to compare with")
    if options.profile and options.arch == "all":
        raise Usage("bench --profile: of one architecture at a time")
    if options.ram and not options.vs:
        raise Usage("bench --ram: only with --vs linux")
    from tern import bench
    arch = options.arch or "x86_64"
    if options.update_budget:
        from tern.bench import budget
        return budget.update(ARCHES if arch == "all" else [arch])
    if options.latency:
        from tern.bench import latency
        return latency.bench(ARCHES if arch == "all" else [arch], options.preset, bool(options.vs))
    if options.strategies:
        from tern.bench import strategies
        return strategies.bench(ARCHES if arch == "all" else [arch], options.preset)
    if options.profile:
        from tern.bench import profile
        return profile.profile(arch, options.preset, options.profile, bool(options.vs),
                               options.verbose)
    return bench.bench(ARCHES if arch == "all" else [arch], options.preset, bool(options.vs),
                       options.pattern, options.ram)


def dispatch(words):
    if not words or words[0] in ("help", "-h", "--help"):
        print(HELP, end="")
        return 0 if words else 2
    call, rest = words[0], words[1:]
    program = None
    if call == "run" and "--" in rest:
        at = rest.index("--")
        rest, program = rest[:at], rest[at + 1:]
    calls = {"setup": setup_call, "build": build_call, "test": test_call, "bench": bench_call}
    if call == "run":
        return run_call(rest, program)
    if call not in calls:
        raise Usage(f"there is no call {call}: setup, build, run, test, bench, help")
    return calls[call](rest)


def main(words):
    # `timeout 60 ./tern ...` has to end the emulator too: let the normal way out do it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    try:
        return dispatch(words)
    except Failure as failure:
        say(failure)
        return failure.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return STATUS_FAILED
