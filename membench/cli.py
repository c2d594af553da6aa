"""The command line.

Exit codes: 0 green, 1 the gate failed or a measurement cannot be trusted, 2 usage or input, 3 environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tabulate import tabulate
from tqdm import tqdm

from membench.case import DEFAULT_ENGINE, Case
from membench.errors import InputError, MembenchError
from membench.suite import Suite, load_suite
from membench.version import __version__

if TYPE_CHECKING:
    from membench.campaign import State
    from membench.models import CrossValidation
    from membench.pipeline import Progress
    from membench.report.study_report import Written

EXIT_CODES = "Exit codes: 0 green, 1 the gate failed, 2 usage or input, 3 environment."

app = typer.Typer(
    help=f"The benchmark suite for memristive deep learning.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
baseline_app = typer.Typer(help="Accepted records: list, show, and the only way to change one.", no_args_is_help=True)
data_app = typer.Typer(help="Data sets: which are here, and getting one.", no_args_is_help=True)
app.add_typer(baseline_app, name="baseline")
app.add_typer(data_app, name="data")

Cases = Annotated[
    list[Path] | None, typer.Option("--cases", help="Folder of declared cases; may be given again. [benchmarks/cases]")
]
Baselines = Annotated[Path, typer.Option("--baselines", help="Folder of baselines.")]
EngineName = Annotated[str, typer.Option("--engine", help="Engine that executes the converted network.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="torch threads while measuring.")]
Device = Annotated[str, typer.Option("--device", help="Where the networks run, as torch names it: cpu, cuda, cuda:1.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
BASELINES = Path("baselines")


def main() -> None:
    """Run the command line; every membench error becomes a message and its exit code."""
    try:
        app()
    except MembenchError as error:
        print(f"membench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _suite(folders: list[Path] | None) -> Suite:
    return load_suite(folders or [Path("benchmarks/cases")])


class _TimeLeft:
    """Estimates how long a task will take, from the steps it has made since it began or was taken up again.

    A task that has another length, or begins again, is another one. What was done before the first call (by an interrupted
    training) took no time of this one.
    """

    def __init__(self) -> None:
        self.total, self.first, self.last, self.since = -1, 0, 0, 0.0

    def after(self, done: int, total: int) -> float | None:
        """Seconds left; None while there is nothing to tell it from, and at the end."""
        now = time.monotonic()
        if total != self.total or done < self.last:
            self.total, self.first, self.since = total, done, now
        self.last = done
        if not self.first < done < total:
            return None
        return (now - self.since) / (done - self.first) * (total - done)


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """A progress bar on stderr, so that stdout holds the result alone."""
    left = _TimeLeft()
    with tqdm(
        desc=name,
        leave=False,
        file=sys.stderr,
        mininterval=0.5,
        miniters=0,  # time alone tells when to draw: tqdm's own guess waits for thousands of steps after a resumed training
        bar_format="{desc} {bar:20} {n}/{total} {elapsed}{postfix}",
    ) as bar:

        def tell(what: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description(f"{name}: {what}", refresh=False)
            seconds = left.after(done, total)
            bar.set_postfix_str("" if seconds is None else f"{bar.format_interval(seconds)} left", refresh=False)
            bar.update(0)

        yield tell


@app.command("list")
def list_cases(cases: Cases = None, as_json: AsJson = False) -> None:
    """List the declared cases.

    Examples: membench list; membench list --json; membench list --cases my/cases
    """
    suite = _suite(cases)
    if as_json:
        print(
            json.dumps(
                [
                    {**item.case.model_dump(mode="json"), "fingerprint": item.case.fingerprint, "file": str(item.file)}
                    for item in suite.declared
                ],
                indent=2,
            )
        )
        return
    rows = [
        (
            case.name,
            case.dataset,
            case.network,
            case.images,
            len(case.seeds),
            f"{case.thresholds.max_loss_points:g}",
            case.description,
        )
        for case in suite
    ]
    print(tabulate(rows, headers=("case", "data", "network", "images", "seeds", "max loss", "description")))


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(metavar="CASE...", help="Names of declared cases.")],
    engine: EngineName = DEFAULT_ENGINE,
    images: Annotated[int | None, typer.Option("--images", min=1, help="Measure so many images instead.")] = None,
    cases: Cases = None,
    baselines: Baselines = BASELINES,
    report: Annotated[Path | None, typer.Option("--report", help="Write records and a Markdown summary there.")] = None,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: AsJson = False,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Find the step at which a failed case lost its accuracy.")
    ] = True,
) -> None:
    """Measure cases and judge them against their baselines.

    Examples: membench run mnist5k-ideal; membench run mnist5k-ideal --images 40 --json
    """
    from membench.baselines import BaselineStore
    from membench.gate import run_and_judge
    from membench.outcome import gate_failures
    from membench.report import table, write_report
    from membench.report.table import reasons

    chosen = _chosen(_suite(cases), names, images)
    store, outcomes = BaselineStore(baselines), []
    for case in chosen:
        with _bar(case.name) as tell:
            judged = run_and_judge(case, engine, store, threads=threads, device=device, progress=tell, explain_failure=explain)
            outcomes.append(judged)
    if report is not None:
        write_report(report, outcomes, engine)
    if as_json:
        print(json.dumps([_plain(outcome) for outcome in outcomes], indent=2))
    else:
        print(table(outcomes))
        print("".join(f"\n{line}" for line in reasons(outcomes)))
    if failures := gate_failures(outcomes):
        codes = {outcome.verdict.status for outcome in failures}
        raise typer.Exit(3 if {str(code) for code in codes} == {"SKIPPED"} else 1)


def _chosen(suite: Suite, names: list[str], images: int | None) -> list[Case]:
    found = [suite.get(name) for name in names]
    return [case.replace(images=images) for case in found] if images else found


def _plain(outcome: Any) -> dict[str, Any]:
    record = json.loads(outcome.record.model_dump_json()) if outcome.record else None  # NaN as text
    return {
        "case": outcome.name,
        "engine": outcome.engine,
        "verdict": str(outcome.verdict.status),
        "reason": outcome.verdict.reason,
        "record": record,
    }


@app.command()
def parity(
    names: Annotated[list[str], typer.Argument(metavar="CASE...", help="Names of declared cases.")],
    engine: EngineName = DEFAULT_ENGINE,
    reference: Annotated[str, typer.Option("--reference", help="Engine that it should equal.")] = "memtorch",
    images: Annotated[int, typer.Option("--images", min=1, help="How many images go through both.")] = 2,
    cases: Cases = None,
) -> None:
    """Run a few images of cases on two engines, and compare them device by device and layer by layer.

    Example: membench parity mnist5k-ideal mnist5k-worn
    """
    from membench.parity import compare

    equal = True
    for case in _chosen(_suite(cases), names, None):
        with _bar(case.name) as tell:
            found = compare(case, engine=engine, reference=reference, images=images, progress=tell)
        print(found)
        equal = equal and not found.faults
    if not equal:
        raise typer.Exit(1)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="CASE", help="Name of a declared case.")],
    engine: EngineName = DEFAULT_ENGINE,
    images: Annotated[int | None, typer.Option("--images", min=1, help="Measure so many images instead.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Measure the first so many seeds only.")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Draw it there: .png, .svg or .pdf.")] = None,
    cases: Cases = None,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Find out where a case loses its accuracy: step by step from the digital network, and layer by layer.

    Examples: membench explain mnist5k-worn; membench explain mnist5k-worn --images 200 --seeds 2 --figure worn.png
    """
    from membench.explain import explain
    from membench.report.explained import explained
    from membench.report.ladder_figure import check_file, write_figure

    if figure is not None:
        check_file(figure)
    (case,) = _chosen(_suite(cases), [name], images)
    with _bar(case.name) as tell:
        found = explain(case.replace(seeds=case.seeds[:seeds]), engine, threads=threads, device=device, progress=tell)
    if figure is not None:
        write_figure(found, figure)
    print(found.model_dump_json(indent=2) if as_json else explained(found))


