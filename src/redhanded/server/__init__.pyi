from .run import serve_bundle

__all__ = [
    "serve_bundle",
]
