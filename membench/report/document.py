"""A report as a document: sections of sentences, figures and tables, as HTML in one file and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

_XML_HEAD = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_IDENTITY = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True)
class Grid:
    """A table; the first `heads` columns name the row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    heads: int = 1
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure: its file's name in figures/, what it shows, and the SVG."""

    name: str
    about: str
    svg: bytes


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: heading.
        name: for links to it.
        sentences: paragraphs.
        points: a list of sentences, below the paragraphs.
        pictures: figures.
        grids: tables.
        after: paragraphs below the tables.
    """

    title: str
    name: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    grids: tuple[Grid, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole; the first section is the answer."""

    title: str
    sections: tuple[Section, ...]
    about: str = ""

    @property
    def answer(self) -> Section:
        return self.sections[0]


def html(document: Document) -> str:
    """One file that needs nothing else: styles and figures are in it, and no script. All text is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("membench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = lambda picture: Markup(inline(picture))  # drawn here, not given
    return environment.get_template("report.html.j2").render(document=document)


def inline(picture: Picture) -> str:
    """The SVG as a part of a page: without the head of a file, with ids that no other figure of the page has."""
    text = _METADATA.sub("", _XML_HEAD.sub("", picture.svg.decode("utf-8")))
    return _IDENTITY.sub(rf"\g<1>{picture.name}-", text).strip()


def markdown(document: Document) -> str:
    """The same with the figures as links to figures/."""
    lines = [f"# {escaped(document.title)}", ""]
    for section in document.sections:
        lines += [f"## {escaped(section.title)}", ""]
        for sentence in section.sentences:
            lines += [escaped(sentence), ""]
        if section.points:
            lines += [*(f"- {escaped(point)}" for point in section.points), ""]
        for picture in section.pictures:
            lines += [f"![{escaped(picture.about)}](figures/{picture.name}.svg)", ""]
        for grid in section.grids:
            lines += [*([escaped(grid.caption), ""] if grid.caption else []), pipes(grid), ""]
        for sentence in section.after:
            lines += [escaped(sentence), ""]
        if section is document.answer:
            lines += [escaped(document.about), ""] if document.about else []
    return "\n".join(lines)


def pipes(grid: Grid) -> str:
    """A table with pipes."""
    return tabulate(
        [[escaped(cell) for cell in row] for row in grid.rows],
        headers=[escaped(cell) for cell in grid.head],
        tablefmt="pipe",
        colalign=["left"] * grid.heads + ["right"] * (len(grid.head) - grid.heads),
        disable_numparse=True,
    )


def escaped(text: str) -> str:
    """Text that Markdown is to show as it stands; no raw HTML, no table column, no emphasis in it."""
    flat = " ".join(text.split())
    for sign, instead in (
        ("\\", "\\\\"),
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("*", "\\*"),
        ("`", "\\`"),
    ):
        flat = flat.replace(sign, instead)
    return re.sub(r"\b_|_\b", r"\\_", flat).replace("[", "\\[").replace("]", "\\]")


def plain(section: Section) -> str:
    """A section for a terminal: its sentences and tables."""
    parts: Sequence[str] = (
        *section.sentences,
        "\n".join(f"- {point}" for point in section.points),
        *(
            (f"{grid.caption}\n" if grid.caption else "")
            + tabulate(
                grid.rows,
                headers=grid.head,
                colalign=["left"] * grid.heads + ["right"] * (len(grid.head) - grid.heads),
                disable_numparse=True,
            )
            for grid in section.grids
        ),
    )
    return "\n\n".join(part for part in parts if part)