@app.command()
def study(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a file in benchmarks/studies, or a path that ends in .py.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of records and report. [studies/STUDY, or studies/STUDY-quick]")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer images, seeds and values: coarse, and done in minutes.")
    ] = False,
    engine: EngineName = DEFAULT_ENGINE,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that measure at once. [as many as processors]")
    ] = None,
    threads: Threads = 1,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say how long it would take, and measure nothing.")] = False,
) -> None:
    """Run a study, and report it. Interrupted, the same command goes on where it stopped.

    Examples: membench study paper --quick; membench study paper --out paper --estimate; membench study my/study.py
    """
    from membench.campaign import prepare
    from membench.report.study_report import write
    from membench.study import find_study, load_study

    declared = load_study(name)
    folder = out or Path("studies") / f"{declared.name}{'-quick' if quick else ''}"
    with _bar(declared.name) as training:
        campaign = prepare(
            declared,
            folder,
            engine,
            quick=quick,
            workers=workers,
            threads=threads,
            declared_in=find_study(name),
            progress=training,
        )
    cases, missing = len(campaign.cases), len(campaign.missing)
    print(f"{declared.title}\n{cases} cases, {cases - missing} of them measured before, in {folder}", file=sys.stderr)
    if estimate:
        _announce(campaign.estimate() / campaign.workers, campaign.workers)
        return
    try:
        with campaign.store.alone(), _study_bar(campaign.workers) as tell:
            state = campaign.run(tell)
    except KeyboardInterrupt:
        print(f"Stopped. What was measured is kept in {folder}. The same command goes on.", file=sys.stderr)
        raise
    print(f"{state.done} of {state.total} cases are measured")
    if state.done:
        print(_reported(write(folder)))
    if state.failures:
        print("".join(f"\n{what}: {why}" for what, why in state.failures.items()), file=sys.stderr)
        raise typer.Exit(1)


