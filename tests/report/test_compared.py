"""What a comparison looks like in a terminal and in Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import make_record

from membench.compare import Comparison, Side, compare_sides
from membench.record import Record
from membench.report.compared import compared, compared_markdown


def side(name: str, *records: Record) -> Side:
    return Side(
        name, Path(name), {(record.case.name, record.engine): record for record in records}, unreadable=(f"{name}/bad.json",)
    )


def run(name: str, lost: int = 5, **fields: object) -> Record:
    return make_record(name=name, images=1000, seeds=(0, 1, 2), batch_size=100, wrong=range(lost), **fields)  # type: ignore[arg-type]


@pytest.fixture
def found() -> Comparison:
    slow = run("worse", 40)
    slower = slow.costs.replace(
        seeds=tuple(c.replace(batches=tuple(1.25 * t for t in c.batches)) for c in slow.costs.seeds), threads=4
    )
    return compare_sides(
        side("before", run("same"), run("worse"), run("old"), run("open", 0)),
        side("after", run("same"), slow.replace(costs=slower), run("new"), run("open", 6, subset_seed=3)),
    )


def test_a_row_a_case(found: Comparison) -> None:
    rows = {
        line.split()[0]: line.split()
        for line in compared(found).splitlines()
        if line.startswith(("same ", "worse ", "old ", "new "))
    }
    assert rows["same"][1:] == ["1000", "x", "3", "0.50", "0.50", "+0.00", *rows["same"][7:9], "1", "-", "identical"]
    assert rows["worse"][1:7] == ["1000", "x", "3", "0.50", "4.00", "+3.50"]
    assert rows["worse"][-2:] == ["1.25*", "worse"]
    assert rows["old"][1:] == ["-", "0.50", "-", "-", "-", "-", "only", "in", "A"]
    assert rows["new"][1:] == ["-", "-", "0.50", "-", "-", "-", "only", "in", "B"]


def test_what_is_said_around_the_table(found: Comparison) -> None:
    said = compared(found)
    assert said.startswith("A: before")
    assert "1 worse, 1 identical, 1 not significant, 1 only in A, 1 only in B" in said
    lines = said.splitlines()
    assert [
        line.split(":")[0] for line in lines if line.startswith(("same:", "worse:", "open:", "old:", "new:", "not read:"))
    ] == [
        "worse",
        "old",
        "open",
        "new",
        "not read",
        "not read",
    ]
    (line,) = (line for line in lines if line.startswith("open:"))
    assert line.startswith("open: not significant: +0.60 points on 1,000 images x 3 seeds (p = 0.")
    assert ", corrected for 3 cases); " in line
    assert "would find a change of 0.60 points (power 80%); the case" in line
    assert line.endswith("; the case is another one: subset_seed 0 -> 3")
    assert "Not the same machine (threads: 1 in A, 4 in B): the ratio to the digital network of the same run" in said
    assert "not read: after/bad.json" in lines


def test_times_that_overlap_are_in_brackets_and_seconds_have_no_mark() -> None:
    said = compared(compare_sides(side("A", run("one", 5)), side("B", run("one", 6))))
    assert " (1.00) " in said
    assert "Not the same machine" not in said


def test_engines_are_named_where_there_are_several() -> None:
    records = run("one"), run("one", engine="digital")
    assert "one (digital)" in compared(compare_sides(side("A", *records), side("B", *records)))
    assert "one (memtorch)" not in compared(compare_sides(side("A", records[0]), side("B", records[0])))


def test_markdown_has_a_table_and_a_list(found: Comparison) -> None:
    said = compared_markdown(found)
    lines = said.splitlines()
    assert lines[:4] == ["# membench compare", "", "A: before  ", "B: after"]
    assert sum(line.startswith("| ") for line in lines) == 1 + len(found.cases)
    assert any(line.startswith("- worse: worse: by 3.50 points") for line in lines)
    assert said.endswith("\n")


def test_other_versions_are_said_once() -> None:
    one, other = run("one"), run("two")
    newer = one.provenance.replace(
        versions={**one.provenance.versions, "torch": "2.14.1"}, machine={**one.provenance.machine, "kernel": "C++"}
    )
    sides = side("A", one, other), side("B", one.replace(provenance=newer), other.replace(provenance=newer))
    said = compared(compare_sides(*sides))
    assert said.endswith("\n\nOther versions: torch 2.6.0 in A, 2.14.1 in B; kernel unknown in A, C++ in B.")
    assert "Other versions" not in compared(compare_sides(sides[0], sides[0]))


def test_a_copy_is_not_taken_for_a_measurement() -> None:
    """Two commits with the same baselines are identical though nobody measured the second."""
    one, other = run("one"), run("two")
    again = other.replace(provenance=other.provenance.replace(created="2026-02-03T04:05:06+00:00"))
    said = compared(compare_sides(side("A", one, other), side("B", one, again)))
    assert "1 of the 2 cases compared are one and the same record on both sides: nothing was measured in between." in said
    assert "same record" not in compared(compare_sides(side("A", other), side("B", again)))
