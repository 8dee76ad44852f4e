"""Damage that files suffer: cut off, bytes changed, lines swapped, words for numbers, huge counts, rubbish."""

import random

WORDS = [b"0e2820368933", b"1e-99999999999", b"nan", b"inf", b"-inf", b"1e400",
         b"-1e308", b"1000000000000", b"99999999999999999999999", b"abc", b"", b"''",
         b"\"", b"0", b"-1", b"1.5.2", b"0x10", b"[1,2", b"None", b"<NA>", b"1_000", "é".encode(), b"\xff\xfe",
         b"9" * 5000, b"_", b"#", b"loop_", b"data_", b"{", b"}", b"1+2i", b"__import__('os')"]  # fmt: skip


def damaged_text(raw: bytes, rng: random.Random) -> bytes:
    """Return a copy of a text file with one to three kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        raw = rng.choice(_TEXT)(raw, rng)
    return raw


def damaged_binary(raw: bytes, rng: random.Random) -> bytes:
    """Return a copy of a binary file with one to three kinds of damage."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        raw = rng.choice(_BINARY)(raw, rng)
    return raw


def _cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _flip(raw: bytes, rng: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _word(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.split(b"\n")
    k = rng.randrange(len(lines))
    words = lines[k].split(b" " if b" " in lines[k] else b"\t")
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    lines[k] = b" ".join(words)
    return b"\n".join(lines)


def _number(raw: bytes, rng: random.Random) -> bytes:
    """Replace one run of digits."""
    places = [k for k, c in enumerate(raw) if 48 <= c < 58]
    if not places:
        return raw
    start = rng.choice(places)
    stop = start
    while stop < len(raw) and raw[stop : stop + 1] in b"0123456789." and stop - start < 20:
        stop += 1
    return raw[:start] + rng.choice(WORDS) + raw[max(stop, start + 1) :]


def _lines(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        lines[a], lines[b] = lines[b], lines[a]
    elif what == 1:
        del lines[a]
    elif what == 2:
        lines.insert(b, lines[a])
    else:
        lines[a] = lines[a][: len(lines[a]) // 2]
    return b"\n".join(lines)


def _ending(raw: bytes, rng: random.Random) -> bytes:
    return raw.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\n\r", b" ")), rng.choice((-1, 3)))


def _mark(raw: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return raw.decode("utf8", "replace").encode(rng.choice(("utf-16", "utf-16-be", "utf-32", "latin1")), "replace")
    return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00")) + raw


def _rubbish(raw: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + rng.randbytes(rng.choice((1, 4, 64))) + raw[place:]


def _nested(raw: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + rng.choice((b"[" * 20_000, b'{"a":' * 5_000, b"<a>" * 3_000, b"(" * 5_000)) + raw[place:]


def _count(raw: bytes, rng: random.Random) -> bytes:
    """Write a huge or negative number over four or eight bytes."""
    if len(raw) < 9:
        return raw
    place = rng.randrange(min(len(raw), 1024) - 8) if len(raw) > 16 else 0
    value = rng.choice((2**31 - 1, -1, 10**9, 0, -(2**31), 7)).to_bytes(4, rng.choice(("big", "little")), signed=True)
    return raw[:place] + value + raw[place + 4 :]


_TEXT = (_cut, _flip, _word, _word, _number, _number, _lines, _ending, _mark, _rubbish, _nested)
_BINARY = (_cut, _flip, _count, _count, _rubbish)
