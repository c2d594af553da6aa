"""A study: a few cases, and what is varied about them. Declared like cases, in one file, and as plain data on disk."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from membench.case import DEFAULT_ENGINE, Case
from membench.declared import import_file
from membench.errors import InputError, SuiteError, UnknownNameError
from membench.plain import Count, Flag, Integer, Line, NonNegative, Plain, Sha256, Text, not_several
from membench.words import capped, quoted

STUDIES = Path("benchmarks/studies")

Value = int | float | str
Kind = Literal["table", "curve", "map"]
Cost = Literal["adc_energy", "max_input_voltage", "seconds_per_image"]


class Knob(Plain):
    """Something that a sweep turns.

    Attributes:
        name: a column of the table of results, and the keyword by which the sweep's function gets its value.
        label: for the axis of a figure, with the unit.
        values: in order; numbers, or words where one of them is no number ("none", "256x64").
        log: whether a figure's axis is logarithmic; for positive numbers alone.
    """

    name: Line
    label: Line
    values: Annotated[tuple[Value, ...], Field(min_length=1)]
    log: Flag = False

    @property
    def numeric(self) -> bool:
        return not any(isinstance(value, str) for value in self.values)


class Recommendation(Plain):
    """How a report picks a setting: the one of least cost among those that lose little enough.

    Attributes:
        what: what is recommended, in words.
        sweep: name of the sweep whose points are candidates.
        cost: what is to be small, among those: `adc_energy`, relative (conversions an image x 2^bits, after Walden, IEEE JSAC 17(4),
            1999); `max_input_voltage`, in volts; `seconds_per_image`, of the simulation.
        at_most: points that the upper bound of the loss's interval may reach. Where no candidate keeps to it, the one that
            loses least is named instead.
        where: values of knobs; only points that have them are candidates.
    """

    what: Line
    sweep: Line
    cost: Cost
    at_most: NonNegative = 1.0
    where: dict[Line, Value] = Field(default_factory=dict)


class Quick(Plain):
    """What becomes of a study with --quick.

    Attributes:
        images: at most so many an image set.
        seeds: at most so many.
        values: of each knob, at most so many, evenly spread, the first and the last among them.
    """

    images: Count = 100
    seeds: Count = 2
    values: Annotated[Integer, Field(ge=2)] = 3


@dataclass(frozen=True)
class Sweep:
    """One question: a function from knobs to a case, run over all their values.

    Attributes:
        name: lower-case, as in files.
        title: for people.
        knobs: one or two for a `curve` (the first along the axis, the second as lines of their own), two for a `map` (the first along
            the axis, the second upwards), any number for a `table`.
        turn: (case, **knobs) -> the case with these settings. Where it returns one that another sweep has too, it is measured
            once.
        kind: `curve`, `map` (a heat map) or `table`.
    """

    name: str
    title: str
    knobs: tuple[Knob, ...]
    turn: Callable[..., Case]
    kind: Kind = "curve"

    def __post_init__(self) -> None:
        if fault := not_several("knobs", self.knobs):
            raise InputError(f"Sweep {quoted(self.name)}: knobs {fault}.")
        _check_knobs(self)


def _check_knobs(sweep: Sweep | SweepInfo) -> None:
    least, most, said = {"map": (2, 2, "2"), "curve": (1, 2, "1 or 2"), "table": (1, 100, "1 or more")}[sweep.kind]
    if not least <= len(sweep.knobs) <= most:
        raise InputError(f"Sweep {quoted(sweep.name)}: a {sweep.kind} has {said} knobs; given: {len(sweep.knobs)}.")


def _check_parts(study: Study | StudyInfo) -> None:
    """There is something to measure, under names of its own, and every recommendation looks at what is there."""
    names = [sweep.name for sweep in study.sweeps]
    if not names or not study.bases:
        raise InputError(f"Study {quoted(study.name)} needs at least one base and one sweep.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Study {quoted(study.name)} has more than one sweep named {', '.join(twice)}. Rename one.")
    for advice in study.recommendations:
        if advice.sweep not in names:
            raise InputError(
                f"Study {quoted(study.name)}: a recommendation looks at sweep {quoted(advice.sweep)}. Sweeps: {', '.join(names)}."
            )
        knobs = {knob.name: knob for sweep in study.sweeps if sweep.name == advice.sweep for knob in sweep.knobs}
        for name, value in advice.where.items():
            if name not in knobs or value not in knobs[name].values:
                known = "; ".join(f"{knob.name}: {', '.join(map(str, knob.values))}" for knob in knobs.values())
                raise InputError(
                    f"Study {quoted(study.name)}: a recommendation looks at {name}={quoted(value)} in sweep {quoted(advice.sweep)}, "
                    f"which has {known}."
                )


@dataclass(frozen=True)
class Point:
    """A case of a study, and where it stands there."""

    sweep: str
    base: str
    settings: Mapping[str, Value]
    case: Case


@dataclass(frozen=True)
class Study:
    """What a file in benchmarks/studies declares as STUDY.

    Attributes:
        name: lower-case, as the command line knows it.
        title: for people.
        description: what it asks, in a few sentences of Markdown.
        bases: cases that every sweep starts from, each with the label of its line in figures.
        sweeps: what is varied.
        recommendations: which settings the report names.
        quick: what becomes of it with --quick.
    """

    name: str
    title: str
    description: str
    bases: Mapping[str, Case]
    sweeps: Sequence[Sweep]
    recommendations: Sequence[Recommendation] = ()
    quick: Quick = field(default_factory=Quick)

    def __post_init__(self) -> None:
        for name in ("sweeps", "recommendations"):
            if fault := not_several(name, getattr(self, name)):
                raise InputError(f"Study {quoted(self.name)}: {name} {fault}.")
        if not isinstance(self.bases, Mapping):
            raise InputError(f"Study {quoted(self.name)}: bases takes cases by their labels: write bases={{'label': case}}.")
        _check_parts(self)

    def points(self) -> tuple[Point, ...]:
        """Every point of every sweep, in order; several may have the same case.

        Raises:
            InputError: when a sweep gives a case that cannot be; names the sweep and its settings.
        """
        return self._all_points

    @functools.cached_property
    def _all_points(self) -> tuple[Point, ...]:
        return tuple(
            point for sweep in self.sweeps for base, case in self.bases.items() for point in self._points(sweep, base, case)
        )

    def _points(self, sweep: Sweep, base: str, case: Case) -> list[Point]:
        found = []
        for values in itertools.product(*(knob.values for knob in sweep.knobs)):
            settings = dict(zip((knob.name for knob in sweep.knobs), values, strict=True))
            said = ", ".join(f"{name}={value}" for name, value in settings.items())
            try:
                turned = sweep.turn(case, **settings)
            except InputError as error:
                raise InputError(f"Study {self.name!r}, sweep {sweep.name!r} at {said}: {error}") from error
            except Exception as error:  # of the user's function
                raise InputError(
                    f"Study {self.name!r}, sweep {sweep.name!r} at {said}: turn failed: {type(error).__name__}: {error}"
                ) from error
            if not isinstance(turned, Case):
                raise InputError(
                    f"Study {self.name!r}, sweep {sweep.name!r} at {said}: turn gave no Case but {quoted(turned)}."
                )
            found.append(Point(sweep.name, base, settings, turned.replace(name=case.name, description=f"{sweep.name}: {said}")))
        return found

    def coarse(self) -> Study:
        """The study with fewer images, seeds and values, as `quick` says."""
        return replace(self, sweeps=tuple(self._coarse(sweep) for sweep in self.sweeps))

    def _coarse(self, sweep: Sweep) -> Sweep:
        quick, turn = self.quick, sweep.turn

        def fewer(case: Case, **settings: Value) -> Case:
            turned = turn(case, **settings)
            return turned.replace(images=min(turned.images, quick.images), seeds=turned.seeds[: quick.seeds])

        knobs = tuple(knob.replace(values=_spread(knob.values, quick.values)) for knob in sweep.knobs)
        return replace(sweep, knobs=knobs, turn=fewer)

    def described(self, engine: str, quick: bool) -> StudyInfo:
        """As plain data, to lie beside the records."""
        points = self.points()
        return StudyInfo(
            name=self.name,
            title=self.title,
            description=self.description,
            engine=engine,
            quick=quick,
            bases=tuple(self.bases),
            recommendations=tuple(self.recommendations),
            sweeps=tuple(
                SweepInfo(
                    name=sweep.name,
                    title=sweep.title,
                    kind=sweep.kind,
                    knobs=sweep.knobs,
                    points=tuple(
                        PointInfo(base=point.base, settings=dict(point.settings), fingerprint=point.case.fingerprint)
                        for point in points
                        if point.sweep == sweep.name
                    ),
                )
                for sweep in self.sweeps
            ),
        )


class PointInfo(Plain):
    """Where a record stands in a sweep: its base's label, the knobs' values, and the fingerprint of its case."""

    base: Line
    settings: dict[Line, Value]
    fingerprint: Sha256


class SweepInfo(Plain):
    """A sweep as plain data."""

    name: Line
    title: Line
    kind: Kind
    knobs: tuple[Knob, ...]
    points: tuple[PointInfo, ...]

    @model_validator(mode="after")
    def _points_are_its_own(self) -> Self:
        """A point without one of the knobs would be left out of every figure without a word."""
        _check_knobs(self)
        values = {knob.name: knob.values for knob in self.knobs}
        for point in self.points:
            if set(point.settings) != set(values) or any(value not in values[name] for name, value in point.settings.items()):
                raise InputError(
                    f"sweep {quoted(self.name)}: points: settings {quoted(point.settings)} are no values of the knobs {', '.join(values)}"
                )
        return self


class StudyInfo(Plain):
    """A study as plain data: the file study.json beside `records/`."""

    FILE: ClassVar[str] = "study.json"
    schema_version: Literal[1] = 1
    name: Line
    title: Line
    description: Text
    engine: Line
    quick: bool
    bases: Annotated[tuple[Line, ...], Field(min_length=1)]
    recommendations: tuple[Recommendation, ...]
    sweeps: tuple[SweepInfo, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Each sweep has a point for every base and every setting, as a study declares them."""
        _check_parts(self)
        if len(set(self.bases)) != len(self.bases):
            raise InputError(f"bases: one stands there twice: {', '.join(self.bases)}")
        for sweep in self.sweeps:
            settings = list(itertools.product(*(knob.values for knob in sweep.knobs)))
            found = [(point.base, tuple(point.settings[knob.name] for knob in sweep.knobs)) for point in sweep.points]
            if found != [(base, setting) for base in self.bases for setting in settings]:
                raise InputError(
                    f"sweep {quoted(sweep.name)}: points: they are not one of each base "
                    f"({', '.join(self.bases)}) at each setting of the knobs"
                )
        return self


