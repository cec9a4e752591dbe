"""What the benchmarks found: kept as build/bench/ARCH.json, shown as a table on the terminal.

A result file holds for every operation, in the order of the sources:

    {"name", "what", "cpus": 1, 2 or 4, and for "tern" and "linux" each
     {"count": instructions, "wall": nanoseconds (median), "runs": [nanoseconds], "why": "..."}}

`why` says why a figure is missing. A run of one kernel keeps what is known of the other.
"""

import json
import math
import os
import re
import sys

from tern.bench.guest import SOURCES
from tern.common import BUILD

FOLDER = BUILD / "bench"
FILES = ("syscalls.c", "memory.c", "processes.c", "threads.c", "waits.c")
GREEN, YELLOW, RED, DIM, PLAIN = "\033[32m", "\033[33m", "\033[31m", "\033[2m", "\033[0m"
SIDES = ("tern", "linux")


def descriptions(*names):
    """{operation: what it does} in the order of the sources' tables."""
    found = {}
    for name in names or FILES:
        for match in re.finditer(r'\{"(\w+)",\s*"([^"]+)",\s*\w+,', (SOURCES / name).read_text()):
            found[match[1]] = match[2]
    return found


def path(arch):
    return FOLDER / f"{arch}.json"


def load(arch):
    try:
        results = json.loads(path(arch).read_text())
    except (OSError, ValueError):
        results = {}
    return results if "rows" in results else {"arch": arch, "rows": []}


def save(results):
    FOLDER.mkdir(parents=True, exist_ok=True)
    path(results["arch"]).write_text(json.dumps(results, indent=1) + "\n")


def row(results, name, what, cpus):
    """The row of an operation, made if it is new."""
    for known in results["rows"]:
        if known["name"] == name and known["cpus"] == cpus:
            known["what"] = what
            return known
    new = {"name": name, "what": what, "cpus": cpus, "tern": {}, "linux": {}}
    results["rows"].append(new)
    return new


def in_order(results):
    """Sorts the rows as the sources have them and drops those that are gone."""
    order = {name: i for i, name in enumerate([*descriptions(), *descriptions("cpus.c")])}
    results["rows"] = sorted((r for r in results["rows"] if r["name"] in order),
                             key=lambda r: (r["cpus"], order[r["name"]]))


def ratio(row, kind):
    """Tern's share of what Linux needs, or nothing."""
    ours, theirs = row["tern"].get(kind), row["linux"].get(kind)
    return ours / theirs if ours and theirs else None


def kind_of(row):
    """What the row is judged by: with several CPUs there is only time."""
    return "count" if row["cpus"] == 1 else "wall"


def geometric_mean(ratios):
    known = [r for r in ratios if r]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else None


def count_ratios(results, cpus=1):
    return [ratio(row, "count") for row in results["rows"] if row["cpus"] == cpus]


def share_text(value):
    """Two digits that say something."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


class Paint:
    """Colours, where a person looks on."""

    def __init__(self):
        self.on = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, colour, text):
        return f"{colour}{text}{PLAIN}" if self.on else text

    def share(self, value, width):
        if value is None:
            return " " * (width - 1) + "-"
        return self(GREEN if value <= 0.5 else YELLOW if value <= 1 else RED,
                    f"{share_text(value):>{width}}")


def figure(side, kind):
    value = side.get(kind)
    if value is None:
        return "failed" if side.get("why") else "-"
    return f"{value:,.0f}"


def show(results, names=None):
    """The table of one architecture; `names` picks rows."""
    paint = Paint()
    for cpus in sorted({row["cpus"] for row in results["rows"]}):
        rows = [row for row in results["rows"]
                if row["cpus"] == cpus and (names is None or row["name"] in names)]
        if rows:
            show_rows(results["arch"], cpus, rows, paint)
    sys.stdout.flush()


def show_system(results, figures):
    paint = Paint()
    sides = results.get("system", {})
    print(f"\n{results['arch']}, the whole system")
    print(paint(DIM, f"{'':64} {'Tern':>13} {'Linux':>13} {'ratio':>6}"))
    for name, what, unit in figures:
        values = [sides.get(side, {}).get(name) for side in SIDES]
        form = ".3f" if unit == "seconds" else ",.0f"
        cells = [f"{value:>13{form}}" if value is not None else f"{'-':>13}" for value in values]
        share = values[0] / values[1] if all(values) else None
        print(f"{what + ', ' + unit:64.64} {' '.join(cells)} {paint.share(share, 6)}")


def show_inside(results):
    print(f"\n{results['arch']}, inside the kernel, by the number of CPUs")
    for name, found in results.get("inside", {}).items():
        print(f"{name:26}" + "".join(f"{cpus:>4}: {value:>10,.1f}" for cpus, value in found.items()))


def show_rows(arch, cpus, rows, paint):
    print(f"\n{arch}, {cpus} CPU{'s' if cpus > 1 else ''}")
    print(paint(DIM, f"{'':20} {'instructions counted':^29}   {'nanoseconds, median':^29}"))
    print(paint(DIM, f"{'operation':20} {'Tern':>10} {'Linux':>11} {'ratio':>6}   "
                     f"{'Tern':>10} {'Linux':>11} {'ratio':>6}"))
    for row in rows:
        cells = [f"{figure(row['tern'], kind):>10} {figure(row['linux'], kind):>11} "
                 + paint.share(ratio(row, kind), 6) for kind in ("count", "wall")]
        print(f"{row['name']:20} " + "   ".join(cells))
        for side in SIDES:
            if row[side].get("why"):
                print(paint(RED, f"{'':20} {side.title()}: {row[side]['why']}"))
    means = [geometric_mean(ratio(row, kind) for row in rows) for kind in ("count", "wall")]
    if any(means):
        print(f"{'geometric mean':20} {'':22} {paint.share(means[0], 6)}   {'':22} "
              f"{paint.share(means[1], 6)}")
