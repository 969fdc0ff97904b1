"""Curves as a small SVG, written by hand: several lines over one axis."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from tests.bench.figures import Unit, shown

__all__ = ["Points", "svg"]

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 80, 16, 34, 40
COLOURS = ("#1f6feb", "#d1490f", "#2da44e", "#8250df", "#57606a")


def svg(title: str, across: str, unit: Unit, lines: Mapping[str, Points]) -> str:
    """One picture: ``across`` names the x axis, the y axis starts at 0 and is in ``unit``."""
    points = [point for line in lines.values() for point in line]
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    high_y = max(y for _, y in points) * 1.08 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        wide = (x - low_x) / (high_x - low_x) if high_x > low_x else 0.5
        return LEFT + wide * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / high_y * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12" font-family="Arial">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 24}" text-anchor="middle">{escape(across)}</text>',
    ]
    for step in range(5):
        value = high_y * step / 4
        _, y = place(low_x, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d8dee4"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown(value, unit, high_y)}</text>')
    for x_value in dict.fromkeys((low_x, high_x)):
        x, _ = place(x_value, 0)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 24}" text-anchor="middle">{x_value:g}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in (place(*p) for p in line)]
        parts.append(f'<text x="{LEFT + 150 * number}" y="{HEIGHT - 8}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
