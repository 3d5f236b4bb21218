"""Text that stays text inside a Markdown table."""

import re


def escape_markdown(value: object) -> str:
    """One line, with everything that Markdown, a table or HTML would read as markup taken as written."""
    text = " ".join(str(value).split())
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)
