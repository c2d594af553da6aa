"""A Markdown summary, for a job's page or a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from membench.outcome import Outcome
from membench.report.table import reasons, table
from membench.words import counted


def markdown(outcomes: Sequence[Outcome], engine: str, notes: Sequence[str] = ()) -> str:
    """Title, the count of each verdict, the table, a line for each case that is not green, `notes`, and where it ran."""
    counts = Counter(str(outcome.verdict.status) for outcome in outcomes)
    lines = [
        f"# membench: {counted(len(outcomes), 'case')} on engine `{engine}`",
        "",
        ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "nothing was measured",
        "",
        table(outcomes, "github"),
        "",
    ]
    if wrong := reasons(outcomes):
        lines += ["## Not green", "", *(f"- {line}".replace("\n", "\n  ") for line in wrong), ""]
    lines += [line for note in notes for line in (note, "")]
    records = [outcome.record for outcome in outcomes if outcome.record is not None]
    if records:
        place, threads = records[0].provenance, records[0].costs.threads
        lines += [
            "Loss is digital minus converted accuracy on the same images, in percentage points, with its 95 % interval over images and "
            "seeds (with one seed: over images). Logit error is relative, root mean square. s/image is the simulated inference's median; "
            "x digital is that against the digital network, timed in the same run.",
            "",
            f"{place.machine['processor']}, {place.machine['cores']} cores, {counted(threads, 'thread')}; "
            + ", ".join(f"{name} {version}" for name, version in place.versions.items())
            + f"; {place.created}",
            "",
        ]
    return "\n".join(lines)
