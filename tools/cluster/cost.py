"""What the cluster costs, and how many points a second more workers give. Prints the table of docs/cluster.md.

python tools/cluster/cost.py [SECONDS_A_POINT]   (2 unless told otherwise)

The cost is what workers do not spend on measuring: 1 - busy / wall, where `busy` is the time within `run_case` by the worker's own clock,
and `wall` the time by the client's from the worker's first point to its last, as the client sees them come in.
"""

from __future__ import annotations

import itertools
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
        wall = busy = 0.0
        for worker in states[-1][1].busy:
            own = [(when, state.busy.get(worker, 0.0)) for when, state in states]
            landed = [after for before, after in itertools.pairwise(own) if after[1] > before[1]]
            wall += landed[-1][0] - landed[0][0]
            busy += landed[-1][1] - landed[0][1]
        begin, end = states[0][0], states[-1][0]
        points = states[-1][1].points_done
        print(
            f"{workers} workers: {points} points in {end - begin:.1f} s, {points / (end - begin):.2f} points/s, "
            f"{busy / (points - workers):.2f} s a point, cost {100 * (1 - busy / wall):.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
