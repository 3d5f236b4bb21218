from .card import BundleCard, Part
from .load import Bundle, checked_answer, load_bundle
from .pack import PackOptions, pack_bundle
from .shipped import SHIPPED, NamedBundle, bundle_named, find_bundles
from .teach import Lesson, teach_bundle
from .verify import CARD_FILE, BundleError, bad_bundle, trusting_nothing

__all__ = [
    "CARD_FILE",
    "SHIPPED",
    "Bundle",
    "BundleCard",
    "BundleError",
    "Lesson",
    "NamedBundle",
    "PackOptions",
    "Part",
    "bad_bundle",
    "bundle_named",
    "checked_answer",
    "find_bundles",
    "load_bundle",
    "pack_bundle",
    "teach_bundle",
    "trusting_nothing",
]
