"""Which client measures which point, where several share one store: claims that lapse when their client is gone.

A client has one file, its lease, and each of its claims is a hard link to it: made or refused in one step, complete from the
first moment, and renewed all together by touching the one file. Age is told by the clock of the file system that holds them,
so that clocks of clients need not agree. A claim that lapses too early costs a point measured twice with the same result.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from membench.errors import EnvironmentProblemError, FileFormatError
from membench.storage import locked, write_atomically
from membench.strict_json import parse

LEASE_S = 60.0  # a client that has not touched its lease for so long is taken for dead
RENEW_S = 5.0


class Claims:
    """This client's claims in a store. A context manager: on leaving, all are given up.

    Args:
        folder: of the store.
        lease: seconds after which the claims of a silent client lapse.

    Attributes:
        name: of this client.
        began: when it did, by the clock of the store's file system, in seconds since 1970.
    """

    def __init__(self, folder: Path, lease: float = LEASE_S) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._claims, self._clients = folder / "claims", folder / "clients"
        self._lease_s = lease
        self._mine: set[str] = set()
        self._renewed = 0.0
        self.began = 0.0

    @property
    def lease_file(self) -> Path:
        return self._clients / f"{self.name}.lease"

    @property
    def status_file(self) -> Path:
        """Where this client may say how it is getting on; removed with its lease."""
        return self._clients / f"{self.name}.json"

    def __enter__(self) -> Self:
        write_atomically(self.lease_file, json.dumps({"client": self.name, "host": _host(), "process": _process(os.getpid())}))
        try:
            self._claims.mkdir(parents=True, exist_ok=True)
            probe = self._claims / f".{self.name}"
            os.link(self.lease_file, probe)
            probe.unlink()
        except OSError as error:
            raise EnvironmentProblemError(
                f"Cannot claim points in {self._claims}: {error.strerror or error}. The store must lie on a file system with hard "
                "links that can be written. Name another folder with --out."
            ) from error
        self._bury()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for fingerprint in tuple(self._mine):
            self.release(fingerprint)
        for file in (self.status_file, self.lease_file):
            file.unlink(missing_ok=True)

    def renew(self) -> bool:
        """Say that this client is alive, if the last time was a while ago; True when it did."""
        if time.monotonic() - self._renewed < RENEW_S:
            return False
        with suppress(
            FileNotFoundError
        ):  # another client took this one for dead while it was suspended: its claims have lapsed
            os.utime(self.lease_file)
        self._renewed = time.monotonic()
        return True

    def take(self, fingerprint: str) -> bool:
        """Claim a point, unless another client that is alive holds it."""
        file = self._claims / fingerprint
        if not self._link(file):
            if not self._lapsed(file):
                return False
            with locked(self._claims / ".lock"):  # of those that see it lapsed, one removes it
                if self._lapsed(file):
                    file.unlink(missing_ok=True)
            if not self._link(file):
                return False
        self._mine.add(fingerprint)
        return True

    def release(self, fingerprint: str) -> None:
        """Give a claim up, unless it lapsed and is another client's by now."""
        self._mine.discard(fingerprint)
        file = self._claims / fingerprint
        with suppress(FileNotFoundError):
            if file.samefile(self.lease_file):
                file.unlink()

    def _link(self, file: Path) -> bool:
        try:
            os.link(self.lease_file, file)
        except FileExistsError:
            return False
        except FileNotFoundError:  # the lease was buried: this client was silent for too long
            self.__enter__()
            return self._link(file)
        return True

    def _lapsed(self, file: Path) -> bool:
        try:
            return self._now() - file.stat().st_mtime > self._lease_s or died_here(file)
        except FileNotFoundError:  # released just now
            return True

    def _now(self) -> float:
        """By the clock of the file system; up to RENEW_S late, which keeps a lease longer and never shorter."""
        return self.lease_file.stat().st_mtime

    def _bury(self) -> None:
        """Remove what dead clients left of themselves; their claims are taken over one by one."""
        self.began = self._now()
        for lease in self._clients.glob("*.lease"):
            if lease != self.lease_file and self._lapsed(lease):
                lease.unlink(missing_ok=True)
                lease.with_suffix(".json").unlink(missing_ok=True)


def died_here(lease: Path) -> bool:
    """Whether a lease, or a claim that is a link to it, is of a process of this machine that is no more; also where it is damaged.

    Raises:
        FileNotFoundError: when there is no such file.
    """
    try:
        holder = parse(lease.read_bytes(), str(lease))
        host, process = holder["host"], holder["process"]
        return bool(host == _host()) and not _alive(process)
    except (FileFormatError, LookupError, TypeError, ValueError):
        return True


def _host() -> str:
    """Machine, boot and process namespace: where two processes have the same, one can see whether the other is alive."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process(pid: int) -> list[float]:
    """A number is given to another process in time; its start tells them apart."""
    return [pid, psutil.Process(pid).create_time()]


def _alive(process: list[float]) -> bool:
    """Starts are told by the machine's clock, which is set now and then: a second more or less is the same process. A number that was given
    away anew so soon only keeps a claim until its lease is over.
    """
    try:
        return abs(psutil.Process(int(process[0])).create_time() - process[1]) < LEASE_S
    except psutil.NoSuchProcess:
        return False
