"""One cluster of Ray and one session of Spark for all tests, and the environment of both, since each takes long to start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bowline


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all that the engines write, and the environment of their workers.

    It is HOME until the last test: Ray keeps a token below HOME and does not start again where another HOME has none.
    """
    folder = tmp_path_factory.mktemp("home")
    package = str(Path(bowline.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        # Executors import the tasks of the tests, and the package that is under test.
        patch.setenv("PYTHONPATH", os.pathsep.join([package, str(Path(__file__).parent)]))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="session")
def cluster(home: Path) -> Iterator[Any]:
    """Ray with two nodes, each with processes of its own and one CPU."""
    import ray
    import ray.data
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 200 << 20}
    nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        nodes.add_node(**node)
        ray.init(address=nodes.address, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture(scope="session")
def java() -> str:
    """The program `java` that Spark starts. Without Java 17 or later, the tests of Spark are skipped."""
    program = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else shutil.which("java")
    if program is None or not os.path.exists(program):
        pytest.skip("Spark needs Java 17 or later: there is no java in PATH or JAVA_HOME")
    done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=False)
    version = re.search(r'version "(\d+)', done.stderr)
    if version is None or int(version[1]) < 17:
        pytest.skip(f"Spark needs Java 17 or later: {program} is Java {version[1] if version else 'of no version'}")
    return program


@pytest.fixture(scope="session")
def session(home: Path, java: str) -> Iterator[Any]:
    """Spark with two executors of one core each."""
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.task.maxFailures", "2")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "50")
        .config("spark.sql.warehouse.dir", str(home / "warehouse"))
        .getOrCreate()
    )
    yield spark
    spark.stop()
