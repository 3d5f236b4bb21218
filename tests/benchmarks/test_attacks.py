"""The benchmark: what it counts, what it calls as good, whom it lets go on, and its pages from real victims."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks import rounds, study
from benchmarks.attribute_page import attribute_page
from benchmarks.counting import counted, flops_of
from benchmarks.drawn import drawn_page
from benchmarks.outcomes import as_good, compare, judge, outcome
from benchmarks.page import attacks_page, spread_text
from benchmarks.peak import measure_peak
from benchmarks.records import AttackBench, AttributeBench, DrawnBench, Engine, Spread, StartBench, StudyBench, spread
from benchmarks.rounds import CONTROL, attempt, take_rounds
from benchmarks.run import Request, bench_attacks
from benchmarks.scenarios import SCENARIOS, asked_of
from benchmarks.start import start_page
from benchmarks.study import bench_study
from benchmarks.study_page import study_page
from redhanded.attacks import FGSM, AttackOutput, CarliniWagner, DeepFool
from redhanded.attacks.toolchains import TOOLCHAINS, attack_function, installed
from redhanded.core import Record, read_record, write_record
from redhanded.engine import RunFolder
from redhanded.engine.plan import _victims
from redhanded.engine.run import _card, _write_results
from redhanded.errors import AttackError, DataError, RunError
from redhanded.models import prepare
from support.tiny_study import tiny_study, write_source

QUIET = Console(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def _no_search_for_garbage() -> Iterator[None]:
    """It takes longer than what is measured here, whose seconds nobody asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds.gc, "collect", lambda: 0)
        yield


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A convolution and two linear layers; 3 classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 8), nn.ReLU(), nn.Linear(8, 3))
        return nn.Sequential(*layers).eval().requires_grad_(False)


# --- counting


@pytest.mark.parametrize("wrap", [lambda model: model, prepare], ids=["plain", "prepared"])
def test_every_image_counts_once_a_pass(network: nn.Module, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model, images = wrap(network), torch.rand(5, 1, 8, 8)
    with counted(network) as counts:
        model = wrap(network)  # copies made inside are counted too
        with torch.no_grad():
            model(images[:2])
        x = images.clone().requires_grad_()
        logits = model(x)
        torch.autograd.grad(logits[:, 0].sum(), x, retain_graph=True)
        torch.autograd.grad(logits.max(1).values.sum(), x)
    assert (counts.forwards, counts.backwards) == (7, 10)
    network(images)
    assert counts.forwards == 7  # afterwards nothing is counted


def test_flops_are_those_of_the_closed_form(network: nn.Module) -> None:
    assert flops_of(network, (1, 8, 8)) == 2 * (4 * 9 * 36 + 4 * 36 * 8 + 8 * 3)


def test_counts_of_an_attack_are_known() -> None:
    (spec,) = SCENARIOS["deepfool-l2"].ours
    assert isinstance(spec, DeepFool)
    layer = nn.Linear(16, 4)
    with torch.no_grad():
        layer.bias.copy_(-layer.weight.sum(1) / 2)  # the middle of the box is on every boundary, so one step is enough
    model = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)
    images = 0.45 + 0.1 * torch.rand(6, 1, 4, 4)
    with counted(model) as counts:
        (made,) = attack_function(spec)(model, images, model(images).argmax(1), [spec])
    assert made.steps.tolist() == [1] * 6
    assert counts.backwards == 3 * 6  # three rivals at each linearisation


# --- what images are worth


def judged(network: nn.Module, images: Tensor, made: dict[Any, Tensor]) -> Any:
    labels = network(images).argmax(1)
    attacked = {spec: AttackOutput(found, torch.zeros_like(labels)) for spec, found in made.items()}
    return judge(network, images, labels, list(made), attacked)


