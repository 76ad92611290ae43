"""The one exception for mistakes that a user can mend."""


class FrostlineError(Exception):
    """A mistake in the input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with status 2.
    """
