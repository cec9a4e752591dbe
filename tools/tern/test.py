"""`./tern test`: builds presets, runs ctest in each, counts, and shows what failed.

A ctest case counts as one test, unless it prints TAP lines ("ok 3 - name", "not ok 4 - name"):
then each of these counts. One boot of a guest runs many cases that way.
"""

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

from tern import build, setup
from tern.common import ARCHES, BUILD, ROOT, STATUS_FAILED, Failure, say

# Tests of these groups run many cases in one boot; they pick the cases that match by themselves.
GROUPED = r"^(guest|kernel|contract)\."
TAP = re.compile(r"^(ok|not ok) \d+(?: -)? ?(.*)$", re.MULTILINE)
FINISHED = re.compile(r"^ *\d+/\d+ Test +#\d+: (\S+) \.*(\**.*?) +([\d.]+) sec")
KEEP_OUTPUT = ["--test-output-size-passed", "4000000", "--test-output-size-failed", "4000000"]
SHOWN_LINES = 60  # of the output of a failed test


class Tally:
    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failures = []  # (preset, test, case or nothing, what to show)


def presets_for(what, preset):
    if what == "all":
        if preset not in (None, "debug", "release"):
            return [build.preset_for(preset.split("-")[0], preset)]
        return presets_for("host", None) \
            + [name for arch in ARCHES for name in presets_for(arch, preset)]
    if what == "host":
        return ["host-sanitize" if preset is None else build.preset_for("host", preset)]
    return [build.preset_for(what, preset)] if preset \
        else [f"{what}-release", f"{what}-debug"]


def test(what, pattern, preset, verbose):
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise Failure(f"-k {pattern}: {error}", 2) from None
    names = presets_for(what, preset)
    arches = sorted({name.split("-")[0] for name in names} - {"host"})
    setup.require("build", "host", *(f"emulator-{arch}" for arch in arches),
                  *(f"programs-{arch}" for arch in arches), *(["grub"] if "x86_64" in arches else []))
    began = time.monotonic()
    tally = Tally()
    for name in names:
        try:
            build.build(name)
        except Failure as failure:
            tally.failures.append((name, "build", "", str(failure)))
            continue
        run_ctest(name, pattern, verbose, tally)
    return report(tally, pattern, time.monotonic() - began)


def run_ctest(preset, pattern, verbose, tally):
    folder = BUILD / preset
    junit = folder / "tests.xml"
    junit.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", str(folder), "-j", str(os.cpu_count() or 2),
               "--output-junit", str(junit), "--no-tests=ignore", *KEEP_OUTPUT]
    environment = dict(os.environ)
    if pattern is not None:
        command += ["-R", f"({pattern})|{GROUPED}"]
        environment["TERN_TEST_PATTERN"] = pattern
    if verbose:
        command += ["-V"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as process:
        for line in process.stdout:
            match = FINISHED.match(line)
            if verbose:
                sys.stdout.write(line)
            elif match and not (pattern and match[2].strip() == "Passed"):
                result = match[2].strip().strip("*").strip()
                print(f"{preset:16} {match[1]:44} {result:8} {match[3]:>7} s")
            sys.stdout.flush()
    if not junit.exists():
        tally.failures.append((preset, "ctest", "", f"ctest ended with {process.returncode}"))
        return
    for case in xml.parse(junit).getroot().iter("testcase"):
        count(preset, case, tally)


def count(preset, case, tally):
    name = case.get("name")
    output = case.findtext("system-out") or ""
    passed = case.get("status") == "run"
    if case.get("status") in ("notrun", "disabled"):
        skipped = case.find("skipped")
        if skipped is not None and "Not Run" not in (skipped.get("message") or ""):
            tally.skipped += 1
            return
    lines = TAP.findall(output)
    bad = [text for verdict, text in lines if verdict == "not ok"]
    for verdict, text in lines:
        if verdict == "ok":
            skip = re.search(r"# skip\b", text, re.IGNORECASE)
            tally.skipped += 1 if skip else 0
            tally.passed += 0 if skip else 1
    for text in bad:
        tally.failures.append((preset, name, text, details(output, text)))
    if not lines and passed:
        # A group in which nothing matched the pattern says "1..0".
        tally.passed += 0 if re.search(r"^1\.\.0\b", output, re.MULTILINE) else 1
    elif not passed and not bad:
        tally.failures.append((preset, name, "", tail(output or "it could not be started")))


def details(output, text):
    """The comment lines that follow a TAP line."""
    lines = output.splitlines()
    at = next(i for i, line in enumerate(lines)
              if line.startswith("not ok") and line.endswith(text))
    shown = []
    for line in lines[at + 1:]:
        if not line.startswith("#"):
            break
        shown.append(line)
    return "\n".join(shown[:SHOWN_LINES])


def tail(output):
    return "\n".join(output.rstrip().splitlines()[-SHOWN_LINES:])


def report(tally, pattern, took):
    for preset, name, case, text in tally.failures:
        print(f"\nFAILED {preset} {name}{': ' + case if case else ''}")
        print("\n".join("    " + line for line in text.splitlines()))
    if tally.failures:
        print("\nAgain, one test: ./tern test ARCH -k PATTERN -v")
    if pattern and not tally.passed and not tally.failures:
        say(f"no test matches {pattern}")
    skipped = f" ({tally.skipped} skipped)" if tally.skipped else ""
    print(f"{took:.0f} s{skipped}")
    print(f"{tally.passed} passed, {len(tally.failures)} failed")
    return STATUS_FAILED if tally.failures or not tally.passed else 0
