"""The frame of a run's results holds each record's numbers, of a kept run and of a live one."""

import math
from pathlib import Path

import redhanded
from redhanded.engine import read_run_records
from support.report_run import COLLAPSED, make_run

KEPT = Path(__file__).parents[2] / "docs" / "results" / "quick"
KEY = ["question", "attributor", "pixels", "seed"]


def test_a_frame_has_the_numbers_of_every_record() -> None:
    frame = redhanded.load_results(KEPT).set_index(KEY)
    results = read_run_records(KEPT).results
    assert frame.index.is_unique
    assert len(frame) == len(results) > 100
    for result in results:
        row = frame.loc[(result.question, result.attributor, result.pixels, result.seed)]
        for name in ("study", "source", "item", "status", "n_train", "n_test", "chance", "confusion"):
            assert row[name] == getattr(result, name), name
        assert result.interval
        assert result.calibration
        for name, value in {
            "accuracy": result.accuracy,
            "interval_low": result.interval[0],
            "interval_high": result.interval[1],
            "p_value": result.p_value,
            "top3": result.top3,
            "ece": result.calibration.ece,
        }.items():
            wanted = value if result.status == "measured" else math.nan
            assert row[name] == wanted or (math.isnan(row[name]) and math.isnan(wanted)), name
        if result.status == "measured":
            assert row.p_value <= row.p_holm <= 1
            assert row.above_chance == (row.p_holm < 0.05)


def test_what_gave_no_number_is_missing(tmp_path: Path) -> None:
    frame = redhanded.load_results(make_run(tmp_path / "run", kinds=["setting"])).set_index(["question", "pixels"])
    collapsed = frame.loc[COLLAPSED]
    assert collapsed.status == "collapsed"
    assert collapsed[["accuracy", "interval_low", "p_value", "p_holm", "above_chance", "difference"]].isna().all()
    assert frame.drop(COLLAPSED)[["accuracy", "p_holm", "above_chance"]].notna().all(axis=None)
