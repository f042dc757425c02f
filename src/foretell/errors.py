"""The one family of errors that a person may see: a single line that says what happened and what to do."""


class ForetellError(Exception):
    """Something the user can understand and act on. `str(error)` is one line; the command line exits with status 1."""


class UsageError(ForetellError):
    """An option or argument that makes no sense. The command line exits with status 2."""
