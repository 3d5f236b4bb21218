from .adversarial_set import (
    AdversarialSet,
    describe_set,
    read_column,
    read_provenance,
    read_set,
    succeeded,
    write_shard,
)
from .attack_folder import attack_images
from .card import NO_VICTIM, SetCard, SetRef
from .export import SET_EXPORTS, write_png
from .gallery import GALLERY_FILE, Gallery
from .generation import BATCH, attacked_index, calls, generate, make_sets, predict_classes, run_attacks
from .sampling import FEWEST, Design, Pick, Samples, Split, choose_design, equally_many, pick_rows

__all__ = [
    "BATCH",
    "FEWEST",
    "GALLERY_FILE",
    "NO_VICTIM",
    "SET_EXPORTS",
    "AdversarialSet",
    "Design",
    "Gallery",
    "Pick",
    "Samples",
    "SetCard",
    "SetRef",
    "Split",
    "attack_images",
    "attacked_index",
    "calls",
    "choose_design",
    "describe_set",
    "equally_many",
    "generate",
    "make_sets",
    "pick_rows",
    "predict_classes",
    "read_column",
    "read_provenance",
    "read_set",
    "run_attacks",
    "succeeded",
    "write_png",
    "write_shard",
]
