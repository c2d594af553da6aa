"""membench report: tables, figures and two documents from a folder of records, with the answer first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from membench.report import origin, record_sections, study_sections
from membench.report.collected import Collected, collect
from membench.report.document import Document, html, markdown, plain
from membench.report.tidy import table, write_tables
from membench.storage import write_atomically
from membench.words import counted

FIGURES = "figures"


@dataclass(frozen=True)
class Written:
    """Where the parts of a report lie, and its opening words.

    Attributes:
        html: one file with all in it.
        markdown: the same with links to the figures.
        csv: the table of results.
        parquet: the same with types.
        figures: SVG files.
        words: the answer, as text.
    """

    html: Path
    markdown: Path
    csv: Path
    parquet: Path
    figures: tuple[Path, ...]
    words: str

    @property
    def parts(self) -> list[tuple[str, str]]:
        """What lies where, for people."""
        figures = str(self.html.parent / FIGURES)
        return [
            ("report", str(self.html)),
            ("Markdown", str(self.markdown)),
            ("table", f"{self.csv}, {self.parquet.name}"),
            *([(counted(len(self.figures), "figure"), figures)] if self.figures else []),
        ]

    @property
    def listed(self) -> dict[str, str | list[str]]:
        """The same for programs."""
        return {
            "html": str(self.html),
            "markdown": str(self.markdown),
            "csv": str(self.csv),
            "parquet": str(self.parquet),
            "figures": [str(figure) for figure in self.figures],
            "words": self.words,
        }


def write(folder: Path) -> Written:
    """Report the records of a folder, into that folder; the same records give the same bytes.

    Args:
        folder: holds records/**/*.json and, where they belong to a study, study.json.

    Raises:
        InputError: when there is no record.
        FileFormatError: when a record or study.json is damaged.
        EnvironmentProblemError: when the folder cannot be written.
    """
    collected = collect(folder)
    frame = table(collected)
    document = _document(collected, frame)
    pictures = [picture for section in document.sections for picture in section.pictures]
    csv, parquet = write_tables(frame, folder)
    figures = tuple(write_atomically(folder / FIGURES / f"{picture.name}.svg", picture.svg) for picture in pictures)
    return Written(
        html=write_atomically(folder / "report.html", html(document)),
        markdown=write_atomically(folder / "report.md", markdown(document)),
        csv=csv,
        parquet=parquet,
        figures=figures,
        words=plain(document.answer),
    )


def _document(collected: Collected, frame: pd.DataFrame) -> Document:
    """The answer, what it rests on, and where that comes from."""
    study = collected.study
    if study is None:
        parts = (record_sections.answer(collected), *record_sections.sections(collected), origin.section(collected))
        return Document("Losses of the records in this folder", parts)
    first = (study_sections.answer(collected, frame), study_sections.limits(collected))
    parts = (*first, *study_sections.sweeps(collected), origin.section(collected))
    return Document(study.title, parts, about=study.description)
