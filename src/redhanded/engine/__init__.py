"""The engine: a study becomes steps, done steps are skipped, the rest runs in processes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
