"""Plays the points of judgement against real processes. Run it by .ci/e2e."""

import argparse
import importlib
import os
import shutil
import signal
import sys
import traceback

sys.dont_write_bytecode = True

from report import Failed, Report  # noqa: E402
from stage import Stage  # noqa: E402

POINTS = {
    "dev": "dev",
    "1": "leaders_killed",
    "2": "all_killed",
    "3": "atms",
    "4": "durability",
    "6": "abuse",
}
# Point 5 of the issue is the simulator's: .ci/run plays it without this program.


class OutOfTime(Exception):
    """The point took longer than it may."""


def main():
    points = {name: importlib.import_module(f"points.{module}") for name, module in POINTS.items()}
    words = argparse.ArgumentParser(
        prog=".ci/e2e",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="End-to-end tests with real processes. Without names, all points:\n\n"
        + "\n".join(f"  {name:4} {point.TITLE}" for name, point in points.items()),
        epilog="Environment: E2E_BIN, a directory to take the programs from; E2E_KEEP=1, keep data and logs.",
    )
    words.add_argument("points", nargs="*", metavar="POINT", choices=[[], *points], help="which to play")
    words.add_argument("--no-build", action="store_true", help="take the programs as they are")
    chosen = words.parse_args().points or list(points)

    lacking = [tool for tool in ("kcat", "strace") if shutil.which(tool) is None]
    if lacking:
        sys.exit(f"missing: {', '.join(lacking)}\nHint: apt-get install {' '.join(lacking)}")
    signal.signal(signal.SIGTERM, _stopped)
    signal.signal(signal.SIGALRM, _out_of_time)
    report = Report()
    for name in chosen:
        play(report, name, points[name])
    report.summary()
    return 1 if report.failed else 0


def play(report, name, point):
    report.point = name
    report.say(f"====  {name}: {point.TITLE}")
    failed_before = report.failed
    with Stage(f"point-{name}") as stage:
        signal.alarm(point.SECONDS)
        try:
            point.play(stage, report)
        except Failed:
            pass  # Counted where it was found.
        except Exception as error:
            report.check("it was played to its end", False, f"{type(error).__name__}: {error}")
            traceback.print_exc(file=sys.stdout)
        finally:
            signal.alarm(0)
        if report.failed > failed_before:
            print("\n".join(stage.logs()), flush=True)
            if not os.environ.get("CI"):
                stage.keep = True
                print(f"kept: {stage.dir}", flush=True)


def _stopped(*_):
    sys.exit("stopped by SIGTERM")


def _out_of_time(*_):
    raise OutOfTime("longer than the point may take")


if __name__ == "__main__":
    sys.exit(main())