def test_only_a_changed_image_with_a_wrong_class_succeeds_and_the_margin_is_asked_for() -> None:
    network = nn.Flatten()  # logits are the two pixels
    images = torch.tensor([[0.6, 0.4]] * 4).reshape(4, 1, 1, 2)
    found = torch.tensor([[0.6, 0.4], [0.5, 0.45], [0.4, 0.45], [0.2, 0.9]]).reshape(4, 1, 1, 2)
    spec = CarliniWagner(confidence=0.1)
    result = judged(network, images, {spec: found})
    assert result.success.tolist() == [False, False, True, True]
    assert result.margin_success.tolist() == [False, False, False, True]
    torch.testing.assert_close(result.l2, torch.tensor([0, 0.0125**0.5, 0.0425**0.5, 0.41**0.5]))
    torch.testing.assert_close(result.linf, torch.tensor([0, 0.1, 0.2, 0.5]))
    numbers = outcome(result)
    assert (numbers.images, numbers.success, numbers.margin_success) == (4, 2, 1)
    assert numbers.distances is not None
    assert numbers.distances.mean_linf == pytest.approx(0.35)


def test_sizes_are_compared_over_what_both_fooled_in_the_worst_norm() -> None:
    network, images = nn.Flatten(), torch.tensor([[0.6, 0.4]] * 3).reshape(3, 1, 1, 2)

    def moved(*by: float) -> Tensor:
        return images + torch.tensor([[-one, one] for one in by]).reshape(3, 1, 1, 2)

    l2, linf = DeepFool(norm="l2"), DeepFool(norm="linf")
    ours = judged(network, images, {l2: moved(0.2, 0.2, 0.0), linf: moved(0.3, 0.3, 0.3)})
    theirs = judged(network, images, {l2: moved(0.2, 0.2, 0.3), linf: moved(0.2, 0.2, 0.2)})
    found = compare(ours, theirs)
    assert found.both == 5
    assert found.norm_ratio == pytest.approx(1.5)  # in linf; in l2 it is 1
    assert found.agree == pytest.approx(2 / 6)
    assert not found.as_good
    assert compare(theirs, theirs).as_good
    nothing = judged(network, images, {l2: images, linf: images})
    assert (compare(nothing, theirs).norm_ratio, compare(nothing, theirs).as_good) == (None, False)


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "good"),
    [
        (1.0, 1.0, 1.005, True),
        (1.0, 1.0, 1.0051, False),
        (0.9951, 1.0, 1.0, True),
        (0.994, 1.0, 1.0, False),
        (1.0, 0.5, 0.2, True),
        (1.0, 1.0, None, False),
    ],
)
def test_as_good_is_equal_success_and_a_norm_at_most_half_a_per_cent_above(
    ours: float, theirs: float, ratio: float | None, good: bool
) -> None:
    assert as_good(ours, theirs, ratio) is good


# --- rounds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], Callable[[], str]]:
    """Calls that take as long as they say, on a clock of their own; `clock.log` tells their order."""
    now, log = [0.0], list[str]()
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    def make(name: str, seconds: float) -> Callable[[], str]:
        def call() -> str:
            log.append(name)
            now[0] += seconds
            return f"{name} made"

        return call

    make.log = log  # type: ignore[attr-defined]
    return make


def broken() -> str:
    raise ZeroDivisionError("on\ntwo lines")


def test_rounds_rotate_and_the_slow_and_the_broken_drop_out(clock: Any) -> None:
    calls = {
        "ours": clock("ours", 1.0),
        "quick": clock("quick", 2.0),
        "broken": broken,
        "slow": clock("slow", 11.0),
        "fair": clock("fair", 3.0),
    }
    said: dict[str, str] = {}
    times = take_rounds(calls, 3, 10.0, lambda fastest: clock(f"control of {fastest}", 1.5), said.__setitem__)
    assert times.seconds == {
        "ours": [1.0] * 3,
        "quick": [2.0] * 3,
        "slow": [11.0],
        "fair": [3.0] * 3,
        CONTROL: [1.5] * 3,
    }
    assert times.results == {name: f"{'control of quick' if name == CONTROL else name} made" for name in times.seconds}
    assert (times.fastest, times.slow) == ("quick", {"slow"})
    assert times.refused == {"broken": "ZeroDivisionError: on two lines"}
    assert said["broken"] == "not run: ZeroDivisionError: on two lines"
    control = "control of quick"
    assert clock.log[:5] == ["ours", "quick", "slow", "fair", control]
    assert clock.log[5:] == ["quick", "fair", control, "ours", "fair", control, "ours", "quick"]


def test_ours_runs_alone_where_no_peer_does(clock: Any) -> None:
    times = take_rounds({"ours": clock("ours", 1.0)}, 2, 5.0, lambda fastest: broken, lambda *words: None)
    assert (times.seconds, times.fastest) == ({"ours": [1.0, 1.0]}, None)


