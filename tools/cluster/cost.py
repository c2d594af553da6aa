"""What the cluster costs, and how many points a second more workers give. Prints the table of docs/cluster.md.

python tools/cluster/cost.py [SECONDS_A_POINT]   (2 unless told otherwise)

The cost is what workers do not spend on measuring: 1 - busy / (workers x wall), where `busy` is the time within `run_case` as each
worker's own clock tells it, from the moment at which every worker has measured a point until the last one is written.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from study import declare

from membench import run_case
from membench.campaign import State, Workers, prepare
from membench.pipeline import Grounds
from membench.study import load_study

POINTS = 40


def main() -> None:
    wanted = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    folder = Path(tempfile.mkdtemp(prefix="membench-cost-"))
    case = load_study(str(declare(folder, bits=1, rows=1, seeds=1, images=100, network="vgg-mnist"))).points()[0].case
    grounds = Grounds()
    run_case(case, grounds=grounds)
    started = time.monotonic()
    run_case(case, grounds=grounds)
    images = min(1000, int(100 * wanted / (time.monotonic() - started)) // 20 * 20)
    print(f"{images} images a point", flush=True)
    for workers in (1, 2):
        file = declare(folder, bits=2, rows=4, seeds=POINTS // 8 * workers, images=images, network="vgg-mnist")
        states: list[tuple[float, State]] = []
        campaign = prepare(load_study(str(file)), folder / f"out-{workers}", workers=Workers(count=workers), declared_in=file)
        campaign.run(lambda state, states=states: states.append((time.monotonic(), state)))  # type: ignore[misc]
        (begin, first), (end, last) = states[2 * workers], states[-1]
        wall, busy, points = end - begin, last.busy - first.busy, last.points_done - first.points_done
        print(
            f"{workers} workers: {points} points in {wall:.1f} s: {points / wall:.2f} points/s, {busy / points:.2f} s a point, "
            f"cost {100 * (1 - busy / (workers * wall)):.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
