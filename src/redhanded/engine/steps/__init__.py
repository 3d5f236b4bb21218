"""The steps a study is made of."""

from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors
from redhanded.engine.steps.base import Done, Step, in_order
from redhanded.engine.steps.questions import AskQuestion
from redhanded.engine.steps.sets import DescribeSet, MakeSets, MakeShard
from redhanded.engine.steps.unknown import MeasureUnknown
from redhanded.engine.steps.victims import TrainVictim, open_source

__all__ = [
    "AskQuestion",
    "DescribeSet",
    "Done",
    "FitOnAll",
    "JoinAttributors",
    "MakeSets",
    "MakeShard",
    "MeasureUnknown",
    "Step",
    "TrainVictim",
    "in_order",
    "open_source",
]
