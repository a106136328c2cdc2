#!/usr/bin/env python3
"""Turns a terminal's text with its colours into an SVG picture: docs/run.svg is made with

    tmux new-session -d -s picture -x 92 -y 30 'tidegate run .ml/workflows/digits.yml; sleep 600'
    tmux capture-pane -p -e -t picture | python3 docs/picture.py 'tidegate run' > docs/run.svg
"""

import re
import sys
from xml.sax.saxutils import escape

COLOURS = {"31": "#ff7b72", "32": "#56d364", "33": "#e3b341", "2": "#8b949e"}
WIDTH, HEIGHT, PAD, BAR = 8.43, 19, 18, 30

command = sys.argv[1] if len(sys.argv) > 1 else ""
lines = [line.rstrip() for line in sys.stdin.read().split("\n")]
lines = [re.sub(r"\x1b\[[0-9;]*m$", "", line) if line.startswith("\x1b[0m") else line for line in lines]
while lines and not re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]).strip():
    lines.pop()
plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
columns = max([len(line) for line in plain] + [60])
rows = len(lines) + (2 if command else 0)
width, height = columns * WIDTH + 2 * PAD, rows * HEIGHT + BAR + PAD

out = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
    "<title>" + escape("A terminal: " + command) + "</title>",
    f'<rect width="100%" height="100%" rx="9" fill="#0d1117" stroke="#30363d"/>',
    *(f'<circle cx="{PAD + 18 * n}" cy="17" r="5.5" fill="{c}"/>' for n, c in enumerate(["#ff5f57", "#febc2e", "#28c840"])),
    '<g font-family="ui-monospace, SFMono-Regular, Menlo, \'DejaVu Sans Mono\', Consolas, monospace" font-size="14" fill="#e6edf3" xml:space="preserve">',
]
y = BAR + HEIGHT


def span(text, column, style):
    if text.strip():
        # Every run of text stands where its column is, whatever the font's width.
        length = f' textLength="{len(text) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
        out.append(f'<text x="{PAD + column * WIDTH:.1f}" y="{y}"{length}{style}>{escape(text)}</text>')


if command:
    span("$", 0, ' fill="#8b949e"')
    span(command, 2, "")
    y += 2 * HEIGHT
for line in lines:
    column, style = 0, ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if not code:
            for word in re.finditer(r"\S+(?: \S+)*", part):
                span(word.group(), column + word.start(), style)
            column += len(part)
            continue
        for number in code.group(1).split(";"):
            if number in ("", "0", "39", "22"):
                style = ""
            elif number == "1":
                style = ' font-weight="700"'
            elif number in COLOURS:
                style = f' fill="{COLOURS[number]}"'
    y += HEIGHT
out.append("</g></svg>")
print("\n".join(out))
