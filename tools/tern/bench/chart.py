"""The picture of a comparison: build/bench/ARCH.svg, one bar an operation on a logarithmic scale."""

import math
from xml.sax.saxutils import escape

from tern.bench import report

LEFT, WIDTH, RIGHT, LINE, TOP = 196, 520, 70, 17, 62
LOW, HIGH = 0.01, 4.0
COLOURS = {"good": "#2e8b57", "fair": "#d19a2a", "bad": "#c0392b"}
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4)


def across(value):
    """Where a ratio is on the scale."""
    share = math.log(min(max(value, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * WIDTH


def colour(value):
    return COLOURS["good" if value <= 0.5 else "fair" if value <= 1 else "bad"]


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def scale(bottom):
    for tick in TICKS:
        x = across(tick)
        strong = tick in (0.5, 1)
        yield (f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" '
               f'stroke="{"#555" if strong else "#ddd"}" stroke-width="{1.4 if strong else 0.7}"'
               + (' stroke-dasharray="4 3"' if tick == 0.5 else "") + "/>")
        yield text(x, TOP - 10, f"{tick:g}", "middle", 'fill="#555" font-size="10"')


def bars(rows):
    for i, row in enumerate(rows):
        y = TOP + i * LINE
        label = row["name"] + (f" ({row['cpus']} CPUs)" if row["cpus"] > 1 else "")
        yield text(LEFT - 8, y + 12, label, "end")
        value = report.ratio(row, report.kind_of(row))
        if value is None:
            failed = [side.title() for side in report.SIDES if row[side].get("why")]
            yield text(LEFT + 4, y + 12, f"{' and '.join(failed) or 'one side'} failed", "start",
                       f'fill="{COLOURS["bad"]}"')
            continue
        start = across(1)
        end = across(value)
        yield (f'<rect x="{min(start, end):.1f}" y="{y + 3}" width="{abs(start - end):.1f}" '
               f'height="{LINE - 6}" fill="{colour(value)}"/>')
        yield text(LEFT + WIDTH + 8, y + 12, f"{value:.2f}", "start", f'fill="{colour(value)}"')


def draw(results):
    rows = results["rows"]
    mean = report.geometric_mean(report.count_ratios(results))
    height = TOP + len(rows) * LINE + 44
    width = LEFT + WIDTH + RIGHT
    bottom = TOP + len(rows) * LINE + 4
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">')
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield text(12, 20, f"{results['arch']}: instructions of Tern over those of Linux "
               f"{results['linux']['version']}", "start", 'font-size="14" font-weight="bold"')
    yield text(12, 36, "logarithmic; 1 is Linux, less is better; with several CPUs: of wall time", "start", 'fill="#555"')
    yield from scale(bottom)
    yield from bars(rows)
    if mean:
        x = across(mean)
        yield (f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom + 8}" stroke="#1f4e9c" '
               'stroke-width="1.6"/>')
        yield text(x, bottom + 20, f"geometric mean on one CPU: {mean:.2f}", "middle",
                   'fill="#1f4e9c" font-weight="bold"')
    yield "</svg>"


def write(results):
    """The path of the picture, or nothing if there is nothing to compare with."""
    if "linux" not in results:
        return None
    path = report.FOLDER / f"{results['arch']}.svg"
    path.write_text("\n".join(draw(results)) + "\n")
    return path
