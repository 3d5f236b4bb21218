from .dimensions import DIMENSIONS, Name, SetEntry, told_apart
from .evaluation import (
    ACTOR,
    Picked,
    ReadColumn,
    Scores,
    column_of,
    labels_of,
    load,
    load_sets,
    pick,
    score,
    score_by_size,
    score_pooled,
)
from .projection import project
from .questions import ASKED_OF_ALL, NORM_TITLES, QUESTIONS, SEEN, Question, QuestionKind, build_questions, rows_by_item
from .results import ClassScore, Result, Unknown
from .setting_choice import Choice, choose_settings
from .spec import Study, load_study

__all__ = [
    "ACTOR",
    "ASKED_OF_ALL",
    "DIMENSIONS",
    "NORM_TITLES",
    "QUESTIONS",
    "SEEN",
    "Choice",
    "ClassScore",
    "Name",
    "Picked",
    "Question",
    "QuestionKind",
    "ReadColumn",
    "Result",
    "Scores",
    "SetEntry",
    "Study",
    "Unknown",
    "build_questions",
    "choose_settings",
    "column_of",
    "labels_of",
    "load",
    "load_sets",
    "load_study",
    "pick",
    "project",
    "rows_by_item",
    "score",
    "score_by_size",
    "score_pooled",
    "told_apart",
]
