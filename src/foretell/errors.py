"""The one family of errors that a person may see: a single line that says what happened and what to do."""


class ForetellError(Exception):
    """Something the user can understand and act on. `str(error)` is one line; the command line exits with status 1."""


class UsageError(ForetellError):
    """An option or argument that makes no sense. The command line exits with status 2."""


def why(error: Exception) -> str:
    """What went wrong, without the path that an operating system's message repeats.

    >>> why(FileNotFoundError(2, "No such file or directory", "suite.jsonl")), why(ValueError("line 3"))
    ('No such file or directory', 'line 3')
    """
    said = error.strerror if isinstance(error, OSError) else None
    return said or " ".join(str(error).split())
