"""What the tests found: checks that passed or failed, and figures.

A figure is a time that the project promises. It is printed always and fails only at ten times the promise,
so that a slow machine tells us something without turning red.
"""

import time

TOLERANCE = 10


class Failed(Exception):
    """A check without which the point cannot go on."""


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.figures = []
        self.failures = []
        self.point = ""
        self.begin = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.begin:8.2f}  {text}", flush=True)

    def check(self, law, holds, detail=""):
        """Counts one check. Returns whether it holds."""
        if holds:
            self.passed += 1
            self.say(f"ok    {self.point}: {law}{f'  ({detail})' if detail else ''}")
        else:
            self.failed += 1
            self.failures.append(f"{self.point}: {law}")
            self.say(f"FAIL  {self.point}: {law}\n          {detail}")
        return bool(holds)

    def require(self, law, holds, detail=""):
        """Like `check`, but ends the point when it does not hold."""
        if not self.check(law, holds, detail):
            raise Failed(law)

    def check_none(self, law, problems, shown=12):
        """Counts one check that holds when there are no problems."""
        more = f"\n          and {len(problems) - shown} more" if len(problems) > shown else ""
        return self.check(law, not problems, "\n          ".join(problems[:shown]) + more)

    def figure(self, name, seconds, promised, listed=True):
        """Counts one check of a time in seconds against a promise: it fails at ten times that. The summary
        lists it."""
        if listed:
            self.figures.append((self.point, name, seconds, promised))
        return self.check(
            f"{name}: {seconds:.3f} s",
            seconds < TOLERANCE * promised,
            f"figure {promised:g} s, fails at {TOLERANCE * promised:g} s",
        )

    def note(self, name, text):
        """Prints something measured that nothing is promised about."""
        self.figures.append((self.point, name, text, None))
        self.say(f"      {self.point}: {name}: {text}")

    def summary(self):
        """The closing lines; the very last is "N passed, M failed"."""
        print("\nfigures")
        for point, name, value, promised in self.figures:
            value = value if promised is None else f"{value:.3f} s (figure {promised:g} s)"
            print(f"  {point}: {name}: {value}")
        if self.failures:
            print("\nfailed")
            for failure in self.failures:
                print(f"  {failure}")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
