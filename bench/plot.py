#!/usr/bin/env python3
"""Draws bench/size.csv: two small plots over a logarithmic axis of sizes, as SVG. Usage: plot.py IN.csv OUT.svg"""

import csv
import math
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 240, 70, 34, 20, 40
PLOTS = [
    ("reserve_per_second", "reservations a second, one pool, 1,024 in flight", "#1f6feb"),
    ("availability_p50_ms", "availability, median milliseconds, one in flight", "#d1571f"),
]


def position(size, sizes):
    """Zero has a place of its own, left of the logarithmic axis."""
    smallest, largest = min(s for s in sizes if s), max(sizes)
    span = math.log10(largest) - math.log10(smallest) or 1
    share = 0 if size == 0 else 0.15 + 0.85 * (math.log10(size) - math.log10(smallest)) / span
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def plot(rows, name, title, colour, top):
    sizes = [int(row["live"]) for row in rows]
    values = [float(row[name]) for row in rows]
    ceiling = max(values) * 1.15
    height = lambda value: top + HEIGHT - BOTTOM - value / ceiling * (HEIGHT - TOP - BOTTOM)
    text = lambda x, y, words, anchor: f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{words}</text>'
    yield f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{title}</text>'
    for share in (0, 0.5, 1):
        value = max(values) * share
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height(value):.0f}" y2="{height(value):.0f}" stroke="#ddd"/>'
        yield text(LEFT - 8, height(value) + 4, f"{value:,.0f}" if ceiling > 50 else f"{value:.2f}", "end")
    for size in sorted(set(sizes)):
        yield text(position(size, sizes), top + HEIGHT - BOTTOM + 20, f"{size:,}", "middle")
    for size, value in zip(sizes, values):
        yield f'<circle cx="{position(size, sizes):.0f}" cy="{height(value):.0f}" r="5" fill="{colour}"/>'


def main(source, target):
    with open(source, encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    total = HEIGHT * len(PLOTS) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{total}" fill="white"/>',
    ]
    for index, (name, title, colour) in enumerate(PLOTS):
        parts.extend(plot(rows, name, title, colour, index * HEIGHT))
    parts.append(f'<text x="{WIDTH / 2:.0f}" y="{total - 6}" text-anchor="middle">live reservations in the pool</text>')
    parts.append("</svg>")
    with open(target, "w", encoding="utf-8") as out:
        out.write("\n".join(parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
