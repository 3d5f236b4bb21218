"""Redhanded: which attack made this adversarial image?

Images are float32 in [0, 1], (n, c, h, w), everywhere; normalisation belongs to the networks.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
