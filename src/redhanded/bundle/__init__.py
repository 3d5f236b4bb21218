"""Bundles: what an analyst loads, packed from a run and verified before it is believed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
