"""What `python -m benchmarks attribute` writes for people, from the record alone."""

from collections.abc import Iterator

from benchmarks.page import YES_NO, measured_on, table
from benchmarks.records import SERVER_GROWTH, SERVER_SHARE, AttributeBench, Served, Timing
from redhanded.report import percent

TIMING_HEAD = ("what", "median", "99th percentile", "target", "met")
SERVED_HEAD = (
    *("images a request", "requests", "errors", "images/s", "the Python call's", "share"),
    *("median, a request", "99th percentile", "memory, idle", "peak", "met"),
)


def attribute_page(bench: AttributeBench) -> str:
    """The page of a bundle's speed."""
    return "\n".join([*_head(bench), *_timings(bench), *_served(bench)]) + "\n"


def _head(bench: AttributeBench) -> Iterator[str]:
    yield "# Benchmark of a bundle"
    yield ""
    yield from measured_on(bench)
    yield f"- software: Python {bench.machine.python}, torch {bench.machine.torch}, {bench.threads} threads"
    yield f"- bundle: {bench.source}; {', '.join(bench.parts)}; card {bench.bundle[:12]}"
    yield ""


def _timings(bench: AttributeBench) -> Iterator[str]:
    yield f"{bench.images} of the bundle's examples, one by one and as a folder, from bytes to verdicts."
    yield ""
    yield from table(TIMING_HEAD, [_timing_row(timing) for timing in bench.timings])


def _timing_row(timing: Timing) -> list[str]:
    values = (f"{value:.3g} {timing.unit}" for value in (timing.median, timing.worst, timing.target))
    return [timing.title, *values, YES_NO[timing.met]]


def _served(bench: AttributeBench) -> Iterator[str]:
    if not bench.served:
        return
    first = bench.served[0]
    yield "## The server"
    yield ""
    yield f"{first.clients} clients on the same machine ask blind for {first.seconds:.0f} s, each again and again. The"
    yield "Python call is measured with as many images in each call, one after the other. Targets: no error, at least"
    yield f"{percent(SERVER_SHARE)} % of the Python call's images/s, at most {SERVER_GROWTH} MiB over the idle process."
    yield ""
    yield from table(SERVED_HEAD, [_served_row(one) for one in bench.served], text_columns=0)


def _served_row(one: Served) -> list[str]:
    return [
        f"{one.images}",
        f"{one.requests}",
        f"{len(one.errors)}",
        f"{one.rate:.0f}",
        f"{one.python_rate:.0f}",
        f"{percent(one.rate / one.python_rate)} %",
        f"{one.median_ms:.0f} ms",
        f"{one.worst_ms:.0f} ms",
        f"{one.idle_mib} MiB",
        f"{one.peak_mib} MiB",
        YES_NO[one.met],
    ]
