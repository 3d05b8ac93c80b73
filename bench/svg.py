"""Two kinds of plots as SVG: bars on one scale, and lines over a logarithmic axis."""

import math
from html import escape

COLOURS = ("#1f6feb", "#d1571f", "#3a8f3a", "#8250df", "#6e7781")
WIDTH, LEFT, RIGHT = 760, 70, 150
ROW, TOP = 24, 40


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(str(words))}</text>'


def line(x1, y1, x2, y2, colour, more=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def page(height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>"]) + "\n"


def bars(title, rows):
    """`rows`: (words, least, median, most), each over a goal of 1, on a logarithmic scale."""
    names, high = 370, max([2.0, *(most for _, _, _, most in rows)]) * 1.1
    low = min([0.5, *(least for _, least, _, _ in rows)]) / 1.1
    span = math.log(high / low)
    at = lambda value: names + math.log(max(value, low) / low) / span * (WIDTH - names - 60)
    parts = [text(10, 22, title, more=' font-weight="bold"')]
    for index, (words, least, median, most) in enumerate(rows):
        y = TOP + index * ROW
        colour = COLOURS[0] if median >= 1 else COLOURS[1]
        begin, end = sorted((at(1), at(median)))
        parts.append(text(names - 12, y + 14, words, "end", ' font-size="11"'))
        parts.append(f'<rect x="{begin:.1f}" y="{y + 4}" width="{end - begin:.1f}" height="12" fill="{colour}"/>')
        parts.append(line(at(least), y + 10, at(most), y + 10, "#24292f"))
        parts.append(text(WIDTH - 50, y + 14, f"{median:.2f}"))
    bottom = TOP + len(rows) * ROW
    parts.append(line(at(1), TOP, at(1), bottom, "#24292f", ' stroke-dasharray="4 3"'))
    parts.append(text(at(1), bottom + 16, "the goal", "middle"))
    return page(bottom + 30, parts)


def steps(low, high):
    """The powers of ten, and where there are few of them their doubles and fives, within the range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > 3_000 else (1, 2, 5)
    return [factor * 10.0**exponent for exponent in exponents for factor in factors if low <= factor * 10.0**exponent <= high]


def lines(title, x_title, series, places, is_logarithmic=False):
    """`series`: name to values, one for each of `places`, the names along the axis; None where there is none."""
    height, bottom = 300, 250
    values = [value for found in series.values() for value in found if value]
    if not values:
        return page(60, [text(10, 22, title, more=' font-weight="bold"'), text(10, 44, "nothing was measured")])
    high = max(values) * 1.1
    low = min(values) / 1.2 if is_logarithmic else 0
    share = (lambda v: math.log(v / low) / math.log(high / low)) if is_logarithmic else (lambda v: v / high)
    x = lambda index: LEFT + (index + 0.5) * (WIDTH - LEFT - RIGHT) / len(places)
    y = lambda value: bottom - share(value) * (bottom - TOP)
    parts = [text(10, 22, title, more=' font-weight="bold"')]
    marks = steps(low, high) if is_logarithmic else [high / 1.1 * part / 4 for part in range(5)]
    for mark in marks:
        parts.append(line(LEFT, y(mark), WIDTH - RIGHT, y(mark), "#ddd"))
        parts.append(text(LEFT - 6, y(mark) + 4, f"{mark:,.0f}" if mark >= 10 or mark == 0 else f"{mark:g}", "end"))
    for index, place in enumerate(places):
        parts.append(text(x(index), bottom + 18, place, "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, x_title, "middle"))
    for (name, found), colour in zip(series.items(), COLOURS):
        points = [(x(index), y(value)) for index, value in enumerate(found) if value]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points)
    for index, (name, colour) in enumerate(zip(series, COLOURS)):
        parts.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{TOP + index * 20}" width="12" height="12" fill="{colour}"/>')
        parts.append(text(WIDTH - RIGHT + 30, TOP + index * 20 + 10, name))
    return page(height, parts)
