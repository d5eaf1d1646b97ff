"""A real text in numbered lines, made from a file that every Debian has.

A line is "PRODUCER NUMBER TEXT". Numbers start at 1 and rise within a producer; no two lines are the same.
"""

from pathlib import Path

SOURCES = [
    "/usr/share/common-licenses/GPL-3",
    "/usr/share/common-licenses/Apache-2.0",
    "/var/lib/dpkg/status",
]


def source():
    """The lines of the first source there is, without the empty ones."""
    for path in map(Path, SOURCES):
        if path.exists():
            return [
                line
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
                if line.strip()
            ]
    raise FileNotFoundError(f"none of {', '.join(SOURCES)} is on this machine")


def numbered(producer, count):
    """That many lines of one producer."""
    words = source()
    return [f"{producer} {number:07d} {words[number % len(words)]}" for number in range(1, count + 1)]


def producer_and_number(line):
    """What a line says of itself."""
    producer, number, _ = line.split(" ", 2)
    return producer, int(number)
