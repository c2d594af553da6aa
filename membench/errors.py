"""Every error that membench raises on purpose.

One root, so that a caller can catch them all. Each message says what is wrong, where, what is allowed and what to do. Each
class carries the exit code that the command line ends with.
"""

from __future__ import annotations

from typing import ClassVar


class MembenchError(Exception):
    """Root of all membench errors."""

    exit_code: ClassVar[int] = 2


class InputError(MembenchError):
    """A case, option, file or name that membench was given is not valid."""


class UnknownNameError(InputError):
    """A data set, network, engine, effect or case of that name is not registered."""


class SuiteError(InputError):
    """A file of declared cases cannot be used."""


class UnsupportedError(InputError):
    """The engine or simulator cannot represent what was asked for."""


class FileFormatError(InputError):
    """A file is truncated, corrupt, of another schema version, or was edited by hand."""


class EnvironmentProblemError(MembenchError):
    """This machine lacks something: a package, a compiler, a folder that can be written."""

    exit_code = 3


class DataMissingError(EnvironmentProblemError):
    """The data set was not found; the message names where it was looked for and the command that gets it."""


class MeasurementError(MembenchError):
    """The measurement ran, and its result cannot be trusted."""

    exit_code = 1


class EffectDidNothingError(MeasurementError):
    """A non-ideality was asked for and did not change the conductances as it should have."""


class NotConvertedError(MeasurementError):
    """A layer that should be memristive is still digital after the conversion."""


class GateError(MembenchError):
    """The gate is not green."""

    exit_code = 1
