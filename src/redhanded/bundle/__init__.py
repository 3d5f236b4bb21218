"""A bundle: what `redhanded attribute` loads. safetensors and JSON alone, every file with its SHA-256."""

import lazy_loader

# Packing a bundle needs the engine; whoever only loads one does not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
