"""Benchmarks: our attacks beside those of other libraries, and how fast a bundle answers."""
