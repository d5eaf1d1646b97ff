"""Whether what was read is what was promised. Pure: lists in, sentences about what is wrong out.

The promise to an acknowledged record: it is there once, at the offset that was acknowledged, and in the
order in which its producer sent it within the partition. Offsets have no gaps: internal entries of the Raft
log take none.
"""

from text import producer_and_number


def problems(read, acknowledged, complete=(), sent=None):
    """Compares.

    read: partition to a list of (offset, line), in the order read, from offset 0 to the high watermark.
    acknowledged: (partition, offset, line) of each record whose offset was told.
    complete: lines that were acknowledged without telling where.
    sent: every line that may be there; None if any may.
    """
    return [
        *_gaps(read),
        *_repeated(read),
        *_moved(read, acknowledged),
        *_missing(read, complete),
        *_strange(read, sent),
        *_disordered(read),
    ]


def _gaps(read):
    for partition, records in sorted(read.items()):
        for expected, (offset, line) in enumerate(records):
            if offset != expected:
                yield f"partition {partition}: offset {offset} where {expected} comes next: {line[:60]!r}"
                break


def _repeated(read):
    seen = {}
    for partition, records in sorted(read.items()):
        for offset, line in records:
            if line in seen:
                yield f"read twice: at {seen[line]} and {partition}/{offset}: {line[:60]!r}"
            else:
                seen[line] = f"{partition}/{offset}"


def _moved(read, acknowledged):
    at = {(partition, offset): line for partition, records in read.items() for offset, line in records}
    for partition, offset, line in acknowledged:
        found = at.get((partition, offset))
        if found != line:
            there = "nothing" if found is None else repr(found[:60])
            yield f"acknowledged at {partition}/{offset}: {line[:60]!r}; there is {there}"


def _missing(read, complete):
    there = {line for records in read.values() for _, line in records}
    for line in complete:
        if line not in there:
            yield f"acknowledged and not there: {line[:60]!r}"


def _strange(read, sent):
    if sent is None:
        return
    known = set(sent)
    for partition, records in sorted(read.items()):
        for offset, line in records:
            if line not in known:
                yield f"at {partition}/{offset} is what nobody sent: {line[:60]!r}"


def _disordered(read):
    for partition, records in sorted(read.items()):
        last = {}
        for offset, line in records:
            try:
                producer, number = producer_and_number(line)
            except ValueError:
                continue  # Not of this form: reported as strange.
            if number < last.get(producer, 0):
                yield f"partition {partition}: {producer} {number} at offset {offset} comes after {last[producer]}"
            last[producer] = number
