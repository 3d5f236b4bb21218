from .card import BundleCard, Part
from .load import Bundle, checked_answer, load_bundle
from .pack import PackOptions, pack_bundle
from .verify import CARD_FILE, BundleError, bad_bundle, trusting_nothing

__all__ = [
    "CARD_FILE",
    "Bundle",
    "BundleCard",
    "BundleError",
    "PackOptions",
    "Part",
    "bad_bundle",
    "checked_answer",
    "load_bundle",
    "pack_bundle",
    "trusting_nothing",
]
