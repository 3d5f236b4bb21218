from .errors import BundleError as BundleError
from .load import Bundle as Bundle
from .load import checked_answer as checked_answer
from .load import load_bundle as load_bundle
from .pack import pack_bundle as pack_bundle
from .records import BundleCard as BundleCard
from .records import Part as Part
from .records import SetEntry as SetEntry

__all__ = ["Bundle", "BundleCard", "BundleError", "Part", "SetEntry", "checked_answer", "load_bundle", "pack_bundle"]