def test_an_attempt_tells_our_own_errors_as_they_are() -> None:
    def refuse() -> None:
        raise AttackError("expected this, found that")

    assert attempt(refuse) == (None, "expected this, found that")
    assert attempt(lambda: 7) == (7, "")


# --- scenarios and numbers


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_asks_for_the_same_settings_without_shortcuts(name: str) -> None:
    row = SCENARIOS[name]
    assert [(spec.family, spec.norm, spec.setting) for spec in row.ours] == [
        (spec.family, spec.norm, spec.setting) for spec in row.theirs
    ]
    for spec in row.theirs:
        assert all(getattr(spec, one) == type(spec).model_fields[one].default for one in spec.shortcut_names)
    libraries = [peer for peer in TOOLCHAINS if peer != "redhanded" and row.theirs[0].family in TOOLCHAINS[peer].runs]
    able = list(itertools.filterfalse(lambda peer: attempt(lambda: can_run(peer, name))[1], libraries))
    assert len(able) >= 2


def can_run(peer: str, name: str) -> None:
    for spec in asked_of(peer, SCENARIOS[name].theirs):
        attack_function(spec)


def test_spreads() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=3.0, rounds=3)
    assert spread_text(spread([3.0, 1.0, 2.0])) == "2.00 (1.00–3.00)"
    assert spread_text(spread([2.0])) == "2.00"
    assert spread_text(None) == "—"


def test_the_peak_is_above_what_a_plain_loop_reaches() -> None:
    assert measure_peak() > 1


