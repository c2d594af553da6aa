"""Workers as SLURM jobs, for `membench study NAME --cluster slurm.py`. Copy it, and change what stands in capitals.

Needs dask-jobqueue where membench is started (pip install dask-jobqueue): on a login node, or in a job of its own.
"""

from dask_jobqueue import SLURMCluster

JOBS = 10
WORKERS = 16  # of a job: one a core
MEMORY = 64  # GiB of a job
QUEUE, WALLTIME = "compute", "04:00:00"
SETUP = [
    "source /home/me/venv/bin/activate",  # the same membench as here
    "export MEMBENCH_DATA=/project/data",  # readable on every node
    "export MEMBENCH_CACHE=${TMPDIR:-/tmp}/membench",  # weights that are sent lie here, once a node
    # Points are packed by memory: a worker must neither pause with a point that waits for it, nor write results to disk.
    *(f"export DASK_DISTRIBUTED__WORKER__MEMORY__{name}=False" for name in ("TARGET", "SPILL", "PAUSE")),
]


def start():
    cluster = SLURMCluster(
        queue=QUEUE,
        cores=WORKERS,
        processes=WORKERS,
        memory=f"{MEMORY}GiB",
        walltime=WALLTIME,
        job_script_prologue=SETUP,
        python="python",
        # What a worker offers by which points are packed; at 0.95 of its share its nanny ends it. And: leave before SLURM kills.
        worker_extra_args=[
            "--resources",
            f"memory={0.9 * MEMORY / WORKERS * 2**30:.0f}",
            "--lifetime",
            "230m",
            "--lifetime-stagger",
            "5m",
        ],
        scheduler_options={"dashboard_address": ":0"},
    )
    cluster.scale(jobs=JOBS)
    return cluster


CLUSTER = start
