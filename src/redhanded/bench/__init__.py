"""Benchmarks: our attacks and those of other libraries, side by side on the same victims and images."""
