"""From images to log probabilities: attributors, their calibration, and what they have not learned."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
