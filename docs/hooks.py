"""What the site has beside the files of this folder: the pages at the repository's root, and the commands' own help."""

import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
AT_THE_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and the one that typer makes of the commands."""
    for name in AT_THE_ROOT:
        content = re.sub(r"\[([^]]*)\]\(([^)]*)\)", _link, (ROOT / name).read_text())
        files.append(File.generated(config, name.lower(), content=content))
    command = [sys.executable, "-m", "typer", "redhanded.cli.main", "utils", "docs", "--name", "redhanded"]
    written = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout  # noqa: S603
    files.append(File.generated(config, "reference/cli.md", content=written))
    return files


def _link(found: re.Match[str]) -> str:
    """A link of a page at the root as it is in the site: to a file that the site does not have there is none."""
    text, target = found.groups()
    if target in AT_THE_ROOT:
        return f"[{text}]({target.lower()})"
    if target.startswith(("docs/", "https://")):
        return f"[{text}]({target.removeprefix('docs/')})"
    return f"`{text}`"


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links to the pages at the root lead to where they are in the site.

    The reports of single runs are left out of the search: thousands of numbers under the same few words.
    """
    if page.file.src_uri.startswith("results/") and page.file.src_uri.endswith("/report.md"):
        page.meta["search"] = {"exclude": True}
    for name in AT_THE_ROOT:
        markdown = markdown.replace(f"](../{name})", f"]({name.lower()})")
    return markdown
