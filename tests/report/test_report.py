"""Reports show every case, its verdict and its interval, and say why where it is not green."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import make_baseline, make_record

from membench.errors import EnvironmentProblemError
from membench.outcome import Outcome
from membench.record import Record, load
from membench.report import markdown, table, write_report
from membench.report.table import reasons
from membench.verdict import Status, Verdict, decide


def outcome(name: str, *, before: dict[str, Any] | None = None, **now: Any) -> Outcome:
    """A measured and judged case; `before` is its baseline's measurement, {} the same."""
    record = make_record(name=name, **now)
    baseline = None if before is None else make_baseline(make_record(name=name, **{**now, **before}))
    return Outcome(name, record.engine, decide(record, baseline), record, baseline)


PASSED = outcome("case-that-passed", images=100, seeds=(0, 1), wrong=range(3), before={"wrong": range(2)})
IMPROVED = outcome("case-that-improved", images=100, before={"wrong": range(30)})
REGRESSED = outcome("case-that-regressed", images=100, wrong=range(30), before={"wrong": ()})
NEW = outcome("case-without-baseline", images=40, batch_size=20)
BROKEN = Outcome("case-in-error", "memtorch", Verdict(Status.ERROR, "ValueError: odd\nsecond line"))
SKIPPED = Outcome("case-skipped", "memtorch", Verdict(Status.SKIPPED, "no cifar10"))
EVERY = [PASSED, IMPROVED, REGRESSED, NEW, BROKEN, SKIPPED]
FORMS = pytest.mark.parametrize("form", [table, lambda outcomes: markdown(outcomes, "memtorch")], ids=["table", "markdown"])


