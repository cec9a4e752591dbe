"""What the guest tests share: starting ./tern, TAP output, many cases in one boot."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))

from tern import packages  # noqa: E402
from tern.common import BUILD, replacing  # noqa: E402,F401

HERE = ROOT / "tests" / "guest"
WORK = BUILD / "guest"


class Target:
    """The machine under test: the options of `./tern run` that all boots of a group share."""

    def __init__(self, arch, preset, smp=4, boot="direct", extra=()):
        self.arch, self.preset, self.smp, self.boot = arch, preset, smp, boot
        self.extra = list(extra)

    def words(self, **changes):
        smp = changes.get("smp", self.smp)
        return [str(ROOT / "tern"), "run", self.arch, "--preset", self.preset,
                "--smp", str(smp), "--boot", self.boot, *self.extra]

    def run(self, program, options=(), timeout=60, stdin=subprocess.DEVNULL, **changes):
        """Runs a program in the guest as a user would; returns the finished process."""
        command = [*self.words(**changes), "--timeout", str(timeout), *options]
        if program is not None:
            command += ["--", *program]
        given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout + 120, **given)

    def busybox(self):
        return packages.busybox(self.arch)


class Tap:
    """Prints results in the Test Anything Protocol; ./tern test counts them."""

    def __init__(self):
        self.number = 0
        self.failed = 0
        pattern = os.environ.get("TERN_TEST_PATTERN")
        self.pattern = re.compile(pattern) if pattern else None

    def matching(self, group, names):
        """The cases to run: all, if the pattern names the group."""
        if self.pattern is None or self.pattern.search(group):
            return list(names)
        return [name for name in names if self.pattern.search(name)]

    def result(self, name, good, why=""):
        self.number += 1
        self.failed += 0 if good else 1
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        if not good:
            for line in str(why).splitlines()[:60]:
                print(f"#   {line}")
        sys.stdout.flush()

    def equal(self, name, got, wanted):
        self.result(name, got == wanted, difference(wanted, got))

    def finish(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def difference(wanted, got):
    """Both sides, where they part."""
    if isinstance(wanted, bytes) and isinstance(got, bytes):
        left = wanted.decode(errors="backslashreplace").splitlines()
        right = got.decode(errors="backslashreplace").splitlines()
        at = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b),
                  min(len(left), len(right)))
        return "\n".join([f"from line {at + 1} on",
                          *(f"- {line[:160]}" for line in left[at:at + 6]),
                          *(f"+ {line[:160]}" for line in right[at:at + 6])])
    return f"wanted {wanted!r}\ngot    {got!r}"


def parse_cases(path):
    """{name: script} of a file of cases: `== name`, then shell lines."""
    cases = {}
    name = None
    for line in path.read_text().splitlines(keepends=True):
        if line.startswith("== "):
            name = line[3:].strip()
            if name in cases:
                raise ValueError(f"{path.name}: two cases named {name}")
            cases[name] = ""
        elif name is not None:
            cases[name] += line
    return cases


# Runs every file of cases/ in a folder of its own and frames what it wrote by its length.
DRIVER = r"""
cd "$1" || exit 99
export B=$2 PATH=$2
mkdir -p work out
for f in cases/*; do
	n=${f##*/}
	mkdir "work/$n" && cd "work/$n" || exit 98
	sh "../../cases/$n" >"../../out/$n" 2>&1 </dev/null
	s=$?
	cd ../..
	printf '\n@@@ %s %s %s\n' "$n" "$s" "$(wc -c <"out/$n")"
	cat "out/$n"
	rm -rf "work/$n" "out/$n"
done
printf '\n@@@ end 0 0\n'
"""


def parse_driver(data):
    """{name: (status, output)} from what DRIVER wrote."""
    results = {}
    at = 0
    while True:
        match = re.compile(rb"\n@@@ (\S+) (\d+) (\d+)\n").search(data, at)
        if not match:
            return results
        size = int(match[3])
        results[match[1].decode()] = (int(match[2]), data[match.end():match.end() + size])
        at = match.end() + size


def stage(folder, cases, corpus):
    """Lays out a folder for DRIVER: cases/ and the files that they work on."""
    (folder / "cases").mkdir(parents=True)
    for name, script in cases.items():
        (folder / "cases" / name).write_text("C=../../corpus\n" + script)
    (folder / "corpus").mkdir()
    for name, source in corpus.items():
        data = source if isinstance(source, bytes) else source.read_bytes()
        path = folder / "corpus" / name
        path.write_bytes(data)
        path.chmod(0o755 if name.endswith((".sh", ".bin")) else 0o644)
    (folder / "driver.sh").write_text(DRIVER)


def without_folder(output):
    """The name by which a program calls itself may have a folder or not, as it was started."""
    return re.sub(rb"^/bin/(?=[\w\[]+: )", b"", output, flags=re.MULTILINE)


def boot_cases(target, staged, timeout, options=()):
    """Boots once and runs all cases; returns ({name: (status, output)}, the process)."""
    process = target.run(["/bin/sh", "/t/driver.sh", "/t", "/bin"],
                         ["--add", f"{staged}:/t", *options], timeout=timeout)
    return {name: (status, without_folder(output))
            for name, (status, output) in parse_driver(process.stdout).items()}, process


def reference(target, cases, corpus):
    """The same cases by the same BusyBox on Linux; kept, since neither changes often."""
    busybox = target.busybox()
    key = hashlib.sha256(json.dumps(
        [cases, DRIVER, {name: hashlib.sha256(
            data if isinstance(data, bytes) else data.read_bytes()).hexdigest()
            for name, data in corpus.items()}], sort_keys=True).encode()
        + Path(__file__).read_bytes() + busybox.read_bytes()).hexdigest()[:24]
    kept = WORK / f"reference-{target.arch}-{key}.json"
    if kept.exists():
        return {name: (status, bytes.fromhex(output))
                for name, (status, output) in json.loads(kept.read_text()).items()}
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        base = Path(folder)
        stage(base / "t", cases, corpus)
        bin_folder = linux_programs(target, base / "bin")
        process = subprocess.run(
            [bin_folder / "sh", base / "t/driver.sh", base / "t", bin_folder],
            env={"HOME": "/tmp", "TERM": "vt102"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, umask=0o022, timeout=600)
        # Where the programs stand is the one thing that differs by design.
        results = {name: (status, without_folder(output.replace(os.fsencode(bin_folder), b"/bin")))
                   for name, (status, output) in parse_driver(process.stdout).items()}
    results.pop("end")
    kept.write_text(json.dumps({name: (status, output.hex())
                                for name, (status, output) in results.items()}))
    return results


def linux_programs(target, folder):
    """A folder with BusyBox under all its names, for a Linux of this machine's architecture.

    An architecture that is not the machine's own runs under qemu-user; each name is a script
    whose #! line starts the emulator on BusyBox, which takes its own name from the first argument.
    """
    from tern import initramfs
    busybox = target.busybox()
    folder.mkdir()
    for applet in initramfs.applets(busybox.read_bytes()):
        path = folder / applet
        if target.arch == os.uname().machine:
            path.symlink_to(busybox)
        else:
            path.write_text(f"#!/usr/bin/qemu-{target.arch}-static {busybox}\n")
            path.chmod(0o755)
    return folder
