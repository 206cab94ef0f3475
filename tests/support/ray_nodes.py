"""A real Ray cluster of several nodes on this machine."""

import contextlib

import pytest


@contextlib.contextmanager
def local_cluster():
    """Yield a ``ray.cluster_utils.Cluster`` whose head trains nothing; the caller adds nodes.

    Ray's workers are nice to others by default, so much that they stand still beside a busy suite.
    """
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
        try:
            yield made
        finally:
            ray.shutdown()
            made.shutdown()
