from .environment import command_line, commit, core_count, execution_environment, memory_gib, processor
from .hashing import digest, file_digest, seed_for
from .isolation import untouched_model, untouched_random_state
from .norms import Norm, dual_norm_of, norm_of, per_image
from .plugins import PluginWarning, Table
from .records import Outcome, R, Record, read_record, validate_record, whole_folder, write_record
from .statistics import confusion_matrix, holm, p_above_chance, wilson_interval
from .weights import WEIGHTS, load_weights, require_digest, save_weights

__all__ = [
    "WEIGHTS",
    "Norm",
    "Outcome",
    "PluginWarning",
    "R",
    "Record",
    "Table",
    "command_line",
    "commit",
    "confusion_matrix",
    "core_count",
    "digest",
    "dual_norm_of",
    "execution_environment",
    "file_digest",
    "holm",
    "load_weights",
    "memory_gib",
    "norm_of",
    "p_above_chance",
    "per_image",
    "processor",
    "read_record",
    "require_digest",
    "save_weights",
    "seed_for",
    "untouched_model",
    "untouched_random_state",
    "validate_record",
    "whole_folder",
    "wilson_interval",
    "write_record",
]
