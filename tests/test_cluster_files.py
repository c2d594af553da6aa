"""The files in docs/cluster that users copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import needs_loopback

from membench.declared import import_file

DOCS = Path(__file__).resolve().parent.parent / "docs"


@needs_loopback
def test_the_slurm_job_has_a_worker_a_core_with_its_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask_jobqueue

    monkeypatch.setattr(dask_jobqueue.SLURMCluster, "scale", lambda self, jobs: jobs)
    module = import_file(DOCS / "cluster/slurm.py")
    with module.CLUSTER() as cluster:
        script = cluster.job_script().splitlines()
    assert {"#SBATCH -p compute", "#SBATCH --cpus-per-task=16", "#SBATCH --mem=64G", "#SBATCH -t 04:00:00"} <= set(script)
    assert "export MEMBENCH_DATA=/project/data" in script
    (worker,) = [line for line in script if "dask_worker" in line]
    for option in ("--nthreads 1 ", "--nworkers 16 ", "--memory-limit 4.00GiB ", "--nanny", "--lifetime 230m"):
        assert option in worker
    assert f"--resources memory={int(0.9 * 4 * 2**30)}" in worker


def test_the_kubernetes_file_offers_nine_tenths_of_a_pods_memory() -> None:
    """dask-kubernetes is not installed here; docs/kubernetes.md says what was checked with it."""
    module = import_file(DOCS / "cluster/kubernetes.py")
    assert callable(module.CLUSTER)
    assert f"memory={0.9 * module.MEMORY * 2**30:.0f}" == "memory=3865470566"
