"""What `python -m benchmarks study` writes for people, from the record alone."""

from collections.abc import Iterator

from benchmarks.page import YES_NO, conditions, distance_texts, share, table
from benchmarks.records import Comparison, StudyBench, StudyFamily, StudySet
from redhanded.report import ABSENT, count, short

FAMILY_HEAD = ("victim", "attack", "norm", "best peer", "sets", "its seconds", "ours, busy", "tried on a few images")
SET_HEAD = (
    *("victim", "set", "peer", "with margin %, ours", "peer's", "norm ratio", "as good"),
    *("median L2, ours", "peer's", "median Linf, ours", "peer's"),
)


def study_page(bench: StudyBench) -> str:
    """The page of a study made twice."""
    return "\n".join([*_head(bench), *_totals(bench), *_families(bench), *_sets(bench)]) + "\n"


def _head(bench: StudyBench) -> Iterator[str]:
    yield "# Benchmark of a whole study"
    yield ""
    if not bench.finished:
        yield "**Not finished:** the victims below are those done so far."
        yield ""
    yield f"Ours works as `redhanded run` does: {bench.workers} processes of one thread, started anew for each victim"
    yield "and timed from their start on. The peer works as its user would have it: one process of"
    yield f"{bench.setup.threads} threads, one call a set. The best peer of an attack and norm is the fastest of those"
    yield "whose success with the margin is at most 5 points below the best one's on 32 images, not timed."
    yield ""
    yield from conditions(bench.setup)
    yield ""


def _totals(bench: StudyBench) -> Iterator[str]:
    pairs = {victim: (seconds, bench.theirs(victim)) for victim, seconds in bench.ours.items()}
    pairs["all"] = (sum(ours for ours, _ in pairs.values()), sum(theirs for _, theirs in pairs.values()))
    yield "## All sets"
    yield ""
    yield from table(
        ("victim", "sets", "ours, s", "peers, s", "times as fast"),
        [
            [
                victim,
                count(sum(row.victim == victim or victim == "all" for row in bench.sets)),
                short(ours),
                short(theirs),
                f"**{theirs / ours:.2f}**",
            ]
            for victim, (ours, theirs) in pairs.items()
        ],
    )


def _families(bench: StudyBench) -> Iterator[str]:
    yield "## By attack"
    yield ""
    yield "*Ours, busy*: seconds that one of our processes was busy with the sets."
    yield ""
    yield from table(FAMILY_HEAD, [_family_row(bench, row) for row in bench.families], text_columns=4)


def _family_row(bench: StudyBench, row: StudyFamily) -> list[str]:
    sets = [one for one in bench.sets if (one.victim, one.family, one.norm) == (row.victim, row.family, row.norm)]
    tried = ", ".join(f"{one.name} {one.seconds:.2g} s at {100 * one.success:.0f} %" for one in row.candidates)
    return [
        row.victim,
        row.family,
        row.norm,
        row.peer or ABSENT,
        count(len(sets)),
        ABSENT if row.seconds_theirs is None else short(row.seconds_theirs),
        short(row.busy_ours),
        tried or ABSENT,
    ]


def _sets(bench: StudyBench) -> Iterator[str]:
    yield "## Set by set"
    yield ""
    yield "Distances are medians over the images that both fooled with the margin."
    yield ""
    yield from table(SET_HEAD, [_set_row(row) for row in bench.sets], text_columns=3)


def _set_row(row: StudySet) -> list[str]:
    outcomes = [ABSENT if one is None else share(one.margin_success, one.images) for one in (row.ours, row.theirs)]
    return [row.victim, row.label, row.peer or ABSENT, *outcomes, *_comparison(row.comparison)]


def _comparison(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return [ABSENT] * 6
    ours, theirs = distance_texts(comparison.ours), distance_texts(comparison.theirs)
    ratio = ABSENT if comparison.norm_ratio is None else f"{comparison.norm_ratio:.4f}"
    return [ratio, YES_NO[comparison.as_good], ours[0], theirs[0], ours[2], theirs[2]]
