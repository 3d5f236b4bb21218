"""The analyst's desk: from a suspicious image to a verdict."""
