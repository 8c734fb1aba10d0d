"""SVG plots of (x, y) points on logarithmic axes, without a library."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50
# Okabe and Ito's palette, distinguishable with any colour vision. Both lines of a case share one.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"]


def plot(title, x_title, y_title, lines):
    """Returns an SVG, or None if there are no points.

    `lines`: tuples of name, dashed, colour number, and points with positive x and y.
    """
    lines = [line for line in lines if line[3]]
    points = [point for *_, some in lines for point in some]
    if not points:
        return None
    across = axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(WIDTH / 2, 20, title, "middle", 14),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_title, "middle"),
        text(LEFT, TOP - 8, y_title, "middle"),
    ]
    parts += [
        f'<line x1="{LEFT}" y1="{up(y):.1f}" x2="{WIDTH - RIGHT}" y2="{up(y):.1f}" stroke="#ddd"/>'
        + text(LEFT - 6, up(y) + 4, f"{y:g}", "end")
        for y in ticks([y for _, y in points])
    ]
    parts += [
        f'<line x1="{across(x):.1f}" y1="{TOP}" x2="{across(x):.1f}" y2="{HEIGHT - BOTTOM}" '
        'stroke="#eee"/>' + text(across(x), HEIGHT - BOTTOM + 16, f"{x:,g}", "middle")
        for x in sorted({x for x, _ in points})
    ]
    for place, (name, dashed, colour, some) in enumerate(lines):
        stroke = COLOURS[colour % len(COLOURS)]
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        track = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in some)
        parts.append(
            f'<polyline points="{track}" fill="none" stroke="{stroke}" stroke-width="2"{dash}/>'
        )
        parts += [
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{stroke}"/>'
            for x, y in some
        ]
        y = TOP + 10 + 18 * place
        parts.append(
            f'<line x1="{WIDTH - RIGHT + 8}" y1="{y}" x2="{WIDTH - RIGHT + 30}" y2="{y}" '
            f'stroke="{stroke}" '
            f'stroke-width="2"{dash}/>' + text(WIDTH - RIGHT + 35, y + 4, name, "start", 10)
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def text(x, y, words, anchor, size=12):
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {place}>{escape(words)}</text>"


def axis(values, start, end):
    """Returns a function from a value to its position between `start` and `end`."""
    low, high = math.log(min(values)), math.log(max(values))
    span = high - low or 1.0
    return lambda value: start + (math.log(value) - low) / span * (end - start)


def ticks(values):
    """Returns the powers of ten in the range of the values, else the range's ends."""
    low, high = min(values), max(values)
    found = [
        10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    ]
    return found or sorted({low, high})
