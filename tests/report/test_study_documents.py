"""The documents of a report: the answer first, whole in themselves, the same bytes each time; figures without overlaps."""

from __future__ import annotations

import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from records import make_record
from studies import write_study

from membench.record import Record, load, save
from membench.report.collected import Collected, collect
from membench.report.cost_figures import against_time, forest, record_spots, sweep_spots
from membench.report.study_report import Written, write
from membench.report.sweep_figures import curves, heat_map
from membench.study import SweepInfo

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags, attributes, text; and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def of(self, name: str) -> list[str]:
        return [value for attribute, value in self.attributes if attribute == name]


def write_records(folder: Path) -> tuple[Record, ...]:
    """Records as `membench run --report` leaves them; one case twice as slow, and one that loses more."""
    records = (
        make_record(name="good", wrong=range(1), images=100),
        make_record(name="bad", wrong=range(9), images=100),
        make_record(name="good", engine="vectorized", wrong=range(1), images=100),
    )
    slow = records[0].costs
    records = (
        records[0].replace(
            costs=slow.replace(seeds=tuple(c.replace(batches=tuple(2 * s for s in c.batches)) for c in slow.seeds))
        ),
        *records[1:],
    )
    for record in records:
        save(record, folder / "records" / record.engine / f"{record.case.name}.json")
    return records


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, title="A <script>alert(1)</script> & study")
    return write(folder)


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("loose")
    write_records(folder)
    return write(folder)


@pytest.mark.parametrize("kind", ["study", "loose"])
def test_the_page_is_whole_in_itself(kind: str, request: pytest.FixtureRequest) -> None:
    written: Written = request.getfixturevalue(kind)
    text = written.html.read_text()
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    addresses = set(re.findall(r"https?://[^\"'\s<)]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|url\((?!#)|data:", text)
    assert page.tags.count("svg") == len(written.figures) > 1
    identities = page.of("id")
    assert len(set(identities)) == len(identities)
    local = [value.removeprefix("#") for name in ("href", "xlink:href") for value in page.of(name)]
    local += re.findall(r"url\(#([^)]*)\)", text)
    assert len(local) > 20
    assert set(local) <= set(identities)
    assert sorted(written.figures) == sorted((written.html.parent / "figures").iterdir())


@pytest.mark.parametrize("kind", ["study", "loose"])
def test_the_links_of_the_markdown_are_there(kind: str, request: pytest.FixtureRequest) -> None:
    written: Written = request.getfixturevalue(kind)
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", written.markdown.read_text())
    assert sorted(links) == sorted(f"figures/{file.name}" for file in written.figures)
    assert all((written.markdown.parent / link).read_bytes().startswith(b"<?xml") for link in links)


def test_what_a_study_is_called_is_text_and_nothing_else(study: Written) -> None:
    page, markdown = study.html.read_text(), study.markdown.read_text()
    assert "<script" not in page
    assert "<script" not in markdown
    assert "A &lt;script&gt;alert(1)&lt;/script&gt; &amp; study" in page
    assert markdown.startswith("# A &lt;script&gt;alert(1)&lt;/script&gt; &amp; study\n")
    assert "What is lost, &amp; &lt;where&gt;." in page


def test_both_open_with_the_answer(study: Written) -> None:
    for file in (study.html, study.markdown):
        text = file.read_text()
        words = [
            "The answer",
            "cases of the study are measured",
            "one: ADC resolution, bit: 4; ADC range: vector, with a loss of 0.00",
            "Recommended: ADC",
            "The headline: loss, points",
            "What is lost",
            "Where the loss exceeds 1 point",
            "Tile size over tile, rows x columns: one: at most 1 point everywhere, most at 8 (0.00",
            "shaded: 95 % interval",
        ]
        places = [text.index(word) for word in words]
        assert places == sorted(places)
        assert places[-1] < text.rindex("Where it comes from")  # the last of all, but for the links at the top
    assert "one: ADC resolution, bit: 4; ADC range: vector, with a loss of 0.00" in study.words


def test_the_headline_has_a_row_for_each_base_and_first_knob(study: Written) -> None:
    lines = study.markdown.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("The headline: loss, points"))
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 : start + 8]]
    assert head == ["base", "maximum input voltage, V", "2", "4"]
    assert [row[:2] for row in body] == [["one", "0.5"], ["one", "6"], ["two", "0.5"], ["two", "6"]]
    assert body[0][2].startswith("5.00 \\[")
    assert body[1][3].startswith("0.00 \\[")
    assert body[2][2].startswith("45.00 \\[")


def test_where_it_comes_from_is_told(study: Written) -> None:
    text = study.html.read_text()
    for words in (
        "membench study small --out FOLDER --engine memtorch, then membench report FOLDER",
        "20 to 100 images and 1 seed a case",
        "with 1 thread in each process",
        "One machine: system Linux x86_64",
        "One set of versions: python 3.11.7, torch 2.6.0.",
        "a" * 64,
        "97.00",
    ):
        assert words in text, words


