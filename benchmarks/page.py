"""What `python -m benchmarks attacks` writes for people: one Markdown page, from the record alone."""

from collections.abc import Iterator, Sequence

from benchmarks.records import (
    AttackBench,
    AttributeBench,
    BenchVictim,
    Distances,
    Engine,
    Outcome,
    Pair,
    Row,
    Setup,
    Spread,
    StartBench,
)
from redhanded.report import ABSENT, count, escape_markdown, percent, short

ENGINE_HEAD = (
    *("engine", "images/s", "success %", "with margin %", "median L2", "mean L2", "median Linf", "mean Linf"),
    *("forwards", "backwards", "GFLOP/s", "% of peak"),
)
PAIR_HEAD = (
    *("victim", "attack", "peer", "times as fast", "of it the algorithm"),
    *("norm ratio", "as good", "target", "met"),
)
YES_NO = {True: "yes", False: "**no**"}


def attacks_page(bench: AttackBench) -> str:
    """The page of a benchmark, finished or not."""
    return "\n".join([*_head(bench), *_summary(bench), *_details(bench)]) + "\n"


def conditions(setup: Setup) -> Iterator[str]:
    """How it was measured, as a list."""
    machine = setup.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    yield from measured_on(setup)
    yield f"- software: Python {machine.python}, torch {machine.torch}, {libraries}"
    for name, install in machine.missing.items():
        yield f"- not installed: {name} (`{install}`)"
    yield f"- source: {setup.source}; {setup.images} rightly classified test images of each victim"
    yield f"- batches of {setup.batch_size} images, {setup.threads} {_plural('thread', setup.threads)} of torch"
    yield from (_victim_line(victim) for victim in setup.victims)


def measured_on(bench: Setup | AttributeBench | StartBench) -> Iterator[str]:
    """The command and the machine, as a list."""
    machine = bench.machine
    yield f"- command: `{bench.command}`; version {bench.version}, commit {bench.commit}, {bench.started}"
    yield f"- machine: {machine.processor}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, {machine.system}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Iterator[str]:
    """A Markdown table; the first columns hold text, the others numbers. Cells are Markdown already."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' if place < text_columns else '---:' for place in range(len(head)))}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def share(part: int, whole: int) -> str:
    """In per cent."""
    return percent(part / whole)


def spread_text(spread: Spread | None) -> str:
    """`2.31 (2.25–2.40)`: the median of the rounds with the smallest and the largest; one round stands alone."""
    if spread is None:
        return ABSENT
    rest = f" ({spread.low:.2f}–{spread.high:.2f})" if spread.rounds > 1 else ""
    return f"{spread.median:.2f}{rest}"


def distance_texts(distances: Distances | None) -> list[str]:
    """Median and mean L2, median and mean Linf."""
    return [ABSENT] * 4 if distances is None else [short(value) for _, value in distances]


def outcome_texts(outcome: Outcome) -> list[str]:
    """Success, success with the margin, distances."""
    shares = [share(part, outcome.images) for part in (outcome.success, outcome.margin_success)]
    return [*shares, *distance_texts(outcome.distances)]


def _head(bench: AttackBench) -> Iterator[str]:
    yield "# Benchmark of the attacks"
    yield ""
    if not bench.finished:
        yield "**Not finished:** the rows below are those measured so far."
        yield ""
    yield "Every engine attacks the same images of the same victims with the same settings and the same threads, one"
    yield "after the other in one process, round after round. Success and distances are measured by us on what came"
    yield "back. Ratios are taken round by round: seconds of the peer over seconds of ours."
    yield ""
    yield from conditions(bench.setup)
    yield f"- rounds: {bench.rounds}; a peer that took more than {bench.patience:g} times ours ran one alone"
    yield f"- fastest 3 x 3 convolution of this machine: {bench.peak_gflops:.0f} GFLOP/s with these threads"
    yield ""


def _summary(bench: AttackBench) -> Iterator[str]:
    yield "## Times as fast as each peer"
    yield ""
    yield "*Of it the algorithm*: the fastest peer ran on our prepared copy of the victim too (its own preparation"
    yield "timed with it, as ours is), so this is what is left when the gain of preparing is taken out. *Norm ratio*:"
    yield "median size, ours over the peer's, over the images that both fooled with the margin. *As good*: that ratio"
    yield "is at most 1.005, and our success with the margin at most half a percentage point below."
    yield ""
    yield from table(PAIR_HEAD, [_pair_row(row, pair) for row in bench.rows for pair in row.pairs], text_columns=3)


def _pair_row(row: Row, pair: Pair) -> list[str]:
    comparison = pair.comparison
    return [
        row.victim,
        escape_markdown(row.title),
        pair.peer,
        spread_text(pair.ratio),
        spread_text(pair.algorithm_ratio),
        ABSENT if comparison.norm_ratio is None else f"{comparison.norm_ratio:.4f}",
        YES_NO[comparison.as_good],
        f"{row.target:g}",
        YES_NO[row.met(pair)],
    ]


def _details(bench: AttackBench) -> Iterator[str]:
    yield "## What each engine did"
    yield ""
    yield "Forwards and backwards are images that passed the victim, for one attacked image and setting. The share of"
    yield "the peak counts the floating-point operations of the victim alone; folding takes some of ours away, which"
    yield "are counted all the same."
    yield ""
    for row in bench.rows:
        yield f"### {row.victim}: {escape_markdown(row.title)}"
        yield ""
        yield f"Ours: {_codes(row.ours)}." + ("" if row.ours == row.theirs else f" The peers: {_codes(row.theirs)}.")
        yield ""
        yield from table(ENGINE_HEAD, [_engine_row(engine) for engine in row.engines])
        for peer, reason in row.refused.items():
            yield f"- {peer}: {escape_markdown(reason)}"
        yield from [""] if row.refused else []


def _engine_row(engine: Engine) -> list[str]:
    images = engine.outcome.images
    return [
        f"{engine.name}{' (one round)' if engine.slow else ''}",
        short(engine.images_per_second),
        *outcome_texts(engine.outcome),
        f"{engine.forwards / images:.1f}",
        f"{engine.backwards / images:.1f}",
        f"{engine.gflops:.1f}",
        percent(engine.share_of_peak),
    ]


def _victim_line(victim: BenchVictim) -> str:
    return (
        f"- victim {victim.name}: {victim.architecture} of width {victim.width:g}, "
        f"{count(victim.parameters)} parameters, {victim.flops / 1e6:.1f} MFLOP a forward pass, "
        f"accuracy {percent(victim.accuracy)} %, weights {victim.weights_digest[:12]}"
    )


def _codes(specs: Sequence[str]) -> str:
    return ", ".join(f"`{spec}`" for spec in specs)


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"
