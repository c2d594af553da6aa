"""What every field of a profile becomes on every engine, as a Markdown table: made from what the engines declare."""

from __future__ import annotations

from membench.engines import ENGINES, Engine
from membench.engines._ways import By, profile_fields, way_of

ORDER = ("vectorized", "memtorch", "aihwkit", "crosssim", "badcrossbar")
BEGIN, END = "<!-- made by tools/engines_table.py -->", "<!-- end -->"


def translation() -> str:
    """A row for each field, or group of fields that every engine declares as one; engines in columns."""
    engines = [ENGINES.get(name) for name in ORDER]
    groups: dict[str, list[str]] = {}
    for path in profile_fields():
        whole = ".".join(path.split(".")[:2])
        if path.startswith("nonidealities.") and any(whole in engine.ways for engine in engines):
            groups.setdefault(whole, [])
        groups.setdefault(_key(path, engines), []).append(path)
    lines = [f"| field | {' | '.join(engine.name for engine in engines)} |", "|---" * (len(engines) + 1) + "|"]
    lines += [
        f"| {_label(key, fields)} | {' | '.join(_cell(engine, key).replace('|', chr(92) + '|') for engine in engines)} |"
        for key, fields in groups.items()
    ]
    return "\n".join(lines)


def _key(path: str, engines: list[Engine]) -> str:
    """The longest path under which any engine declares this field; an effect has a row of its own at least."""
    found = [declared[0] for engine in engines if (declared := way_of(engine.ways, path)) is not None]
    least = ".".join(path.split(".")[:2])
    return max([*found, least], key=len)


def _label(key: str, fields: list[str]) -> str:
    short = key.removeprefix("conversion.").removeprefix("nonidealities.")
    parts = [field.removeprefix(f"{key}.") for field in fields if field != key]
    return f"`{short}`" + (f": {', '.join(f'`{part}`' for part in parts)}" if parts else "")


def _cell(engine: Engine, key: str) -> str:
    declared = way_of(engine.ways, key)
    if declared is None:
        return "-"
    path, way = declared
    if engine.name == "vectorized":
        return way.how if path == key or path.startswith("conversion") else "likewise"
    if path == "nonidealities":
        return "by membench, on the conductances"
    said = {By.SIMULATOR: way.how, By.MEMBENCH: f"by membench: {way.how}", By.NOBODY: f"**refused**: {way.how}"}[way.by]
    return said if path == key or path.startswith("conversion") else "likewise"


def inserted(page: str) -> str:
    """A page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{translation()}\n\n{END}{rest.split(END)[1]}"
