from .arrays import ARRAYS, checked_array, read_arrays
from .datasets import SOURCES, LabelledImages, Source, load_source, source_paths
from .decode import decode_image
from .folders import MIN_SIDE, UserImages, bad_data, read_images, reading
from .pixels import AS_FILE, AS_LEFT, PIXELS, Pixels, as_float, round_to_uint8, through_jpeg

__all__ = [
    "ARRAYS",
    "AS_FILE",
    "AS_LEFT",
    "MIN_SIDE",
    "PIXELS",
    "SOURCES",
    "LabelledImages",
    "Pixels",
    "Source",
    "UserImages",
    "as_float",
    "bad_data",
    "checked_array",
    "decode_image",
    "load_source",
    "read_arrays",
    "read_images",
    "reading",
    "round_to_uint8",
    "source_paths",
    "through_jpeg",
]
