"""The figures' colours, and an SVG made ready to stand in a page with a light and a dark scheme."""

import re

INK = "#1d2329"
MUTED = "#68727d"
LINE = "#d3d9df"
OURS = "#1f62a7"
HEAT = "#1f62a8"  # a full cell; a colour of its own, as it must carry text in both schemes
ON_HEAT = "#fdfeff"  # text on a full cell
PAPER = "#b4530a"
SURFACE = "#ffffff"

# A colour of a drawing -> the page's variable for it: name, in light, in dark.
THEMED = {
    INK: ("ink", INK, "#e4e8ec"),
    MUTED: ("muted", MUTED, "#97a2ae"),
    LINE: ("line", LINE, "#39424c"),
    OURS: ("ours", OURS, "#6fb1f2"),
    HEAT: ("heat", HEAT, "#2f74bd"),
    ON_HEAT: ("on-heat", ON_HEAT, "#ffffff"),
    PAPER: ("paper", PAPER, "#f0a05a"),
    SURFACE: ("surface", SURFACE, "#14181d"),
}


def inline_svg(svg: bytes, prefix: str) -> str:
    """Turn an SVG into an element of a page: colours by variable, ids of its own, nothing that points outside."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sid="([^"]+)"', rf' id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r'\sxmlns(?::xlink)?="[^"]+"', "", text)
    text = re.sub(r'(<svg[^>]*?)\swidth="[^"]+"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?)\sheight="[^"]+"', r"\1", text, count=1)
    for colour, (name, _, _) in THEMED.items():
        text = re.sub(f"((?:fill|stroke): ?){colour}", rf"\1var(--{name})", text)
    return text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
