"""Declared things are frozen, strict, and say what is wrong with them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import pytest
from pydantic import ValidationError, field_validator

from membench.errors import InputError
from membench.plain import Integer, NonNegative, Number, Plain, Positive, Proportion, Reason, Text, not_several


class Inner(Plain):
    depth: Integer = 1


class Outer(Plain):
    name: str
    count: Integer = 1
    number: Number = 0.0
    positive: Positive = 1.0
    non_negative: NonNegative = 0.0
    proportion: Proportion = 0.5
    inner: Inner = Inner()
    text: str = ""

    @field_validator("text")
    @classmethod
    def _not_bad(cls, text: str) -> str:
        if text == "bad":
            raise ValueError("must not be bad")
        return text


NUMBERS = ("number", "positive", "non_negative", "proportion")


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [True, False, "1", "0.5", b"1", None, math.nan, math.inf, -math.inf, 1j, [1.0]])
def test_what_is_no_finite_number_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"Outer 'x' is not valid:\n  {field}: "):
        Outer(name="x", **{field: value})


@pytest.mark.parametrize("value", [True, False, "8", 8.0, 8.5, None, math.nan, math.inf])
def test_what_is_no_integer_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"\n  count: "):
        Outer(name="x", count=value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("positive", 0), ("positive", -1e-9), ("non_negative", -1e-9), ("proportion", -1e-9), ("proportion", 1.0000001)],
)
def test_what_is_out_of_range_is_refused_with_what_was_given(field: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"\n  {field}: .*\(given: {value!r}\)"):
        Outer(name="x", **{field: value})


@pytest.mark.parametrize(("field", "value"), [("number", -1), ("non_negative", 0), ("proportion", 0), ("proportion", 1)])
def test_the_ends_of_a_range_belong_to_it_and_an_integer_is_a_number(field: str, value: int) -> None:
    kept = getattr(Outer(name="x", **{field: value}), field)
    assert kept == value
    assert isinstance(kept, float)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        Outer(name="x", count="8", proportion=2.0, txet="")
    lines = str(error.value).splitlines()
    assert lines[0] == "Outer 'x' is not valid:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["count", "proportion", "txet"]


def test_an_unknown_field_gets_a_guess_and_the_list() -> None:
    with pytest.raises(InputError, match=r"positiv: there is no such field\. did you mean 'positive'\?") as error:
        Outer(name="x", positiv=1.0)
    assert "Fields: name, count, number, positive, non_negative, proportion, inner, text." in str(error.value)


def test_an_unknown_field_like_no_other_gets_no_guess() -> None:
    with pytest.raises(InputError, match=r"zzzz: there is no such field\. Fields: name") as error:
        Outer(name="x", zzzz=1.0)
    assert "did you mean" not in str(error.value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InputError, match=r"Outer is not valid:\n  name: Field required"):
        Outer()


def test_a_fault_inside_names_the_part_and_its_field() -> None:
    with pytest.raises(InputError, match=r"Inner is not valid:\n  depth: .*\(given: 'deep'\)"):
        Outer(name="x", inner={"depth": "deep"})
    with pytest.raises(InputError, match=r"f\.json.*Inner is not valid:\n  depth: "):
        Outer.from_json('{"name": "x", "inner": {"depth": "deep"}}', "f.json")


def test_a_field_s_own_rule_speaks_without_pydantic_s_prefix() -> None:
    with pytest.raises(InputError, match=r"\n  text: must not be bad \(given: 'bad'\)") as error:
        Outer(name="x", text="bad")
    assert "Value error" not in str(error.value)


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(InputError) as error:
        Outer(name="x", count="9" * 500)
    assert "9" * 60 in str(error.value)
    assert "9" * 90 not in str(error.value)


def test_nothing_can_be_changed_afterwards() -> None:
    item = Outer(name="x")
    with pytest.raises(ValidationError, match="frozen"):
        item.count = 2  # type: ignore[misc]
    assert item.count == 1


def test_replace_gives_a_checked_copy_and_leaves_the_first_alone() -> None:
    item = Outer(name="x", proportion=0.25, inner=Inner(depth=3))
    other = item.replace(count=2)
    assert (other.count, other.proportion, other.inner.depth) == (2, 0.25, 3)
    assert item.count == 1
    with pytest.raises(InputError, match="count"):
        item.replace(count=True)
    with pytest.raises(InputError, match="did you mean 'count'"):
        item.replace(cuont=2)


def test_json_round_trip() -> None:
    item = Outer(name="x", number=-0.1, inner=Inner(depth=2))
    assert Outer.from_json(item.model_dump_json(), "f") == item


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": 1}'])
def test_json_that_is_none_names_the_file(text: str) -> None:
    with pytest.raises(InputError, match=r"f\.json"):
        Outer.from_json(text, "f.json")


class Several(Plain):
    values: tuple[Integer, ...] = ()
    inner: tuple[Inner, ...] = ()
    pair: tuple[Integer, Integer] | None = None
    choice: Literal["one", "two"] | Positive = "one"
    text: Text = ""


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("values", 0, "takes several values: write values=(0,)"),
        ("values", "conv1", "takes several values: write values=('conv1',)"),
        ("values", None, "takes several values, not None: write values=() for none"),
        ("values", {1, 2}, "takes values in order, and a set has none: write values=(...)"),
        ("inner", Inner(), "takes several values: write inner=(Inner(...),)"),
        ("inner", Inner, "takes several values: write inner=(Inner(...),)"),
        ("inner", {"depth": 1}, "takes several values: write inner=(dict(...),)"),
        ("pair", 64, "takes 2 values: write pair=(64, 64)"),
        ("pair", "64x64", "takes 2 values (given: '64x64')"),
        ("pair", (64,), "takes 2 values (given: (64,))"),
        ("pair", [1, 2, 3], "takes 2 values (given: [1, 2, 3])"),
    ],
)
def test_one_value_for_a_field_of_several_is_refused_with_the_text_to_write(field: str, value: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        Several(**{field: value})
    assert str(error.value) == f"Several is not valid:\n  {field}: {said}"


def test_other_faults_are_named_beside_it() -> None:
    with pytest.raises(InputError) as error:
        Several(values=1, pair=(1, "2"), nothing=3)
    lines = str(error.value).split("\n")[1:]
    assert [line.split(":")[0].strip() for line in lines] == ["values", "pair.1", "nothing"]


def test_what_is_several_is_taken() -> None:
    assert Several(values=[1, 2], inner=(Inner(),), pair=None) == Several(values=(1, 2), inner=(Inner(),))
    assert Several(values=range(2)).values == (0, 1)


def test_the_alternatives_of_a_field_are_one_line() -> None:
    with pytest.raises(InputError) as error:
        Several(choice="onee")
    assert str(error.value) == (
        "Several is not valid:\n  choice: Input should be 'one' or 'two' or: Input should be a valid number (given: 'onee')"
    )


def test_a_dataclass_is_one_value_too() -> None:
    @dataclasses.dataclass
    class Part:
        name: str

    assert not_several("parts", Part("a")) == "takes several values: write parts=(Part(...),)"
    assert not_several("parts", [Part("a")]) == ""


@pytest.mark.parametrize("text", ["\x1b[2J", "bell \x07", "\x9b31m", "\u202etxt"])
def test_text_with_control_characters_is_refused_in_printable_words(text: str) -> None:
    with pytest.raises(InputError, match="it holds the control character") as error:
        Several(text=text)
    assert str(error.value).replace("\n", "").isprintable()
    assert Several(text="two\nlines\tof text").text == "two\nlines\tof text"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("too short", "must be a sentence of at least ten letters"),
        ("two lines\nof a reason", "must be on one line"),
        ("a tab\tin a reason", "must be on one line, without tabs"),
        ("a reason \x1b[2J", "it holds the control character"),
    ],
)
def test_a_reason_is_a_sentence_on_one_line(reason: str, said: str) -> None:
    class Accepted(Plain):
        reason: Reason

    with pytest.raises(InputError, match=said):
        Accepted(reason=reason)
    assert Accepted(reason="8 bits instead of 6").reason == "8 bits instead of 6"
