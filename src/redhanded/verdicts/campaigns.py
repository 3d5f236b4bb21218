"""Verdicts over time, grouped into campaigns."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime
from rich.table import Table

from redhanded.core import Record
from redhanded.studies import DIMENSIONS
from redhanded.verdicts.journal import read_entries
from redhanded.verdicts.statement import words_for
from redhanded.verdicts.verdict import Alternative, Verdict

DAY = timedelta(days=1)
_SMALLEST = 1e-300  # keeps the logarithm of a probability that was rounded to 0 finite


class Campaign(Record):
    """Images that were made by the same attack, as far as each by itself tells, without a long gap between two."""

    family: str
    norm: str  # empty, as the others, where the bundle has only one name
    setting: str
    victim: str
    first: AwareDatetime  # when its first image was judged
    last: AwareDatetime
    count: int  # images
    names: list[str]  # of the images, in order
    combined: dict[str, list[Alternative]]  # by dimension, what all images together say; most probable first


# What the verdicts of a campaign have in common: the likeliest name in each of these dimensions.
KEY = tuple(name for name in Campaign.model_fields if name in DIMENSIONS)


def read_campaigns(path: Path, gap: timedelta = DAY) -> list[Campaign]:
    """The campaigns among the verdicts that `redhanded watch` wrote, in order of their first image.

    Verdicts belong to one campaign where family, norm, setting and victim have the same likeliest names and no more
    than `gap` lies between one and the next. Controls, and verdicts that say unknown, belong to none.

    `combined` adds the log-likelihoods of the members: the watcher gives no prior, so that a verdict's probabilities
    are, within a dimension, likelihoods up to a factor; their logarithms are summed name by name and normalised. That
    takes the images as independent given the attack, and the members were chosen by what they say: it is surer than a
    test of images that were known to be one actor's would be.

    Raises RunError in one line where the file is missing or is something else.
    """
    growing: dict[tuple[str, ...], _Growing] = {}
    grown: list[_Growing] = []
    for entry in read_entries(path):
        if entry.verdict is None or entry.verdict.unknown:
            continue
        likeliest = {name: finding.ranked[0].name for name, finding in entry.verdict.findings.items()}
        if likeliest.get("adversarial") == "control":
            continue
        key = tuple(likeliest.get(name, "") for name in KEY)
        if key in growing and entry.time - growing[key].last > gap:
            grown.append(growing.pop(key))
        growing.setdefault(key, _Growing(key, entry.time, entry.time)).add(entry.time, entry.verdict)
    return sorted((each.campaign() for each in [*grown, *growing.values()]), key=lambda campaign: campaign.first)


@dataclass
class _Growing:
    """A campaign while its verdicts are read."""

    key: tuple[str, ...]
    first: datetime
    last: datetime
    names: list[str] = field(default_factory=list)
    log_likelihoods: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, time: datetime, verdict: Verdict) -> None:
        self.last = max(self.last, time)
        self.names.append(verdict.name)
        for dimension, finding in verdict.findings.items():
            own = {one.name: math.log(max(one.probability, _SMALLEST)) for one in finding.ranked}
            sums = self.log_likelihoods.get(dimension, dict.fromkeys(own, 0.0))
            # A file that was gone on with under another bundle: only what both know can be compared.
            self.log_likelihoods[dimension] = {name: sums[name] + own[name] for name in sums if name in own}

    def campaign(self) -> Campaign:
        combined: dict[str, list[Alternative]] = {}
        for dimension, sums in self.log_likelihoods.items():
            most = max(sums.values(), default=0.0)
            shares = {name: math.exp(value - most) for name, value in sums.items()}
            total = sum(shares.values())
            for name in sorted(shares, key=lambda name: -shares[name]):
                share = shares[name] / total
                likelier = combined.setdefault(dimension, [])
                likelier.append(Alternative(name=name, probability=share, words=words_for(share)))
        return Campaign(
            **dict(zip(KEY, self.key, strict=True)),
            first=self.first,
            last=self.last,
            count=len(self.names),
            names=self.names,
            combined=combined,
        )


def campaign_table(campaigns: Iterable[Campaign]) -> Table:
    """A table for a terminal: a row for each campaign, with the words for what its images say together."""
    table = Table(box=None, pad_edge=False)
    for name in ("first", "last", "images", *KEY):
        table.add_column(name, justify="right" if name == "images" else "left", overflow="fold")
    for campaign in campaigns:
        times = [f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" for time in (campaign.first, campaign.last)]
        cells = [*times, str(campaign.count)]
        for dimension in KEY:
            likeliest: str = getattr(campaign, dimension)
            words = {one.name: one.words for one in campaign.combined.get(dimension, [])}
            cells.append(f"{likeliest}\n{words[likeliest]}" if likeliest in words else likeliest)
        table.add_row(*cells)
    return table
