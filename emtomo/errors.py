"""Errors that a user can act upon: what must be, what was, and where."""

LONGEST = 500


class EmtomoError(ValueError):
    """Something a user gave cannot be used; the message is one clear sentence."""


class FormatError(EmtomoError):
    """A file cannot be read as what it claims to be.

    Attributes
    ----------
    path : str
        The file.
    line : int or None
        The line, counted from 1, where the trouble is; ``None`` for binary files.
    """

    def __init__(self, path: object, message: str, line: int | None = None) -> None:
        self.path = str(path)
        self.line = line
        place = f"{path}, line {line}" if line is not None else f"{path}"
        told = " ".join(message.split())  # words of a damaged file may be long and hold line breaks
        super().__init__(f"{place}: {told if len(told) < LONGEST else told[:LONGEST] + ' …'}")
        self._given = (path if isinstance(path, str) else str(path), message, line)

    def __reduce__(self) -> tuple[type, tuple[str, str, int | None]]:
        """Let the error travel from another process."""
        return type(self), self._given


class ModelError(EmtomoError):
    """A geometrical model cannot be built from the points given for it."""


class ProjectError(EmtomoError):
    """A project, a run or a template cannot be used as asked."""