def cells(text: str, name: str) -> list[str]:
    """The cells of the row of a case in a Markdown table."""
    (line,) = [line for line in text.splitlines() if line.startswith("|") and f" {name} " in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


@FORMS
def test_each_case_is_there_with_its_verdict_and_interval(form: Any) -> None:
    lines = form(EVERY).splitlines()
    for item in EVERY:
        (row,) = [line for line in lines if item.name in line and item.verdict.reason.splitlines()[0] not in line]
        assert str(item.verdict.status) in row
        if item.record:
            loss = item.record.measured.loss
            assert f"{loss.estimate:.2f} [{loss.low:.2f}, {loss.high:.2f}]" in row


def test_the_cells_of_a_row() -> None:
    text = markdown(EVERY, "memtorch")
    interval = PASSED.record.measured.loss
    loss = f"3.00 [{interval.low:.2f}, {interval.high:.2f}]"
    assert cells(text, "case-that-passed") == [
        "case-that-passed", "100 x 2", "100.0", loss, "2.00", "0.1", "0.02", "20", "PASS",
    ]  # fmt: skip
    assert cells(text, "case-that-regressed")[3].startswith("30.00 [")
    assert cells(text, "case-that-regressed")[4] == "0.00"
    assert cells(text, "case-without-baseline")[1] == "40 x 1"
    assert cells(text, "case-without-baseline")[4] == "-"
    assert cells(text, "case-in-error") == ["case-in-error", *["-"] * 7, "ERROR"]


def test_the_baseline_is_shown_on_the_images_and_seeds_of_the_run() -> None:
    """Its loss on all images stood beside the loss on a few, and a verdict on these."""
    before = make_record(images=100, batch_size=20, seeds=(0, 1), wrong={0: range(10), 1: range(60, 80)})
    for now, shown in (
        ({"images": 20, "seeds": (0,)}, "50.00"),
        ({"images": 20, "seeds": (0, 1)}, "25.00"),
        ({"images": 40, "seeds": (1,)}, "0.00"),
        ({"images": 100, "seeds": (1, 0)}, "15.00"),
        ({"images": 20, "seeds": (2,)}, "15.00"),
        ({"images": 20, "seeds": (0,), "image_prefix": "other"}, "15.00"),
    ):
        record = make_record(**{"batch_size": 20, **now})
        baseline = make_baseline(before)
        item = Outcome("small", "memtorch", decide(record, baseline), record, baseline)
        assert cells(markdown([item], "memtorch"), "small")[4] == shown


@FORMS
def test_weights_that_membench_did_not_train_are_marked_and_said(form: Any) -> None:
    theirs = [outcome(name, pretrained="own.pt (sha256 0123456789ab)", digital_wrong=(0, 1)) for name in ("first", "second")]
    text = form([PASSED, *theirs, outcome("third", pretrained="other.pt (sha256 ba9876543210)")])
    unknown = "On which images they were trained is not known, so test images may be among them."
    assert [line for line in text.splitlines() if line.startswith("Marked")] == [
        f"Marked * (first, second): weights of own.pt (sha256 0123456789ab). {unknown}",
        f"Marked * (third): weights of other.pt (sha256 ba9876543210). {unknown}",
    ]
    rows = [line for line in text.splitlines() if "NO_BASELINE" in line or "PASS" in line]
    assert [next(row for row in rows if name in row).count("*") for name in ("first", "second", "third", PASSED.name)] == [
        1,
        1,
        1,
        0,
    ]
    assert any("90.0*" in row for row in rows)


@FORMS
def test_without_such_weights_nothing_is_said(form: Any) -> None:
    assert "*" not in form([PASSED, NEW])


def test_a_row_without_a_record_still_shows_its_baseline() -> None:
    item = Outcome("small", "memtorch", Verdict(Status.ERROR, "odd"), None, make_baseline(make_record(wrong=range(5))))
    assert cells(markdown([item], "memtorch"), "small")[4] == "25.00"


def test_reasons_are_given_only_where_a_case_is_not_green() -> None:
    said = reasons(EVERY)
    assert [line.partition(":")[0] for line in said] == [
        "REGRESSED case-that-regressed",
        "NO_BASELINE case-without-baseline",
        "ERROR case-in-error",
        "SKIPPED case-skipped",
    ]
    assert all(item.verdict.reason in line for item, line in zip(EVERY[2:], said, strict=True))
    text = markdown(EVERY, "memtorch")
    assert REGRESSED.verdict.reason in text
    assert PASSED.verdict.reason not in text
    assert IMPROVED.verdict.reason not in text


def test_a_green_report_has_no_section_of_failures() -> None:
    assert reasons([PASSED, IMPROVED]) == []
    assert "Not green" not in markdown([PASSED, IMPROVED], "memtorch")
    assert "## Not green" in markdown([PASSED, SKIPPED], "memtorch")


def test_markdown_has_a_title_and_the_count_of_each_verdict() -> None:
    lines = markdown([*EVERY, PASSED], "memtorch").splitlines()
    assert lines[0] == "# membench: 7 cases on engine `memtorch`"
    assert lines[2] == "1 ERROR, 1 IMPROVED, 1 NO_BASELINE, 2 PASS, 1 REGRESSED, 1 SKIPPED"


def test_markdown_says_where_it_ran_and_a_reason_of_two_lines_stays_one_item() -> None:
    text = markdown(EVERY, "memtorch")
    assert "A processor, 2 cores, 1 thread; python 3.11.7, torch 2.6.0; 2026-01-02T03:04:05+00:00" in text
    assert "- ERROR case-in-error: ValueError: odd\n  second line\n" in text
    assert "A processor" not in markdown([BROKEN], "memtorch")


def test_a_report_of_nothing_says_so() -> None:
    text = markdown([], "memtorch")
    assert "# membench: 0 cases" in text
    assert "nothing was measured" in text


@pytest.mark.parametrize("error", [float("nan"), float("inf")])
def test_an_invalid_record_can_be_shown(error: float) -> None:
    item = outcome("small", broken=range(20), logit_error=error)
    assert item.verdict.status is Status.INVALID
    assert cells(markdown([item], "memtorch"), "small")[-1] == "INVALID"
    assert cells(markdown([item], "memtorch"), "small")[5] == str(error)


def test_the_records_written_are_those_measured(tmp_path: Path) -> None:
    summary = write_report(tmp_path / "report", EVERY, "memtorch")
    assert summary == tmp_path / "report" / "summary.md"
    assert summary.read_text() == markdown(EVERY, "memtorch")
    folder = tmp_path / "report" / "records" / "memtorch"
    measured = [item for item in EVERY if item.record is not None]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{item.name}.json" for item in measured)
    for item in measured:
        assert load(Record, folder / f"{item.name}.json") == item.record


@pytest.mark.parametrize("error", [float("nan"), float("inf")])
def test_an_invalid_record_is_written_too(tmp_path: Path, error: float) -> None:
    """It is the one that somebody will want to look at."""
    item = outcome("small", broken=(0,), logit_error=error)
    write_report(tmp_path, [item, PASSED], "memtorch")
    again = load(Record, tmp_path / "records" / "memtorch" / "small.json")
    assert again.measured.seeds[0].predictions[0] == -1
    assert (tmp_path / "summary.md").exists()


def test_no_record_of_an_earlier_run_stands_in_for_a_case_that_failed(tmp_path: Path) -> None:
    """`baseline update --from` reads the folder: yesterday's record must not be accepted as today's."""
    write_report(tmp_path, [PASSED, NEW], "memtorch")
    failed = Outcome(NEW.name, "memtorch", Verdict(Status.ERROR, "odd"))
    write_report(tmp_path, [failed], "memtorch")
    folder = tmp_path / "records" / "memtorch"
    assert not (folder / f"{NEW.name}.json").exists()
    assert (folder / f"{PASSED.name}.json").exists()  # of another run, of a case that this one did not have


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblemError, match="Cannot write"):
        write_report(tmp_path / "file", [PASSED], "memtorch")
