"""Components by name: found when they are first needed, and never silently replaced."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from membench.errors import InputError, UnknownNameError
from membench.registry import Registry, check_name, hold_names, yield_names


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package, thrown away afterwards; its registry is `registry_for_test.REGISTRY`."""
    folder = tmp_path / "registry_for_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("from membench.registry import Registry\nREGISTRY = Registry('thing', __name__)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "registry_for_test"]:
        del sys.modules[name]


def registry() -> Registry[str]:
    import registry_for_test

    found: Registry[str] = registry_for_test.REGISTRY
    return found


def test_what_was_added_is_found() -> None:
    things: Registry[int] = Registry("thing")
    assert things.add("two", 2) == 2
    things.add("one", 1)
    assert things.get("one") == 1
    assert things.names() == ("one", "two")
    assert list(things) == [1, 2]


def test_an_unknown_name_gets_a_guess_and_the_list() -> None:
    things: Registry[int] = Registry("thing")
    things.add("mnist", 1)
    things.add("cifar10", 2)
    with pytest.raises(UnknownNameError, match=r"There is no thing 'mnits'\. Did you mean 'mnist'\? Known: cifar10, mnist\."):
        things.get("mnits")
    with pytest.raises(UnknownNameError, match=r"There is no thing 'zzz'\. Known: cifar10, mnist\."):
        things.get("zzz")


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UnknownNameError, match="Known: none"):
        Registry("thing").get("a")


def test_a_name_held_by_another_file_is_refused_and_both_are_named() -> None:
    things: Registry[str] = Registry("thing")
    things.add("a", "first", "one.py")
    with pytest.raises(InputError, match=r"two components for the thing 'a': in one\.py and in two\.py\."):
        things.add("a", "second", "two.py")
    with pytest.raises(InputError, match=r"in one\.py and in .*test_registry\.py"):
        things.add("a", "first")
    assert things.get("a") == "first"


def test_a_registry_can_check_what_it_is_given() -> None:
    """What it returns is registered; what it refuses leaves what was there."""

    def check(name: str, item: object) -> str:
        if not isinstance(item, str):
            raise InputError(f"thing {name!r} is {item!r}")
        return item.upper()

    things: Registry[str] = Registry("thing", check=check)
    assert things.add("a", "first") == "FIRST"
    with pytest.raises(InputError, match="thing 'a' is 7"):
        things.add("a", 7)  # type: ignore[arg-type]
    assert things.get("a") == "FIRST"


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "a b", "a\n", "ü", "x" * 81, None])
def test_a_name_that_no_file_can_have_is_refused(name: object) -> None:
    with pytest.raises(InputError, match=r"The name of a thing is .*; it must be 1 to 80 letters, digits"):
        check_name("thing", name, name)


def test_a_name_is_the_item_s_own() -> None:
    check_name("thing", "LeNet-5_v2.1", "LeNet-5_v2.1")
    with pytest.raises(InputError, match="The thing 'one' is registered as 'two'"):
        check_name("thing", "two", "one")


def test_a_file_that_is_run_again_replaces_what_it_registered() -> None:
    things: Registry[str] = Registry("thing")
    for item in ("first", "second"):
        things.add("a", item)
    assert list(things) == ["second"]


@pytest.mark.parametrize("ask", [lambda things: things.get("a"), lambda things: things.names(), list])
def test_a_package_s_modules_are_imported_when_first_needed(package: Path, ask: object) -> None:
    (package / "first.py").write_text("from registry_for_test import REGISTRY\nREGISTRY.add('a', 'A')\n")
    (package / "second.py").write_text("from registry_for_test import REGISTRY\nREGISTRY.add('b', 'B')\n")
    (package / "_private.py").write_text("raise AssertionError('imported')\n")
    things = registry()
    assert "registry_for_test.first" not in sys.modules
    ask(things)  # type: ignore[operator]
    assert {"registry_for_test.first", "registry_for_test.second"} <= set(sys.modules)
    assert things.names() == ("a", "b")
    assert list(things) == ["A", "B"]


def test_a_broken_module_is_not_forgotten_on_the_second_question(package: Path) -> None:
    """What the first question says must not become "there is no such thing" on the second."""
    (package / "broken.py").write_text("raise ImportError('libbroken is missing')\n")
    (package / "whole.py").write_text("from registry_for_test import REGISTRY\nREGISTRY.add('a', 'A')\n")
    things = registry()
    for _ in range(2):
        with pytest.raises(ImportError, match="libbroken is missing"):
            things.get("a")


def test_a_file_of_an_earlier_study_gives_way_and_no_other() -> None:
    """A worker measures for one user after the other, and two may declare the same name."""
    things: Registry[str] = Registry("thing")
    things.add("mine", "a", "/home/a/study.py")
    yield_names(["/home/a/study.py"])
    things.add("mine", "b", "/home/b/study.py")
    assert things.get("mine") == "b"
    yield_names(["/home/b/study.py"])
    hold_names(["/home/a/study.py"])
    things.add("mine", "a", "/home/a/study.py")
    assert things.get("mine") == "a"
    with pytest.raises(InputError, match=r"two components for the thing 'mine': in /home/a/study\.py and in /home/b/study\.py"):
        things.add("mine", "b", "/home/b/study.py")
    hold_names(["/home/b/study.py"])
