"""`./tern run` as scripts use it: output byte for byte, statuses, stdin, options."""

import hashlib
import subprocess
import tempfile
import time

from harness import ROOT, WORK
from tern.userland import FLAVOURS, program

CRASH = ROOT / "tests/guest/programs/crash.c"
# How crash.c ends, and what `./tern run` has to make of it.
ENDS = {"null": 139, "recursion": 139, "kernel": 139, "abort": 134, "kill": 137}
ILLEGAL = {"x86_64": (132,), "aarch64": (132, 133), "riscv64": (132,)}  # what the compiler's trap is


def prints_and_exits(t, tap):
    p = t.run(["sh", "-c", "echo $((6*7)); exit 7"])
    tap.equal("42 and nothing else on stdout, status 7", (p.stdout, p.returncode), (b"42\n", 7))
    tap.equal("nothing on stderr", p.stderr, b"")


def counts_processors(t, tap):
    p = t.run(["sh", "-c", "grep -c ^processor /proc/cpuinfo"])
    tap.equal(f"{t.smp} processors", (p.stdout, p.returncode), (b"%d\n" % t.smp, 0))


def bytes_pass_unchanged(t, tap):
    every = bytes(range(256)) * 17
    with tempfile.NamedTemporaryFile(dir=WORK) as file:
        file.write(every)
        file.flush()
        p = t.run(["cat", "/every"], ["--add", f"{file.name}:/every"])
    tap.equal("every byte comes out", p.stdout, every)
    tap.equal("cat ends well", p.returncode, 0)


def large_output(t, tap):
    p = t.run(["sh", "-c", "seq 1 40000; cat /bin/busybox | head -c 300000"])
    wanted = b"".join(b"%d\n" % i for i in range(1, 40001)) + t.busybox().read_bytes()[:300000]
    tap.equal("half a megabyte comes out", p.stdout, wanted)


def reader_that_stops(t, tap):
    """The serial port fills up and stays full for seconds: what was written waits for its reader."""
    p = subprocess.Popen([*t.words(), "--timeout", "60", "--", "sh", "-c", "seq 1 100000; exit 3"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    p.stdout.read(1)
    time.sleep(4)
    rest = p.stdout.read()
    tap.equal("a reader that stops loses nothing", (rest, p.wait()),
              (b"".join(b"%d\n" % i for i in range(1, 100001))[1:], 3))


def stdin_arrives(t, tap):
    text = bytes(range(256)) * 40
    p = t.run(["sh", "-c", "md5sum; echo end"], stdin=text)

    tap.equal("stdin arrives byte for byte, and its end",
              p.stdout, hashlib.md5(text).hexdigest().encode() + b"  -\nend\n")
    p = t.run(["wc", "-c"])
    tap.equal("an empty stdin is empty", p.stdout, b"0\n")


def arguments_arrive(t, tap):
    words = ["a b", "", "'quoted'", '"double"', "$HOME `x` \\ *", "ü", "--", "-v", "new\nline"]
    p = t.run(["sh", "-c", 'for w; do printf "%s|" "$w"; done', "sh", *words])
    tap.equal("arguments arrive unchanged", p.stdout, "".join(f"{w}|" for w in words).encode())


def missing_programs(t, tap):
    tap.equal("no such program: 127", t.run(["/no/such"]).returncode, 127)
    tap.equal("not executable: 126", t.run(["/etc/passwd"]).returncode, 126)


def added_programs(t, tap):
    for flavour in FLAVOURS:
        binary = program(t.arch, flavour, [CRASH])
        p = t.run(["/bin/prog", "exit", "33"], ["--add", f"{binary}:/bin/prog"])
        tap.equal(f"an added {flavour} program runs", (p.stdout, p.returncode),
                  (b"crash: exit\n", 33))


def crashes(t, tap):
    binary = program(t.arch, "musl", [CRASH])
    for how, status in ENDS.items():
        p = t.run(["/c", how], ["--add", f"{binary}:/c"])
        tap.equal(f"{how}: status {status}", (p.stdout, p.returncode),
                  (b"crash: %s\n" % how.encode(), status))
    p = t.run(["/c", "illegal"], ["--add", f"{binary}:/c"])
    tap.result("illegal instruction", p.returncode in ILLEGAL[t.arch], p.returncode)


def folder_is_added(t, tap):
    p = t.run(["sh", "-c", "cd /opt/guest; ls programs/tap.h"],
              ["--add", f"{ROOT}/tests/guest:/opt/guest", "--add", f"{ROOT}/LICENSE",
               "--append", "loglevel=3"])
    tap.equal("a folder is added", p.stdout, b"programs/tap.h\n")


def options_compose(t, tap):
    p = t.run(["sh", "-c", "cat /proc/cmdline"],
              ["--append", "one=1", "--append", "two=2", "--mem", "96M"])
    tap.result("--append arrives, each of them", b" one=1 two=2" in p.stdout, p.stdout)
    p = t.run(["sh", "-c", "awk '/MemTotal/ {print ($2 > 60000), ($2 <= 98304)}' /proc/meminfo"],
              ["--mem", "96M"])
    tap.equal("--mem decides", p.stdout, b"1 1\n")


def log_goes_to_stderr(t, tap):
    p = t.run(["echo", "hi"], ["-v"])
    tap.equal("-v leaves stdout alone", p.stdout, b"hi\n")
    tap.result("-v shows the kernel's log on stderr", b"Tern on" in p.stderr, p.stderr[-500:])


def timeout_is_124(t, tap):
    p = t.run(["sleep", "1000"], timeout=4)
    tap.equal("--timeout: 124", p.returncode, 124)


def counted_run_is_repeatable(t, tap):
    outputs = {t.run(["sh", "-c", "cut -d' ' -f1 /proc/uptime; echo $$"], ["--icount"],
                     smp=1).stdout for _ in range(2)}
    tap.result("--icount: the same time twice", len(outputs) == 1, outputs)


def traces_system_calls(t, tap):
    p = t.run(["/bin/echo", "traced"], ["-v", "--append", "trace=syscall"])
    tap.result("trace=syscall names calls", b"write(" in p.stderr and p.stdout == b"traced\n",
               p.stderr[-800:])


def wrong_calls(t, tap):
    for words in (["run", "z80"], ["run", "--smp", "none"], ["run", "--boot", "magic"], ["frob"],
                  ["run", "--add", "/no/such/file", "--", "true"], ["test", "-k", "("],
                  ["run", "--machine", "no-such-machine", "--", "true"]):
        p = subprocess.run([ROOT / "tern", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tap.result(f"wrong call: {' '.join(words)}",
                   p.returncode == 2 and p.stderr.count(b"\n") == 1 and not p.stdout,
                   f"status {p.returncode}\n{p.stderr.decode()}")


BOOT_CASES = (prints_and_exits, counts_processors, arguments_arrive, added_programs,
              folder_is_added, options_compose, log_goes_to_stderr)
# Nothing that a boot method could change: with the direct boot only. (And a boot loader waits for its disk, and
# that for the host: no counted run is repeatable.)
OTHER_CASES = (bytes_pass_unchanged, large_output, reader_that_stops, stdin_arrives,
               missing_programs, crashes, timeout_is_124, counted_run_is_repeatable,
               traces_system_calls, wrong_calls)


def run(target, tap, group):
    WORK.mkdir(parents=True, exist_ok=True)
    cases = (*BOOT_CASES, *(OTHER_CASES if target.boot == "direct" else ()))
    names = tap.matching(group, [case.__name__ for case in cases])
    for case in cases:
        if case.__name__ in names:
            case(target, tap)
