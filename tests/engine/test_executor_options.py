"""Where a run is carried out: what the command line sets is what the run has."""

import pytest

from emtomo.cli.executors import set_executor
from emtomo.engine.cluster import ClusterOptions
from emtomo.engine.parameters import protocol_named
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError, ProjectError


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return EmtomoProject.start(tmp_path / "project")


def test_executor_dask_is_set_for_every_protocol_that_can_distribute(project):
    for name in ("bin-tomograms", "refine-poses", "match-template", "consensus-picks"):
        run = project.new_run(protocol_named(name), name)
        if not type(run).can_distribute():
            with pytest.raises(EmtomoError, match="works in one piece"):
                set_executor(project, run, "dask", "", {})
            continue
        set_executor(project, run, "dask", "", {})
        assert run.options(ClusterOptions).executor == "dask"


def test_a_cluster_that_was_never_given_here_is_not_connected_to(project):
    run = project.new_run(protocol_named("bin-tomograms"), "received")
    run.executor.set("dask")
    run.cluster.set("tcp://203.0.113.7:8786")
    project.saveProtocol(run)
    with pytest.raises(ProjectError, match=r"203\.0\.113\.7:8786, which was never given on this machine"):
        project.launch(run)
