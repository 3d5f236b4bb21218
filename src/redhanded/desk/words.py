"""Probabilities in the words of ICD 203, the standard of analytic products."""

from bisect import bisect_left

# (upper bound, words), read top to bottom; at the ends the standard has no words, and certainty is never claimed.
ICD_203 = (
    (0.05, "almost no chance"),
    (0.20, "very unlikely"),
    (0.45, "unlikely"),
    (0.55, "roughly even chance"),
    (0.80, "likely"),
    (0.95, "very likely"),
    (1.00, "almost certain"),
)
_BOUNDS = [bound for bound, _ in ICD_203]


def words_for(probability: float) -> str:
    """The words for a probability in [0, 1]; a bound belongs to the words below it."""
    return ICD_203[bisect_left(_BOUNDS, probability)][1]
