"""What can become of a file: strategies of hypothesis that turn the bytes of a valid one into others.

They know nothing of membench. Some of what they make is another valid file: formats.py tells which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]
Mutants = st.SearchStrategy[bytes]


@dataclass(frozen=True)
class Raw:
    """Text that stands in a JSON file for a value, whether it is JSON or not."""

    text: str


# In place of a value: of another type, empty, beyond a range, no JSON, longer or deeper than any program expects.
ODD = [
    *map(
        Raw, ("null", "true", "false", '""', '" "', '"x"', '"1"', "0", "1", "-1", "-2", "0.5", "1.5", "-0.5", "101", "1e-320")
    ),
    *map(
        Raw, ("[]", "{}", "[[]]", '{"a": 1}', "[1, 2]", '["x"]', "NaN", "Infinity", "-Infinity", '"NaN"', '"Infinity"', '"nan"')
    ),
    *map(Raw, ("1e999", "-1e999", "1e308", "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "-" + "7" * 5000)),
    *map(
        Raw, ('"\\ud800"', '"\\u0000"', '"\\u001b[2J"', '"a\\nb"', '"é"', "'x'", "undefined", "None", "0x10", "01", "+1", ".5")
    ),
    *map(
        Raw, ('"' + "long " * 4000 + '"', "[" * 3000 + "]" * 3000, '{"a":' * 200 + "1" + "}" * 200, "[" * 100_000, '"../../x"')
    ),
]


def dump(value: Any) -> str:
    """JSON of plain data, with `Raw` parts as they are and objects also as lists of pairs, in which a name may stand twice."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {dump(part)}" for name, part in value.items) + "}"
    if isinstance(value, dict):
        return dump(Pairs(list(value.items())))
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value)


@dataclass(frozen=True)
class Pairs:
    """An object as its pairs."""

    items: list[tuple[str, Any]]


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """Where there is something, the whole among it; of a long list the first, second and last parts alone."""
    yield here
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = [(i, value[i]) for i in dict.fromkeys((0, 1, len(value) - 1)) if 0 <= i < len(value)]
    for name, part in inner:
        yield from paths(part, (*here, name))


