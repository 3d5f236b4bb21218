"""`redhanded serve`."""

from pathlib import Path
from typing import Annotated

import typer

from redhanded.errors import RedhandedError


def serve(
    bundle: Annotated[Path, typer.Option(help="What `redhanded bundle` wrote.")],
    host: Annotated[str, typer.Option(help="Elsewhere than on loopback a token is asked for.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8417,
    reports: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of runs whose reports to show.")] = None,
    verdicts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `redhanded watch` writes: shown as campaigns.")
    ] = None,
) -> None:
    """Serve a page and an API that name the attack behind images."""
    try:
        from redhanded.server import serve_bundle
    except ModuleNotFoundError as error:
        remedy = "install it: pip install 'redhanded[serve]'"
        raise RedhandedError(f"expected the package {error.name}, found none; {remedy}") from None
    serve_bundle(bundle, host, port, reports=reports, verdicts=verdicts, say=typer.echo)
