"""Builds presets with CMake and Ninja, and says how big the kernel became."""

import re
import subprocess
import sys

from tern import setup
from tern.common import ARCHES, BUILD, ROOT, Failure, Usage, locked, relative, run_quietly, say
from tern.elf import PF_W, PF_X, PT_LOAD, Elf

PROGRESS = re.compile(r"^\[\d+/\d+\] ")


def preset_for(arch, name=None):
    """`--preset` takes debug, release or the full name; the default is release."""
    if name is None:
        return f"{arch}-release"
    if name in ("debug", "release") or (arch == "host" and name == "sanitize"):
        return f"{arch}-{name}"
    if name in presets() and name.startswith(f"{arch}-"):
        return name
    raise Usage(f"no preset {name} for {arch}: choose from "
                + ", ".join(p for p in presets() if p.startswith(arch)))


def presets():
    return [f"{arch}-{kind}" for arch in ARCHES for kind in ("debug", "release")] \
        + ["host-debug", "host-sanitize", "host-release"]


def configure(preset):
    # CMake writes build.ninja last; from then on Ninja itself runs CMake when a list changes.
    if not (BUILD / preset / "build.ninja").exists():
        run_quietly(["cmake", "--preset", preset], f"configuring {preset}", cwd=ROOT)


def ninja(preset, *targets):
    """Runs Ninja: one moving line on a terminal, the compiler's words if it fails."""
    command = ["ninja", "-C", str(BUILD / preset), *targets]
    show = sys.stderr.isatty()
    said = []
    worked = False
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout:
            if PROGRESS.match(line):
                worked = True
                if show:
                    sys.stderr.write(f"\r\033[K{preset} {line.rstrip()[:90]}")
                    sys.stderr.flush()
            elif not line.startswith(("ninja: Entering", "ninja: no work")):
                said.append(line)
    if show and worked:
        sys.stderr.write("\r\033[K")
    # What was said without failing (a warning of a tool) is worth reading too, CMake's progress not.
    sys.stderr.write("".join(line for line in said
                             if process.returncode != 0 or not line.startswith("-- ")))
    if process.returncode != 0:
        raise Failure(f"building {preset} failed")
    return worked


def build(preset):
    """Brings one preset up to date; returns its folder."""
    setup.require("build", *(["host"] if preset.startswith("host") else []))
    with locked(f"build-{preset}"):
        configure(preset)
        ninja(preset)
    return BUILD / preset


def sizes(path):
    """The kernel in memory, by kind of segment, in bytes."""
    parts = {"code": 0, "read-only": 0, "data": 0}
    for segment in Elf(path.read_bytes()).segments:
        if segment.kind == PT_LOAD:
            kind = "code" if segment.flags & PF_X else "data" if segment.flags & PF_W \
                else "read-only"
            parts[kind] += segment.memory_size
    return parts


def build_and_report(names, preset=None):
    """`./tern build`."""
    for name in names:
        chosen = preset_for(name, preset)
        folder = build(chosen)
        kernel = folder / "tern.elf"
        if not kernel.exists():
            say(f"{chosen} is up to date")
            continue
        parts = sizes(kernel)
        detail = ", ".join(f"{kind} {size // 1024}" for kind, size in parts.items())
        print(f"{chosen}: {sum(parts.values()) // 1024} KiB in memory ({detail}): "
              f"{relative(kernel)}")
