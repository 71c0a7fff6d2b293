"""Ways in which the bytes of a file are damaged, and what is told of it."""

from __future__ import annotations


def flipped(data, rng):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def overwritten(data, rng):
    place, extreme = rng.randrange(len(data)), rng.choice([b"\xff", b"\x00", b"\x7f", b"\x80"])
    return data[:place] + extreme * rng.choice([1, 2, 4, 8]) + data[place + 8 :]


def doubled_part(data, rng):
    start, stop = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:stop] + data[start:]


def swapped(data, rng):
    first, second = rng.randrange(len(data)), rng.randrange(len(data))
    changed = bytearray(data)
    changed[first : first + 4], changed[second : second + 4] = data[second : second + 4], data[first : first + 4]
    return bytes(changed)


DAMAGES = [flipped, cut, overwritten, doubled_part, swapped]


def assert_one_line(error, limit=800):
    message = str(error)
    assert message.isprintable()
    assert len(message) < limit