def _announce(seconds: float, workers: int) -> None:
    tqdm.write(f"It should take about {_duration(seconds)} on {workers} worker{'s' if workers > 1 else ''}", file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _study_bar(workers: int) -> Iterator[Callable[[State], None]]:
    """A bar in seconds of work, so that the time left allows for cases that cost more than others."""
    shape = "{desc} {percentage:3.0f} % {bar:30} {elapsed}, {remaining} left"
    with tqdm(file=sys.stderr, mininterval=0.5, bar_format=shape) as bar:

        def tell(state: State) -> None:
            if bar.total is None:
                bar.initial = bar.n = state.work
                _announce((state.whole - state.work) / workers, workers)
            bar.total, bar.n = state.whole, state.work
            failed = f", {len(state.failures)} failed" if state.failures else ""
            bar.set_description(f"{state.done}/{state.total} cases{failed}", refresh=False)
            bar.refresh()

        yield tell


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What was given to --report or --out: it holds records/.")],
    as_json: AsJson = False,
) -> None:
    """Report records: tables, figures, and the answer in words, in that folder.

    Examples: membench report studies/paper; membench run mnist5k-ideal --report out && membench report out
    """
    from membench.report.study_report import write

    written = write(folder)
    print(json.dumps(written.listed, indent=2) if as_json else _reported(written))


def _reported(written: Written) -> str:
    return f"{written.words}\n\n{tabulate(written.parts, tablefmt='plain')}"


