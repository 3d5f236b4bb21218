"""Figures of a report: what is drawn is what the records say."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from redhanded.report import write_report
from redhanded.report.figures import Counts, cell_texts, draw_attacked, draw_confusion, row_shares
from redhanded.report.palette import HEAT
from redhanded.sets import GALLERY_FILE, Gallery
from support.report_run import change


def test_the_gallery_shows_each_image_and_what_was_added_to_it(small: Path) -> None:
    gallery = Gallery.load(small / GALLERY_FILE)
    upper_clean, *rest = [axes for axes in draw_attacked(gallery).axes if axes.images]
    count = len(gallery.images)
    assert len(rest) == 2 * count
    assert np.array_equal(upper_clean.images[0].get_array(), gallery.clean[0])
    for upper, lower, image in zip(rest[:count], rest[count:], gallery.images.values(), strict=True):
        assert np.array_equal(upper.images[0].get_array(), image[0])
        added = (image - gallery.clean)[0].numpy()
        expected = 0.5 + 0.5 * added / np.abs(added).max()
        assert np.asarray(lower.images[0].get_array()) == pytest.approx(expected, abs=1e-6)


def test_a_confusion_is_shaded_by_the_share_of_its_row() -> None:
    confusion = [[8, 1, 1], [0, 5, 5], [0, 0, 0]]
    (axes,) = draw_confusion(Counts("abc", "abc", confusion)).axes
    shade = np.zeros((3, 3))
    for square in axes.patches:
        if to_rgb(square.get_facecolor()) == to_rgb(HEAT):
            column, row = square.get_center()
            shade[round(row), round(column)] = square.get_facecolor()[3]
    assert shade == pytest.approx(np.array(row_shares(confusion)))
    written = [text.get_text() for text in axes.texts if text.get_text()]
    assert written == [text for row in cell_texts(confusion) for text in row if text]


def test_another_record_gives_another_figure_and_leaves_the_others(small: Path) -> None:
    figures = write_report(small).parent / "figures"
    before = {path.name: path.read_bytes() for path in figures.iterdir()}
    change(small, "norm/fgsm/vgg16", lambda record: record.update(accuracy=0.5, interval=[0.4, 0.6]))
    write_report(small)
    after = {path.name: path.read_bytes() for path in figures.iterdir()}
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert {Path(name).suffix for name in changed} == {".png", ".svg"}
    assert all(name.startswith("comparison-float32") for name in changed)
