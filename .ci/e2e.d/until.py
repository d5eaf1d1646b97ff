"""Waiting for a condition, never for a length of time.

Every wait has a deadline and says what it waited for. The invariant: a wait that returns has seen its
condition.
"""

import time


class TimedOut(Exception):
    """The condition did not come true in time."""


def until(what, condition, within, every=0.05, ignoring=()):
    """Calls `condition` until it returns something true, and returns that.

    `within` and `every` are seconds. Exceptions of the types in `ignoring` count as "not yet"; the last one
    is named when the time is up.
    """
    deadline = time.monotonic() + within
    last = None
    while True:
        try:
            found = condition()
            if found:
                return found
            last = found
        except ignoring as error:
            last = error
        if time.monotonic() >= deadline:
            raise TimedOut(f"not within {within:g} s: {what} (last: {str(last)[:300]!r})")
        time.sleep(every)


class Stopwatch:
    """Seconds since it was made, by a clock that is never set."""

    def __init__(self):
        self.begin = time.monotonic()

    @property
    def seconds(self):
        return time.monotonic() - self.begin
