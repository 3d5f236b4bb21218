"""The steps a study is made of."""

from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors
from redhanded.engine.steps.base import Done, Step, in_order
from redhanded.engine.steps.questions import AskedImages, AskQuestion, ChooseSetting, FitOnQuestion
from redhanded.engine.steps.sets import DescribeSet, MakeSets, MakeShard, MeasureSuccess
from redhanded.engine.steps.unknown import MeasureUnknown
from redhanded.engine.steps.victims import TrainVictim, open_source

__all__ = [
    "AskQuestion",
    "AskedImages",
    "ChooseSetting",
    "DescribeSet",
    "Done",
    "FitOnAll",
    "FitOnQuestion",
    "JoinAttributors",
    "MakeSets",
    "MakeShard",
    "MeasureSuccess",
    "MeasureUnknown",
    "Step",
    "TrainVictim",
    "in_order",
    "open_source",
]
