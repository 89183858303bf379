"""What opening a client can raise. A log call raises none of these: what it refuses is counted."""


class Error(Exception):
    """The base of all errors; `code` is the stable name that the C header has too."""

    code = "INTERNAL"


class ConfigurationError(Error, ValueError):
    """A configuration name, value or combination is wrong; the message names it and what is allowed."""

    code = "CONFIGURATION"


class InvalidArgumentError(Error, ValueError):
    """An argument is malformed; the message names it."""

    code = "INVALID_ARGUMENT"


class StorageError(Error, OSError):
    """The operating system refused files or memory; the message says which."""

    code = "IO"


class TooManyStreamsError(Error):
    """A client has 64 streams at most."""

    code = "TOO_MANY_STREAMS"