def _spread(values: Sequence[Value], most: int) -> tuple[Value, ...]:
    """At most `most` of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return tuple(values)
    return tuple(values[round(k * (len(values) - 1) / (most - 1))] for k in range(most))


def find_study(name: str, folder: Path = STUDIES) -> Path:
    """The file that declares a study.

    Args:
        name: of a file in `folder` without its ending, or the path of a file that ends in .py.

    Raises:
        UnknownNameError: when there is no such file.
    """
    file = Path(name) if name.endswith(".py") else folder / f"{name}.py"
    if not file.is_file():
        known = sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_"))
        raise UnknownNameError(
            f"There is no study {name!r}: no file {file}. In {folder}: {', '.join(known) or 'none'}. Or give the path of a file."
        )
    return file.resolve()


def load_study(name: str, folder: Path = STUDIES) -> Study:
    """The study that a file declares; `name` as for `find_study`.

    Raises:
        UnknownNameError: when there is no such file.
        SuiteError: when it cannot be imported, declares no STUDY, or one with a point that cannot be; names the file.
    """
    file = find_study(name, folder)
    study = getattr(import_file(file), "STUDY", None)
    if not isinstance(study, Study):
        raise SuiteError(f"{file} must declare STUDY, a membench.Study.")
    try:
        study.described(DEFAULT_ENGINE, quick=False)  # all its parts, and all its points
    except InputError as error:
        raise SuiteError(capped(f"{file}: {error}", str(file))) from error
    return study
