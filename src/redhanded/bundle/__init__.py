"""A bundle: what `redhanded attribute` loads. safetensors and JSON alone, every file with its SHA-256."""

from redhanded.bundle.errors import BundleError
from redhanded.bundle.load import Bundle, checked_answer, load_bundle
from redhanded.bundle.pack import pack_bundle
from redhanded.bundle.records import BundleCard, Part, SetEntry

__all__ = ["Bundle", "BundleCard", "BundleError", "Part", "SetEntry", "checked_answer", "load_bundle", "pack_bundle"]