# --- the real thing: victims of a run, every library that is installed


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A run whose victims alone are trained."""
    folder = tmp_path_factory.mktemp("victims")
    study, sources = tiny_study(folder), {"bars": write_source(folder / "bars.npz")}
    run = RunFolder(folder / "run")
    steps = _victims(study, sources)
    for step in steps:
        write_record(step.run(run), run.mark(step.key))
    _card(study, run)
    _write_results(steps, run)
    return Request(folder / "out", run.root, sources, ("other",), images=8, batch_size=5)


@pytest.fixture(scope="module")
def bench(victims: Request) -> AttackBench:
    return bench_attacks(victims, ["fgsm", "deepfool-linf-box"], rounds=2, console=QUIET)


def test_every_installed_library_is_measured_or_named(bench: AttackBench) -> None:
    peers = {name for name in TOOLCHAINS if name != "redhanded" and installed(name)}
    assert [(row.victim, row.scenario) for row in bench.rows] == [("other", "fgsm"), ("other", "deepfool-linf-box")]
    for row in bench.rows:
        assert row.engines[0].name == "redhanded"
        assert {engine.name for engine in row.engines[1:]} == {pair.peer for pair in row.pairs}
        assert {pair.peer for pair in row.pairs} | set(row.refused) == peers
        assert all(len(engine.seconds) == 2 or engine.slow for engine in row.engines)
    assert bench.finished
    assert bench.setup.machine.libraries.keys() == peers


def test_fgsm_is_the_same_attack_in_every_library_and_costs_us_one_gradient(bench: AttackBench) -> None:
    row = bench.rows[0]
    ours, *others = row.engines
    assert (ours.outcome.images, ours.backwards) == (6 * 8, 8)
    assert all(engine.backwards == 6 * 8 for engine in others)
    same = {pair.peer for pair in row.pairs if pair.comparison.agree == 1.0 and pair.comparison.as_good}
    assert same >= {pair.peer for pair in row.pairs} - {"cleverhans"}  # which shortens the step of small gradients
    assert sum(bool(pair.prepared) for pair in row.pairs) == 1


def test_a_ratio_is_the_peers_seconds_over_ours(bench: AttackBench) -> None:
    for row in bench.rows:
        engines: dict[str, Engine] = {engine.name: engine for engine in row.engines}
        for pair in row.pairs:
            seconds = zip(engines[pair.peer].seconds, engines["redhanded"].seconds, strict=False)
            assert pair.ratios == pytest.approx([theirs / ours for theirs, ours in seconds])


def test_the_page_and_the_record_say_the_same(bench: AttackBench, victims: Request) -> None:
    assert read_record(AttackBench, victims.out / "attacks.json") == bench
    page = (victims.out / "attacks.md").read_text()
    assert page == attacks_page(bench)
    for row in bench.rows:
        assert f"### other: {row.title.replace('_', '')}" in page
        assert all(f"- {peer}: " in page for peer in row.refused)
        assert f"{row.engines[0].images_per_second:.3g}" in page
        assert all(spread_text(pair.ratio) in page for pair in row.pairs)
    assert "Not finished" not in page
    assert "Not finished" in attacks_page(bench.model_copy(update={"finished": False}))
    assert str(victims.run) not in page


def test_missing_libraries_are_named_with_their_command(bench: AttackBench) -> None:
    machine = bench.setup.machine.model_copy(update={"missing": {"art": "pip install art"}})
    setup = bench.setup.model_copy(update={"machine": machine})
    assert "- not installed: art (`pip install art`)" in attacks_page(bench.model_copy(update={"setup": setup}))


class Here:
    """An executor that starts no processes."""

    def __init__(self, workers: int, **options: object) -> None:
        pass

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    map = staticmethod(map)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_whole_study_is_made_twice(victims: Request, monkeypatch: pytest.MonkeyPatch, processes: bool) -> None:
    if not processes:
        monkeypatch.setattr(study, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(study, "core_count", lambda: 1)  # more threads than there are cores would wait for one another
    made = bench_study(victims, ["foolbox", "advlib", "cleverhans"], QUIET)
    assert read_record(StudyBench, victims.out / "study.json") == made
    assert len(made.sets) == 10
    assert set(made.ours) == {"other"}
    assert {(row.family, row.norm) for row in made.families} == {
        ("fgsm", "l2"), ("fgsm", "linf"), ("deepfool", "l2"), ("deepfool", "linf"), ("carlini_wagner", "l2"),
    }  # fmt: skip
    for row in made.families:
        best = {one.name: one for one in row.candidates}[row.peer or ""]
        enough = max(one.success for one in row.candidates) - 0.05
        assert best.seconds == min(one.seconds for one in row.candidates if one.success >= enough)
    assert made.theirs("other") == pytest.approx(sum(row.seconds_theirs or 0 for row in made.families))
    page = (victims.out / "study.md").read_text()
    assert f"| {made.theirs('other') / made.ours['other']:.2f}" in page.replace("**", "")
    for one in made.sets:
        assert one.ours.images == 8
        assert one.label in page
        if one.family != "carlini_wagner":
            assert one.comparison is not None
            assert one.comparison.as_good


@pytest.mark.parametrize(
    ("changes", "scenarios", "error", "says"),
    [
        ({}, ["fgms"], RunError, "expected --scenario to be one of fgsm,"),
        ({"victims": ("alexnte",)}, ["fgsm"], RunError, "expected --victim to be one of alexnet, other, found"),
        ({"images": 46}, ["fgsm"], DataError, "give a smaller --images"),
        ({"run": Path("nowhere")}, ["fgsm"], RunError, "is this a run's directory"),
        ({"sources": {}}, ["fgsm"], DataError, "bars"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    victims: Request, changes: dict[str, Any], scenarios: list[str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        bench_attacks(victims._replace(**changes), scenarios, console=QUIET)
    assert "\n" not in str(caught.value)


def test_an_fgsm_scenario_is_one_call_of_six_settings() -> None:
    assert all(isinstance(spec, FGSM) for spec in SCENARIOS["fgsm"].ours)
    assert len(set(SCENARIOS["fgsm"].ours)) == 6


# --- what is kept of measurements


KEPT = sorted((Path(__file__).parents[2] / "docs" / "benchmarks").glob("*/*.json"))
PAGES: dict[str, tuple[type[Record], Callable[[Any], str]]] = {
    "attacks.json": (AttackBench, attacks_page),
    "study.json": (StudyBench, study_page),
    "attribute.json": (AttributeBench, attribute_page),
    "drawn.json": (DrawnBench, drawn_page),
    "start.json": (StartBench, start_page),
}


def test_something_is_kept() -> None:
    assert {path.name for path in KEPT} == set(PAGES)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_kept_page_is_its_record(path: Path) -> None:
    kind, page = PAGES[path.name]
    record: Any = read_record(kind, path)
    assert getattr(record, "finished", True)
    assert path.with_suffix(".md").read_text() == page(record)
    index = (path.parents[1] / "README.md").read_text()
    assert f"({path.parent.name}/{path.stem}.md)" in index
