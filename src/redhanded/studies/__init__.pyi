from .dimensions import DIMENSIONS, Name, SetEntry, told_apart
from .evaluation import (
    ACTOR,
    Picked,
    ReadColumn,
    Scores,
    column_of,
    labels_of,
    load_picked,
    load_sets,
    pick_images,
    score_answers,
    score_by_size,
    score_pooled,
)
from .projection import project_features
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
    "load_picked",
    "load_sets",
    "load_study",
    "pick_images",
    "project_features",
    "rows_by_item",
    "score_answers",
    "score_by_size",
    "score_pooled",
    "told_apart",
]
