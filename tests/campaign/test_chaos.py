"""Workers and the client are killed while a study runs; its records are those of a quiet run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import needs_loopback

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/cluster"))
from chaos import chaotic, command, measured  # noqa: E402
from hosts import across  # noqa: E402
from study import declare, records  # noqa: E402

from membench.record import Record, load  # noqa: E402

RUN_CASE = """
import sys
from pathlib import Path
from membench import run_case
from membench.declared import import_file
from membench.record import Record

import_file(Path(sys.argv[1]))
for line in sys.stdin:
    record = Record.from_json(line, "stdin")
    print("same" if run_case(record.case).measured == record.measured else f"differs:{record.case.name}")
"""


def same_as_run_case(file: Path, found: list[Record]) -> None:
    """In a process of its own: a file's network must not stay in this one, where another test's file declares it too."""
    records = [record.model_dump_json() for record in found]
    said = subprocess.run(
        [sys.executable, "-c", RUN_CASE, str(file)], input="\n".join(records), text=True, stdout=subprocess.PIPE, check=True
    )
    assert said.stdout.split() == ["same"] * len(records)


@needs_loopback
@pytest.mark.slow
def test_a_study_under_fire_gives_the_records_of_run_case(tmp_path: Path, own_cache: Path) -> None:
    """tools/cluster/chaos.py does the same with 500 points; docs/cluster.md has what came of it."""
    file = declare(tmp_path, bits=3, rows=4, seeds=5)
    wanted = command(file, tmp_path / "out", "--workers", "2")
    harm = chaotic(wanted, tmp_path / "out", 60, every=3.0, clients=2, log=tmp_path / "log.txt")
    assert harm.clients_killed == 2
    assert harm.workers_killed >= 1
    assert measured(tmp_path / "out") == 60
    assert not (tmp_path / "out/errors").exists()
    assert len(records(tmp_path / "out")) == 12
    same_as_run_case(file, [load(Record, found) for found in (tmp_path / "out/records").iterdir()])
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


@needs_loopback
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2")
def test_two_hosts_give_the_records_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each host has a cache of its own, so that weights must come by way of the scheduler."""
    file = declare(tmp_path, bits=2, rows=3, seeds=5)
    across(tmp_path, file)
    for cache in ("cache-a", "cache-b"):  # a worker opens what it was sent when it is given its first point
        assert len(list((tmp_path / cache / "fetched").glob("*/*.safetensors"))) == 1
    found = [load(Record, file) for file in (tmp_path / "across/records").iterdir()]
    assert len(found) == 6
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path / "cache-client"))  # the weights that were sent
    same_as_run_case(file, found)
