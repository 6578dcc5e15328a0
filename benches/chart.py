"""Line charts as SVG, without a library: logarithmic in both axes."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 230, 40, 50
COLOURS = ("#0b7285", "#e8590c", "#2b8a3e", "#c92a2a", "#5f3dc4", "#868e96", "#e64980", "#f08c00", "#1c7ed6", "#212529")


def ticks(low, high):
    """1, 2 and 5 times powers of ten between two numbers."""
    steps = (m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5))
    return [t for t in steps if low <= t <= high]


def lines(path, title, x_label, y_label, curves):
    """`curves` is {label: [(x, y), ...]}; all values are above 0."""
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    if not xs:
        return
    x_low, x_high, y_low, y_high = min(xs), max(xs) * 1.0001, min(ys) * 0.9, max(ys) * 1.1
    part = lambda v, low, high: (math.log(v) - math.log(low)) / max(math.log(high) - math.log(low), 1e-9)
    x_of = lambda x: LEFT + part(x, x_low, x_high) * (WIDTH - LEFT - RIGHT)
    y_of = lambda y: HEIGHT - BOTTOM - part(y, y_low, y_high) * (HEIGHT - TOP - BOTTOM)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
    ]
    for t in ticks(x_low, x_high):
        out.append(f'<line x1="{x_of(t):.1f}" y1="{TOP}" x2="{x_of(t):.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e9ecef"/>')
        out.append(f'<text x="{x_of(t):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{t:g}</text>')
    for t in ticks(y_low, y_high):
        out.append(f'<line x1="{LEFT}" y1="{y_of(t):.1f}" x2="{WIDTH - RIGHT}" y2="{y_of(t):.1f}" stroke="#e9ecef"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y_of(t) + 4:.1f}" text-anchor="end">{t:g}</text>')
    for i, (label, points) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        path_points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = TOP + 18 * i
        out.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{y}" width="10" height="10" fill="{colour}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 28}" y="{y + 10}">{escape(label)}</text>')
    out.append("</svg>")
    path.write_text("\n".join(out) + "\n")
