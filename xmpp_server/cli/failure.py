"""Why a command could not be carried out."""


class Failure(Exception):  # noqa: N818
    """The text is told to whoever gave the command."""
