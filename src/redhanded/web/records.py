"""What the server answers."""

from pydantic import Field

from redhanded.desk.campaigns import Campaign
from redhanded.desk.records import Failure, Verdict
from redhanded.results import Record


class Attribution(Record):
    """Verdicts on what was handed in, in its order, and what could not be used."""

    bundle: str  # SHA-256 of the card of the bundle that answered
    version: str  # of Redhanded
    verdicts: list[Verdict]
    failures: list[Failure]


class Refusal(Record):
    """Why nothing was done."""

    error: str  # one line: what was expected, what was found, what to do
    failures: list[Failure] = Field(default_factory=list)  # where files were at fault


class CampaignList(Record):
    """Campaigns in order of their first image."""

    campaigns: list[Campaign]


class Health(Record):
    """That the server answers, and how much it has to do."""

    status: str
    waiting: int  # images accepted and not yet judged