def test_records_of_several_machines_versions_and_weights_say_so(tmp_path: Path) -> None:
    write_records(tmp_path)
    other = make_record(name="other", weights="b" * 64)
    where = other.provenance.replace(versions={"python": "3.12.1"}, machine={"processor": "Another"})
    save(other.replace(provenance=where, costs=other.costs.replace(threads=2)), tmp_path / "records" / "other.json")
    text = write(tmp_path).html.read_text()
    assert "The records come from 2 machines: (1 record) processor Another; (3 records) system Linux" in text
    assert "The records come from 2 sets of versions" in text
    assert "more than one set of weights for tiny on mnist5k" in text
    assert "b" * 64 in text
    assert "with 1 or 2 threads in each process" in text


def test_records_without_a_study_say_the_extremes_and_the_front(loose: Written) -> None:
    assert "3 cases, 3 records." in loose.words
    assert "The largest loss is 9.00 [" in loose.words
    assert "points, of bad (memtorch)." in loose.words
    assert "points, of good (memtorch)." in loose.words
    (front,) = [line for line in loose.words.splitlines() if "Pareto front" in line]
    assert "tiny on mnist5k: good (vectorized) (20 ms, 1.00 [" in front
    assert "good (memtorch)" not in front
    assert "bad" not in front


def test_the_same_records_give_the_same_bytes(study: Written) -> None:
    def content() -> dict[Path, bytes]:
        folder = study.html.parent
        return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}

    before = content()
    again = write(study.html.parent)
    assert content() == before
    assert again == study
    assert len(before) > 15


def drawn(folder: Path) -> dict[str, Figure]:
    """Every kind of figure."""
    info = write_study(folder / "study")
    collected = collect(folder / "study")
    by_name = {sweep.name: sweep for sweep in info.sweeps}
    tiles = {base: sweep_spots(by_name["tile"], collected, base) for base in info.bases}
    records = write_records(folder / "loose")
    return {
        "curve": curves(by_name["tile"], collected),
        "panels": curves(by_name["adc"], collected),
        "map": heat_map(by_name["miv-bits"], collected),
        "time": against_time("Tile size", tiles, "1 thread", label_all=True),
        "forest": forest(records),
        "all": against_time("All", {"tiny": record_spots(records, records)}, "1 thread", label_all=False),
    }


def test_no_text_of_a_figure_overlaps_another_or_is_cut_off(tmp_path: Path) -> None:
    for name, figure in drawn(tmp_path).items():
        figure.savefig(io.BytesIO())
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
        boxes = [(text, box.shrunk(0.96, 0.96)) for text, box in boxes if box.width and figure.bbox.overlaps(box)]
        assert len(boxes) >= 8, name
        for (first, one), (second, other) in itertools.combinations(boxes, 2):
            assert not one.overlaps(other), f"{name}: {first!r} overlaps {second!r}"
        for text, box in boxes:
            assert box.x0 >= 0, f"{name}: {text!r}"
            assert box.y0 >= 0, f"{name}: {text!r}"
            assert box.x1 <= figure.bbox.x1, f"{name}: {text!r}"
            assert box.y1 <= figure.bbox.y1, f"{name}: {text!r}"


def test_figures_say_what_they_show_with_units(tmp_path: Path) -> None:
    figures = {name: " | ".join(text.get_text() for text in figure.findobj(Text)) for name, figure in drawn(tmp_path).items()}
    for name, words in {
        "curve": ("loss, points", "tile, rows x columns", "64", "none", "95 % interval", "one", "two"),
        "panels": ("ADC range: vector", "ADC range: calibrated", "ADC resolution, bit"),
        "map": ("maximum input voltage, V", "ADC resolution, bit", "45", "5.0", "0.0", "one", "two"),
        "time": ("simulated time an image, ms (1 thread)", "Pareto front", "64"),
        "forest": ("bad (memtorch)", "9.00 [", "points"),
        "all": ("good (vectorized)",),
    }.items():
        for word in words:
            assert word in figures[name], f"{name}: {word}"
    assert "bad" not in figures["all"]


def _of_base(sweep: SweepInfo, base: str) -> SweepInfo:
    return sweep.replace(points=tuple(point for point in sweep.points if point.base == base))


def test_the_axis_of_the_loss_is_logarithmic_only_where_the_loss_is_wide(tmp_path: Path) -> None:
    info = write_study(tmp_path)
    collected = collect(tmp_path)
    figure = curves(info.sweeps[1], collected)
    assert [axes.get_yscale() for axes in figure.axes] == ["symlog"]  # base `two` loses 20 points
    narrow = Collected(
        info.replace(bases=("one",), sweeps=tuple(_of_base(sweep, "one") for sweep in info.sweeps)),
        tuple(record for record in collected.records if record.case.name == "one"),
    )
    assert [axes.get_yscale() for axes in curves(info.sweeps[1], narrow).axes] == ["linear"]


def test_a_figure_without_some_points(tmp_path: Path) -> None:
    info = write_study(tmp_path)
    kept = {point.fingerprint for point in info.sweeps[3].points[:1]}
    for file in (tmp_path / "records").glob("*.json"):
        if load(Record, file).fingerprint not in kept:
            file.unlink()
    written = write(tmp_path)
    assert "1 of " in written.words
    assert [file.name for file in written.figures] == ["miv-bits.svg"]
    assert "not measured" in written.words