def at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy of `value` with `change` applied at `path`."""
    if not path:
        return change(value)
    name, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[name] = changed(copy[name], tuple(rest), change)
    return copy


def json_trees(valid: Any) -> st.SearchStrategy[str]:
    """One change to the tree of a JSON file."""
    every = list(paths(valid))
    inside = [path for path in every if path]
    objects = [path for path in every if isinstance(at(valid, path), dict)]
    fields = [path for path in inside if isinstance(path[-1], str)]
    lists = [path for path in every if isinstance(at(valid, path), list)]
    names = sorted({str(path[-1]) for path in fields})
    odd = st.sampled_from(ODD) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)

    def put(path: Path, new: Any) -> str:
        return dump(changed(valid, path, lambda _: new))

    def drop(path: Path) -> str:
        def without(parent: Any) -> Any:
            copy = dict(parent) if isinstance(parent, dict) else list(parent)
            del copy[path[-1]]
            return copy

        return dump(changed(valid, path[:-1], without))

    def add(path: Path, name: str, new: Any) -> str:
        return dump(changed(valid, path, lambda parent: Pairs([*parent.items(), (name, new)])))

    def rename(path: Path, name: str) -> str:
        def renamed(parent: dict[str, Any]) -> Pairs:
            return Pairs([(name if key == path[-1] else key, part) for key, part in parent.items()])

        return dump(changed(valid, path[:-1], renamed))

    def twice(path: Path, new: Any) -> str:
        def doubled(parent: dict[str, Any]) -> Pairs:
            return Pairs([*parent.items(), (str(path[-1]), parent[path[-1]] if new is None else new)])

        return dump(changed(valid, path[:-1], doubled))

    def relisted(path: Path, how: int) -> str:
        ways = (
            lambda parts: [*parts, *parts[-1:]],
            lambda parts: parts[:-1],
            lambda parts: parts[1:],
            lambda parts: parts[::-1],
            lambda parts: [parts],
            lambda parts: [*parts, None],
            lambda parts: dict(enumerate(map(str, parts))) if not parts else {str(i): part for i, part in enumerate(parts)},
        )
        return dump(changed(valid, path, ways[how % len(ways)]))

    def moved(one: Path, other: Path) -> str:
        return put(one, at(valid, other))

    ways: list[st.SearchStrategy[str]] = [
        st.builds(put, st.sampled_from(inside), odd),
        st.builds(put, st.sampled_from(inside), odd),
        st.builds(drop, st.sampled_from(inside)),
        st.builds(moved, st.sampled_from(inside), st.sampled_from(inside)),
        st.builds(add, st.sampled_from(objects), st.sampled_from(names) | st.text(max_size=30), odd),
        st.builds(rename, st.sampled_from(fields), st.sampled_from(names) | st.text(max_size=30)),
        st.builds(twice, st.sampled_from(fields), st.none() | odd),
    ]
    if lists:
        ways.append(st.builds(relisted, st.sampled_from(lists), st.integers(0, 6)))
    return st.one_of(ways)


def mutants_of_json(valid: bytes) -> Mutants:
    trees = json_trees(json.loads(valid)).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return trees | trees | trees | mutants_of_bytes(valid)


def mutants_of_bytes(valid: bytes, first: int | None = None) -> Mutants:
    """Damage of a disk, an editor or a transfer.

    Args:
        first: change these first bytes alone, where the others may be anything.
    """
    end = min(first or len(valid), len(valid))
    position, byte = st.integers(0, end - 1), st.integers(0, 255)
    few = st.binary(min_size=1, max_size=8)

    def flip(where: int, bit: int) -> bytes:
        return valid[:where] + bytes([valid[where] ^ (1 << bit)]) + valid[where + 1 :]

    def put(where: int, new: bytes) -> bytes:
        return valid[:where] + new + valid[where + len(new) :]

    def insert(where: int, new: bytes) -> bytes:
        return valid[:where] + new + valid[where:]

    def cut(where: int, length: int) -> bytes:
        return valid[:where] + valid[where + length :]

    def zeroed(where: int, length: int) -> bytes:
        return (valid[:where] + bytes(length) + valid[where + length :])[: len(valid)]

    return st.one_of(
        st.builds(flip, position, st.integers(0, 7)),
        st.builds(put, position, few),
        st.builds(insert, position, few),
        st.builds(cut, position, st.integers(1, 40)),
        st.builds(zeroed, position, st.integers(1, 4096)),
        st.builds(lambda where: valid[:where], st.integers(0, len(valid) - 1)),
        st.builds(lambda new: valid + new, few),
        st.sampled_from(
            [
                b"",
                b"\0" * len(valid),
                b"\xef\xbb\xbf" + valid,
                b"\xff\xfe" + valid,
                valid + valid,
                valid[1:],
                valid[::-1],
                valid.replace(b"\n", b"\r"),
                b"<<<<<<< HEAD\n" + valid + b"=======\n" + valid + b">>>>>>> other\n",
                *_encoded(valid),
            ]
        ),
        st.binary(max_size=200),
        byte.map(lambda value: bytes([value]) * 64),
    )


def _encoded(valid: bytes) -> list[bytes]:
    try:
        text = valid.decode("utf-8")
    except UnicodeDecodeError:
        return []
    return [text.encode(name) for name in ("utf-16", "utf-16-le", "utf-32", "utf-7")] + [text.encode("utf-8") + b"\xe9"]


WORDS = re.compile(rb'"[^"\n]*"|[A-Za-z_]\w*|-?\d[\d.e+-]*|\S')
# In place of a word of a text: names, numbers and signs that its language knows or does not. None of them does anything.
TEXTS = [
    b"", b"0", b"-1", b"1.5", b"nan", b"inf", b"1e999", b"9" * 400, b"9" * 5000, b"true", b"True", b"None", b'""', b'"x"', b"''",
    b"x", b"=", b"[", b"]", b"(", b")", b"{", b"}", b",", b"[[", b"#", b"\\", b"'", b'"', b'"""', b"\x00", b"\xff", b"\n", b";",
    b"[" * 3000, b"(" * 300, b"case", b"known", b"reason", b"'" + b"long " * 4000 + b"'", b"2027-13-45", b"2027-01-31T25:00:00",
    b"0x" + b"f" * 3000, b'"\\ud800"', b'"\\u0000"', b"-0.0", b"[]", b"{}", b"()", b"lambda: 0", b"...", b"1j", b"b''",
]  # fmt: skip


def mutants_of_text(valid: bytes) -> Mutants:
    """Of a text in a language with words: a word is another one, is gone, or stands twice; a line is gone, or stands elsewhere."""
    words = list(WORDS.finditer(valid))
    lines = valid.splitlines(keepends=True)

    def put(number: int, new: bytes) -> bytes:
        start, end = words[number].span()
        return valid[:start] + new + valid[end:]

    def moved(one: int, other: int) -> bytes:
        return put(one, words[other].group())

    def without_line(number: int) -> bytes:
        return b"".join(lines[:number] + lines[number + 1 :])

    def line_twice(number: int, where: int) -> bytes:
        return b"".join([*lines[:where], lines[number], *lines[where:]])

    index, line = st.integers(0, len(words) - 1), st.integers(0, len(lines) - 1)
    return st.one_of(
        st.builds(put, index, st.sampled_from(TEXTS)),
        st.builds(put, index, st.sampled_from(TEXTS)),
        st.builds(put, index, st.integers().map(lambda value: str(value).encode())),
        st.builds(moved, index, index),
        st.builds(without_line, line),
        st.builds(line_twice, line, line),
        mutants_of_bytes(valid),
    )
