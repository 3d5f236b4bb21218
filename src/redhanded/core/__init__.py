"""Foundations that know no domain: norms, statistics, hashing, records, weights, isolation, environment."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