@app.command()
def train(
    network: Annotated[str, typer.Argument(help="Name of a registered network.")],
    dataset: Annotated[str, typer.Argument(help="Name of a data set.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the weights and their card, instead of the cache.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the network's own recipe.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the network's own recipe.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32 or bfloat16, instead of the network's own recipe.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Cross-validate: train so many networks, each without a part of the images."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="torch threads; the number moves the weights.")
    ] = None,
    ship: Annotated[bool, typer.Option("--ship", help="Write to membench's own folder of weights (for maintainers).")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network, or find it trained. Interrupted, the same command goes on at the last whole epoch.

    Examples: membench train vgg-mnist mnist; membench train vgg-cifar10 cifar10 --epochs 20 --out weights;
    membench train vgg-mnist mnist --folds 5
    """
    import torch

    from membench.datasets import DATASETS
    from membench.models import NETWORKS, cross_validate, obtain, ship_weights

    if ship and folds:
        raise InputError("--ship and --folds exclude each other: folds leave accuracies and no weights. Give one of the two.")
    if threads:
        torch.set_num_threads(threads)
    chosen, data = NETWORKS.get(network), DATASETS.get(dataset)
    own = chosen.recipe_for(dataset)
    given = {"epochs": epochs, "seed": seed, "precision": precision}
    recipe = own.replace(**{name: value for name, value in given.items() if value is not None})
    with _bar(f"{network} on {dataset}") as tell:
        if folds:
            validated = cross_validate(chosen, data, folds, recipe=recipe, folder=out, progress=tell)
        else:
            trained = obtain(chosen, data, recipe=recipe, folder=out, progress=tell)
    if folds:
        print(validated.model_dump_json(indent=2) if as_json else _fold_table(validated))
        return
    if ship:
        trained = ship_weights(trained)
    card = trained.card
    if as_json:
        print(card.model_dump_json(indent=2))
        return
    print(
        f"{network} on {dataset}: {100 * card.accuracy:.2f} % of {card.test_images} test images, {card.parameters} parameters, "
        f"trained on {card.train_images} images in {card.seconds:.0f} s\n{trained.file}"
    )


def _fold_table(found: CrossValidation) -> str:
    rows = [
        (fold.number, f"{100 * fold.held_out_accuracy:.2f}", f"{100 * fold.test_accuracy:.2f}", f"{fold.seconds:.0f}")
        for fold in found.folds
    ]
    table = tabulate(
        rows, headers=("fold", "held-out accuracy %", "test accuracy %", "seconds"), disable_numparse=True, stralign="right"
    )
    spreads = [("held out", found.held_out), ("test", found.test)]
    summary = tabulate(
        [(what, f"{one.mean:.2f}", f"{one.deviation:.2f}", f"[{one.low:.2f}, {one.high:.2f}]") for what, one in spreads],
        headers=("", "mean %", "deviation, points", "95 % (t over the folds)"),
        disable_numparse=True,
    )
    first = found.folds[0]
    return (
        f"{found.network} on {found.dataset}: {len(found.folds)} folds of {first.train_images + first.held_out_images} training "
        f"images, {first.test_images} test images, {found.threads} thread{'s' if found.threads > 1 else ''}\n\n{table}\n\n{summary}"
    )


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look this machine over: versions, engines, data, weights, compiler, threads; and the command that mends each problem.

    Exits with 3 when nothing could be measured here.

    Example: membench doctor
    """
    from membench.doctor import examine_machine, healthy

    findings = examine_machine()
    if as_json:
        print(json.dumps([finding.__dict__ for finding in findings], indent=2))
    else:
        rows = [("ok" if finding.ok else "--", finding.what, finding.found) for finding in findings]
        print(tabulate(rows, tablefmt="plain", maxcolwidths=[None, None, 100]))
        for finding in findings:
            if finding.remedy:
                print(f"\n{finding.what}: {finding.found}\n  mend it with: {finding.remedy}")
    if not healthy(findings):
        raise typer.Exit(3)


@baseline_app.command("list")
def baseline_list(engine: EngineName = DEFAULT_ENGINE, baselines: Baselines = BASELINES) -> None:
    """List the baselines of an engine with the reason for each.

    Example: membench baseline list
    """
    from membench.baselines import BaselineStore

    store = BaselineStore(baselines)
    rows = []
    for name in store.cases(engine):
        baseline = store.get(engine, name)
        assert baseline is not None
        measured = baseline.record.measured
        rows.append(
            (
                name,
                f"{measured.loss.estimate:.2f} [{measured.loss.low:.2f}, {measured.loss.high:.2f}]",
                baseline.accepted[:10],
                baseline.reason,
            )
        )
    print(tabulate(rows, headers=("case", "loss, points [95 %]", "accepted", "reason")))


@baseline_app.command("show")
def baseline_show(
    name: Annotated[str, typer.Argument(metavar="CASE")], engine: EngineName = DEFAULT_ENGINE, baselines: Baselines = BASELINES
) -> None:
    """Print a baseline as JSON.

    Example: membench baseline show mnist5k-ideal
    """
    from membench.baselines import BaselineStore

    baseline = BaselineStore(baselines).get(engine, name)
    if baseline is None:
        raise InputError(f"There is no baseline of {name!r} on engine {engine!r} below {baselines}.")
    print(baseline.model_dump_json(indent=2))


@baseline_app.command("update")
def baseline_update(
    reason: Annotated[str, typer.Option("--reason", help="Why it is accepted: a sentence for reviewers, kept in the file.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...", help="Names of declared cases.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All declared cases whose data are here.")] = False,
    records: Annotated[
        Path | None,
        typer.Option("--from", help="Accept records of an earlier run (the folder given to --report) instead of measuring."),
    ] = None,
    engine: EngineName = DEFAULT_ENGINE,
    cases: Cases = None,
    baselines: Baselines = BASELINES,
    threads: Threads = 1,
) -> None:
    """Measure cases and accept what was found as their baselines. Nothing else changes a baseline.

    Examples: membench baseline update mnist5k-ideal --reason "8-bit ADC instead of 6";
    membench baseline update --all --from reports --reason "New machine"
    """
    from membench.baselines import BaselineStore
    from membench.errors import DataMissingError
    from membench.pipeline import run_case
    from membench.record import Record, load

    if bool(names) == every:
        raise InputError("Name the cases to update, or say --all.")
    suite, store = _suite(cases), BaselineStore(baselines)
    for case in list(suite) if every else _chosen(suite, names or [], None):
        try:
            if records is not None:
                record = load(Record, records / "records" / engine / f"{case.name}.json")
                if record.fingerprint != case.fingerprint:
                    raise InputError(
                        f"The record of {case.name!r} in {records} is of another case than is declared now. Measure it anew."
                    )
            else:
                with _bar(case.name) as tell:
                    record = run_case(case, engine, threads=threads, progress=tell)
        except DataMissingError as error:
            if not every:
                raise
            print(f"{case.name}: left as it is: {error}", file=sys.stderr)
            continue
        print(store.update(record, reason))


@data_app.command("list")
def data_list() -> None:
    """Which data sets are on this machine, and where.

    Example: membench data list
    """
    from membench.datasets import DATASETS
    from membench.storage import data_root

    rows = [(data.name, str(data.find(data_root()) or "not found"), data.remedy) for data in DATASETS]
    print(tabulate(rows, headers=("data set", "found at", "get it with")))


@data_app.command("get")
def data_get(name: Annotated[str, typer.Argument(help="Name of a data set.")]) -> None:
    """Download a data set with torchvision to MEMBENCH_DATA, else to the cache folder.

    Example: membench data get cifar10
    """
    from membench.datasets import DATASETS
    from membench.storage import data_root

    data = DATASETS.get(name)
    data.get(data_root())
    print(f"{name}: {data.find(data_root())}")


if __name__ == "__main__":
    main()
