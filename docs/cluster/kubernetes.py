"""Workers as Kubernetes pods, for `membench study NAME --cluster kubernetes.py`. Copy it, and change what stands in capitals.

Needs dask-kubernetes where membench is started, and Dask's operator in the cluster (docs/kubernetes.md).
"""

IMAGE = "registry.example.org/membench:0.1.0"  # with the same membench as here, and the data below /data
PODS = 10
MEMORY = 4  # GiB of a pod; one worker, one core each


def spec():
    """The DaskCluster resource."""
    from dask_kubernetes.operator import make_cluster_spec

    return make_cluster_spec(
        name="membench",
        image=IMAGE,
        n_workers=PODS,
        resources={"requests": {"cpu": "1", "memory": f"{MEMORY}Gi"}, "limits": {"cpu": "1", "memory": f"{MEMORY}Gi"}},
        env={
            "MEMBENCH_DATA": "/data",
            "MEMBENCH_CACHE": "/tmp/membench",
            # Points are packed by memory: a worker must neither pause with a point that waits for it, nor write results to disk.
            **{f"DASK_DISTRIBUTED__WORKER__MEMORY__{name}": "False" for name in ("TARGET", "SPILL", "PAUSE")},
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2",  # three tries
        },
        worker_command=f"dask worker --nthreads 1 --memory-limit {MEMORY}GiB --resources memory={0.9 * MEMORY * 2**30:.0f}",
    )


def start():
    from dask_kubernetes.operator import KubeCluster

    return KubeCluster(custom_cluster_spec=spec())


CLUSTER = start
