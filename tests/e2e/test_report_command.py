"""`membench report`: from records that a run left, and of a study."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from repository import declare
from studies import write_study

from membench import ADC, Case, Conversion, cli


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call `membench` in tmp_path: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["membench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_what_a_run_left_is_reported(call: Any, tmp_path: Path, case: Case) -> None:
    declare(tmp_path, case.replace(conversion=Conversion(adc=ADC(bits=2), tile_shape=(8, 8))), case.replace(name="other"))
    call("run", "small", "other", "--report", "out", "--no-explain")
    code, out, _ = call("report", "out")
    assert code == 0
    assert "2 cases, 2 records." in out
    assert "out/report.html" in out
    assert (tmp_path / "out" / "summary.md").exists()
    frame = pd.read_parquet(tmp_path / "out" / "results.parquet").set_index("case")
    # 28 x 28 pixels in strides of 4 are 49 vectors of 25 rows; then 196 rows and 10 columns; all twice, for both signs
    assert frame.loc["small", "adc_conversions"] == 49 * 4 * 2 * 4 + 10 * 2 * 25
    assert pd.isna(frame.loc["other", "adc_conversions"])


def test_a_study_is_reported_as_json(call: Any, tmp_path: Path) -> None:
    write_study(tmp_path / "out")
    code, out, _ = call("report", "out", "--json")
    said = json.loads(out)
    assert code == 0
    assert set(said) == {"html", "markdown", "csv", "parquet", "figures", "words"}
    assert said["html"] == "out/report.html"
    assert all((tmp_path / said[name]).is_file() for name in ("html", "markdown", "csv", "parquet"))
    assert len(said["figures"]) == 4
    assert all((tmp_path / figure).is_file() for figure in said["figures"])
    assert "of the study are measured" in said["words"]


def test_a_folder_without_records_is_refused(call: Any, tmp_path: Path) -> None:
    code, out, err = call("report", "nowhere")
    assert (code, out) == (2, "")
    assert "There is no record below nowhere/records" in err
    assert "Traceback" not in err
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_record_is_refused(call: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / "records").mkdir(parents=True)
    (tmp_path / "out" / "records" / "one.json").write_text("{")
    code, _, err = call("report", "out")
    assert code == 2
    assert "out/records/one.json is not a JSON object" in err
