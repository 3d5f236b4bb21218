"""Named exceptions: a user's mistake, told in one line that says what was expected, what was found, what to do."""


class RedhandedError(Exception):
    """The parent of every error that a user can cause; the command line prints its text and exits with 2."""


class DataError(RedhandedError):
    """Images or labels that cannot be used: a missing key, a wrong type, a wrong shape, a truncated file."""


class AttackError(RedhandedError):
    """An attack specification that is out of range, or a model that an attack cannot be run on."""


class StudyError(RedhandedError):
    """A study file, a name in it or an override that does not resolve."""


class RunError(RedhandedError):
    """A run directory that is missing, busy, damaged or of another study."""
