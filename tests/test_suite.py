"""Declared cases are found in order, and nothing that is wrong with a file goes by in silence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import make_case

from membench.errors import SuiteError, UnknownNameError
from membench.suite import Declared, load_suite

HEAD = """
from membench import Case, Conversion, Thresholds
def case(name, **fields):
    return Case(**{**dict(name=name, dataset="mnist", network="tiny", conversion=Conversion(),
                          thresholds=Thresholds(max_loss_points=1.0)), **fields})
"""


def declare(folder: Path, file: str, *names: str, more: str = "") -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}\nCASES = [{', '.join(f'case({name!r})' for name in names)}]\n{more}")
    return path


def test_cases_come_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    second = declare(tmp_path, "b.py", "z", "a")
    first = declare(tmp_path, "a.py", "y", "x")
    below = declare(tmp_path, "c/d.py", "w")
    suite = load_suite([tmp_path])
    assert [case.name for case in suite] == ["y", "x", "z", "a", "w"]
    assert [item.file for item in suite.declared] == [first, first, second, second, below]
    assert len(suite) == 5


def test_folders_are_read_in_the_order_given(tmp_path: Path) -> None:
    declare(tmp_path, "one/a.py", "a")
    declare(tmp_path, "two/b.py", "b")
    assert [case.name for case in load_suite([tmp_path / "two", tmp_path / "one"])] == ["b", "a"]


def test_a_case_is_found_by_name(tmp_path: Path) -> None:
    declare(tmp_path, "a.py", "one", "two")
    suite = load_suite([tmp_path])
    assert suite.get("two").name == "two"
    with pytest.raises(UnknownNameError, match=r"There is no case 'three'\. Declared: one, two\."):
        suite.get("three")


def test_files_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    declare(tmp_path, "a/cases.py", "one", more="OWN = 1\n")
    declare(tmp_path, "b/cases.py", "two", more="assert 'OWN' not in globals()\n")
    assert [case.name for case in load_suite([tmp_path])] == ["one", "two"]


def test_a_tuple_of_cases_and_an_empty_list_beside_another_file_are_fine(tmp_path: Path) -> None:
    declare(tmp_path, "a.py")
    declare(tmp_path, "b.py", more="CASES = (case('one'),)\n")
    assert [case.name for case in load_suite([tmp_path])] == ["one"]


def test_files_that_start_with_an_underscore_are_not_read(tmp_path: Path) -> None:
    declare(tmp_path, "a.py", "one")
    (tmp_path / "_shared.py").write_text("raise RuntimeError('read')\n")
    (tmp_path / "notes.txt").write_text("no Python")
    assert [case.name for case in load_suite([tmp_path])] == ["one"]


def test_loading_twice_reads_the_file_again_and_leaves_no_module(tmp_path: Path) -> None:
    before = set(sys.modules)
    declare(tmp_path, "a.py", "one")
    load_suite([tmp_path])
    declare(tmp_path, "a.py", "one", "two", "three")
    assert len(load_suite([tmp_path])) == 3
    assert {name for name in set(sys.modules) - before if "cases" in name} == set()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("")
    for missing in (tmp_path / "nowhere", tmp_path / "file.py"):
        with pytest.raises(SuiteError, match="no folder of cases at") as error:
            load_suite([missing])
        assert str(missing) in str(error.value)


def test_a_missing_folder_beside_a_good_one_is_named(tmp_path: Path) -> None:
    declare(tmp_path, "good/a.py", "one")
    with pytest.raises(SuiteError, match="nowhere"):
        load_suite([tmp_path / "good", tmp_path / "nowhere"])


@pytest.mark.parametrize("content", [None, "CASES = []\n"])
def test_an_empty_suite_measures_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.py").write_text(content)
    with pytest.raises(SuiteError, match="An empty suite measures nothing") as error:
        load_suite([tmp_path])
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import no_such_module_anywhere\n", "ModuleNotFoundError"),
        ("assert False, 'halt'\n", "AssertionError: halt"),
        ("CASES = [undefined]\n", "NameError"),
        ("x = '\x00'\n", "null bytes"),
        (HEAD + "CASES = [case('Not A Name')]\n", "Case 'Not A Name' is not valid"),
        (HEAD + "CASES = [case('a', images='8')]\n", "images: Input should be a valid integer"),
        (HEAD + "CASES = [case('a', nonidealities=[{'kind': 'non_linear'}])]\n", "does not fit: the current of VTEAM is ohmic"),
        (
            HEAD + "CASES = [case('a', nonidealities=[{'kind': 'read_noise', 'sigma': 0.0}])]\n",
            "sigma is 0: nothing would be noisy",
        ),
        ("from membench import profile\nCASES = [profile('idael')]\n", "Did you mean 'ideal'"),
        ("", "must declare CASES, a list of membench.Case"),
        ("cases = []\n", "must declare CASES"),
        ("CASES = None\n", "must declare CASES"),
        ("CASES = ['mnist']\n", "must declare CASES"),
        (HEAD + "CASES = case('a')\n", "must declare CASES"),
        (HEAD + "CASES = {'a': case('a')}\n", "must declare CASES"),
        (HEAD + "CASES = [case('a'), [case('b')]]\n", "must declare CASES"),
        ("raise SystemExit(0)\n", "SystemExit"),
        ("import pytest\npytest.skip('not today', allow_module_level=True)\n", "not today"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, said: str) -> None:
    """Among good files too: a case that was declared must not be lost because its file is broken, nor end the process."""
    declare(tmp_path, "a.py", "one")
    (tmp_path / "b.py").write_text(content)
    before = set(sys.modules)
    try:
        load_suite([tmp_path])
    except (SystemExit, pytest.skip.Exception) as error:
        pytest.fail(f"{error!r} went through: it would end the process, or skip the gate")
    except SuiteError as error:
        message = str(error)
    assert str(tmp_path / "b.py") in message
    assert said in message
    assert not [name for name in set(sys.modules) - before if name.startswith("membench_cases")]


def test_an_interrupt_is_not_swallowed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_suite([tmp_path])


@pytest.mark.parametrize(("one", "other"), [("a.py", "b.py"), ("x/cases.py", "y/cases.py")])
def test_two_cases_of_one_name_are_refused_with_both_files(tmp_path: Path, one: str, other: str) -> None:
    first, second = declare(tmp_path, one, "same", "other"), declare(tmp_path, other, "fine", "same")
    with pytest.raises(SuiteError, match="Two cases are named 'same'") as error:
        load_suite([tmp_path])
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)


def test_two_cases_of_one_name_in_one_file_are_refused(tmp_path: Path) -> None:
    file = declare(tmp_path, "a.py", "same", "same")
    with pytest.raises(SuiteError, match="Two cases are named 'same'") as error:
        load_suite([tmp_path])
    assert str(file) in str(error.value)


def test_a_folder_named_twice_is_read_once(tmp_path: Path) -> None:
    declare(tmp_path, "a.py", "one")
    assert [case.name for case in load_suite([tmp_path, tmp_path / "." / "", tmp_path])] == ["one"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        # its name, the last time it is spoken of; what it does not end with is not meant; the longest text that it ends with
        ('X = "mine-ideal"\nCASES = [\n    case(\n        "mine-ideal",\n    ),\n]\n', 4),
        ('X = profile("ideal")\nCASES = [\n    case("mine", "tile-ideal")\n]\n', 1),
        ('CASES = [\n    case(f"cifar-{name}")\n    for name in (\n        "tile",\n        "ideal",\n    )\n]\n', 5),
        ("# none\nX = 1\nCASES = [json(text)]\n", 3),
        ("# none\nX = 1\nCASES: list[Case] = [json(text)]\n", 3),
        ("from other import CASES\n", 1),
    ],
)
def test_the_line_of_a_case_is_where_its_file_speaks_of_it(tmp_path: Path, source: str, line: int) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    assert Declared(make_case(name="mine-ideal"), file).line == line
