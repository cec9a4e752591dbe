#!/usr/bin/env python3
"""The boot as a picture: boot_timeline.py [--smp N] [ARCH...] boots each architecture with counted instructions
(one is a nanosecond), reads /sys/kernel/init and writes docs/boot/ARCH.svg, a bar for each subsystem.

    boot_timeline.py --from FILE OUT.svg      draws what /sys/kernel/init said elsewhere
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tern.common import ARCHES, ROOT, Failure  # noqa: E402

FOLDER = ROOT / "docs" / "boot"
LEFT, WIDTH, RIGHT, LINE, TOP = 110, 560, 110, 18, 58
COLOURS = {"boot": "#7f8c8d", "early": "#2e8b57", "core": "#2c6fbb", "late": "#d19a2a",
           "runtime": "#8e44ad"}
ROW = re.compile(r"^(\d+) +(\w+) +(\S+) +(\w+) +(\d+) +(\d+)$", re.MULTILINE)


class Step(NamedTuple):
    phase: str
    name: str
    state: str
    started: int  # us
    took: int


def parse(said):
    steps = [Step(phase, name, state, int(started), int(took))
             for _, phase, name, state, started, took in ROW.findall(said.replace("\r", ""))]
    if not steps:
        raise Failure("/sys/kernel/init says nothing that can be drawn")
    return steps


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def span(us):
    return f"{us / 1000:.1f} ms" if us >= 1000 else f"{us} us"


def draw(title, steps):
    end = max(step.started + step.took for step in steps) or 1
    height = TOP + len(steps) * LINE + 34
    width = LEFT + WIDTH + RIGHT
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">')
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield text(12, 20, title, "start", 'font-size="14" font-weight="bold"')
    x = 12
    for phase, colour in COLOURS.items():
        yield f'<rect x="{x}" y="29" width="10" height="10" fill="{colour}"/>'
        yield text(x + 14, 38, phase)
        x += 70
    for tick in range(0, 5):
        at = LEFT + WIDTH * tick / 4
        yield (f'<line x1="{at:.1f}" y1="{TOP - 4}" x2="{at:.1f}" y2="{height - 28}" stroke="#ddd"/>')
        yield text(at, height - 14, span(end * tick // 4), "middle", 'fill="#555" font-size="10"')
    for i, step in enumerate(steps):
        y = TOP + i * LINE
        start = LEFT + WIDTH * step.started / end
        length = max(WIDTH * step.took / end, 1.5)
        yield text(LEFT - 8, y + 12, step.name, "end")
        yield (f'<rect x="{start:.1f}" y="{y + 3}" width="{length:.1f}" height="{LINE - 6}" '
               f'fill="{COLOURS[step.phase]}"/>')
        note = span(step.took) + ("" if step.state == "running" else f", {step.state}")
        yield text(start + length + 5, y + 12, note, "start", 'fill="#555" font-size="10"')
    yield "</svg>"


def boot(arch, smp):
    said = subprocess.run([ROOT / "tern", "run", arch, "--icount", "--smp", str(smp),
                           "--timeout", "120", "--", "cat", "/sys/kernel/init"],
                          stdout=subprocess.PIPE, check=True).stdout
    return parse(said.decode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smp", type=int, default=4)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("what", nargs="*")
    options = parser.parse_args()
    if options.source:
        if len(options.what) != 1:
            parser.error("--from FILE wants one name of a picture")
        steps = parse(options.source.read_text())
        Path(options.what[0]).write_text("\n".join(draw("the boot", steps)) + "\n")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for arch in options.what or ARCHES:
        if arch not in ARCHES:
            parser.error(f"no architecture {arch}")
        title = f"{arch}: boot with {options.smp} CPUs, a microsecond is a thousand instructions"
        (FOLDER / f"{arch}.svg").write_text("\n".join(draw(title, boot(arch, options.smp))) + "\n")
        print(f"docs/boot/{arch}.svg")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"boot_timeline: {failure}")
