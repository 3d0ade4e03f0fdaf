"""What a command says when it can't do its work."""


class CommandError(Exception):
    """A failure the user can act on: one sentence that says what is wrong and what to do.

    ``tickcast`` prints it to standard error and ends with exit code 1, without a traceback.
    """
