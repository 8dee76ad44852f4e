"""What is asked of a queue, and what its answers mean, with commands of the shell in the place of a queue."""

import pytest
from pyworkflow.protocol.hosts import HostConfig

from emtomo.compute.device import cores
from emtomo.engine import queues
from emtomo.engine.parameters import protocol_named
from emtomo.engine.project import EmtomoProject
from emtomo.engine.run_folder import check_run_folder
from emtomo.errors import ProjectError

HOSTS = """[localhost]
PARALLEL_COMMAND = mpirun
NAME = TEST
SUBMIT_COMMAND = {submit}
CANCEL_COMMAND = true
CHECK_COMMAND = {check}
JOB_DONE_REGEX = (COMPLETED|FAILED)
SUBMIT_TEMPLATE = {template}
QUEUES = {{"main": [["JOB_TIME", "1:00", "Time", "How long."], ["QUEUE_FOR_JOBS", "N"]], "gpu": [["GPUS", "1"]]}}
QUEUES_DEFAULT = {{"JOB_TIME": "0:10"}}
"""


class Project:
    """What the functions need of a project."""

    path = "/tmp"

    def __init__(self, folder, submit="echo 17", check="true", template="%_(JOB_COMMAND)s"):
        path = folder / "hosts.conf"
        path.write_text(HOSTS.format(submit=submit, check=check, template=template), encoding="utf8")
        self.host = HostConfig.load(str(path))["localhost"]

    def getHostConfig(self, name):
        return self.host

    def getShortName(self):
        return "it's $(a project)"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(queues, "_seen", {})


def a_run(project, tmp_path):
    run = protocol_named("bin-tomograms")()
    run.setHostConfig(project.host)
    run.setProject(project)
    run.workingDir.set(str(tmp_path))
    (tmp_path / "logs").mkdir(exist_ok=True)
    run.setObjLabel("x\n; touch evil")
    run.setObjId(5)
    return run


def test_queues_are_those_of_the_file_with_their_defaults(tmp_path):
    found = queues.queues_of(Project(tmp_path))
    assert list(found) == ["main", "gpu"] and [p.name for p in found["main"]] == ["JOB_TIME"]
    assert found["gpu"][0] == queues.QueueParameter("GPUS", "1", "GPUS", "")


def test_a_run_remembers_its_queue(tmp_path):
    project = Project(tmp_path)
    run = a_run(project, tmp_path)
    assert queues.queue_of(run) is None
    queues.set_queue(project, run, "", {"JOB_TIME": "2:00"})
    assert queues.queue_of(run) == ("main", {"JOB_TIME": "2:00"})
    queues.set_queue(project, run, "gpu", {})
    assert queues.queue_of(run) == ("gpu", {"GPUS": "1"})
    queues.unset_queue(run)
    assert queues.queue_of(run) is None


@pytest.mark.parametrize("value", ["1; rm", "$(x)", "a\nb", "`x`", "'", '"', "a|b", "%s", "a&b", ">f"])
def test_a_value_that_could_be_more_than_a_value_is_refused_when_given_and_when_submitted(tmp_path, value):
    project = Project(tmp_path)
    run = a_run(project, tmp_path)
    with pytest.raises(ProjectError, match="JOB_TIME must be letters, digits and"):
        queues.set_queue(project, run, "main", {"JOB_TIME": value})
    run._useQueue.set(True)  # as in a project that somebody sent
    run.setQueueParams(("main", {"JOB_TIME": value, "QUEUE_FOR_JOBS": "N"}))
    with pytest.raises(ProjectError, match="JOB_TIME must be letters, digits and"):
        queues.submit(run, "true")


@pytest.mark.parametrize("name", ["JOB_SCRIPT", "JOB_COMMAND", "JOB_LOGS", "JOB_NAME"])
def test_a_project_that_somebody_sent_chooses_no_file_and_no_command(tmp_path, name):
    project = Project(tmp_path)
    run = a_run(project, tmp_path)
    run._useQueue.set(True)
    target = tmp_path / "bashrc"
    run.setQueueParams(("main", {"JOB_TIME": "1", name: str(target)}))
    with pytest.raises(ProjectError, match=f"Queue main has no parameter {name}"):
        queues.submit(run, "true")
    assert not target.exists()


@pytest.mark.parametrize(
    "name", ["000005_x;touch evil", "a$(touch evil)", "a`touch evil`", "a\ntouch evil", "a b", "a'b", "%s"]
)
def test_the_name_of_a_runs_folder_is_no_command(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, submit="echo 17 %_(JOB_SCRIPT)s")
    run = a_run(project, tmp_path)
    queues.set_queue(project, run, "main", {})
    (tmp_path / "Runs" / name / "logs").mkdir(parents=True)
    run.workingDir.set(f"Runs/{name}")
    with pytest.raises(ProjectError, match="The name of a run's folder is letters, digits"):
        queues.submit(run, "true")
    with pytest.raises(ProjectError, match="The name of a run's folder is letters, digits"):
        check_run_folder(tmp_path, f"Runs/{name}")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("job", ["1; touch evil", "$(touch evil)", "-1", "1\n2", "\u0661", "9" * 40])
def test_the_number_of_a_job_is_a_number(tmp_path, monkeypatch, job):
    monkeypatch.chdir(tmp_path)
    project = EmtomoProject.start(tmp_path / "project")
    run = project.new_run(protocol_named("bin-tomograms"), "x")
    project.saveProtocol(run)
    run.setHostConfig(Project(tmp_path, check="echo %_(JOB_ID)s").host)
    run._useQueue.set(True)
    run.setQueueParams(("main", {"JOB_TIME": "1:00", "QUEUE_FOR_JOBS": "N"}))
    run.setStatus("launched")
    run.setJobId(job)
    for look in (queues.describe_waiting, project.stopProtocol):
        with pytest.raises(ProjectError, match="A job of a queue has a number; this project says"):
            look(run)
    assert not list(tmp_path.rglob("evil"))


def test_names_that_people_choose_are_cleaned_before_they_come_into_a_script(tmp_path):
    project = Project(tmp_path, template="name %_(SCIPION_PROJECT)s %_(SCIPION_PROTOCOL)s")
    run = a_run(project, tmp_path)
    queues.set_queue(project, run, "main", {})
    assert queues.submit(run, "true") == 17
    assert (tmp_path / "logs" / "5.job").read_text().strip() == "name it_s_a_project_ x_touch_evil"


@pytest.mark.parametrize(
    ("submit", "template", "reported"),
    [
        ("echo no such queue >&2; exit 1", "x", "The queue did not take the run: .*no such queue"),
        ("true", "x", "The queue did not take the run"),
        ("echo 1", "%_(JOB_CPUS)s", "hosts.conf: .*JOB_CPUS"),
        ("echo 1", "100%!", "hosts.conf"),
    ],
)
def test_what_a_queue_or_a_template_refuses_is_one_sentence(tmp_path, submit, template, reported):
    project = Project(tmp_path, submit=submit, template=template)
    run = a_run(project, tmp_path)
    queues.set_queue(project, run, "main", {})
    with pytest.raises(ProjectError, match=reported) as caught:
        queues.submit(run, "true")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("check", "there"),
    [
        ("echo PENDING Resources", True),
        ("echo COMPLETED", False),
        ("true", False),
        ("echo Invalid job id >&2; exit 1", False),
        ("echo Unable to contact slurm controller >&2; exit 1", True),
        ("sleep 5", True),
    ],
)
def test_only_an_answer_means_that_a_job_has_ended(tmp_path, monkeypatch, check, there):
    monkeypatch.setattr(queues, "ANSWER_SECONDS", 0.3)
    assert queues.in_queue(Project(tmp_path, check=check).host, 3) is there


def test_a_job_whose_hosts_conf_is_gone_is_not_taken_for_ended(tmp_path):
    host = Project(tmp_path).host
    host.queueSystem.checkCommand.set(None)
    assert queues.in_queue(host, 3)


def test_a_queue_is_asked_only_every_few_seconds(tmp_path, monkeypatch):
    project = Project(tmp_path, check=f"echo RUNNING; echo x >> {tmp_path}/asked")
    for _ in range(5):
        assert queues.in_queue(project.host, 3)
    assert (tmp_path / "asked").read_text() == "x\n"
    monkeypatch.setattr(queues, "LOOK_SECONDS", 0.0)
    assert queues.in_queue(project.host, 3)
    assert (tmp_path / "asked").read_text() == "x\nx\n"


def test_a_run_without_a_queue_on_this_machine_is_reported(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "hosts.conf").write_text("[localhost]\nPARALLEL_COMMAND = mpirun\n", encoding="utf8")
    project.host = HostConfig.load(str(tmp_path / "hosts.conf"))["localhost"]
    run = a_run(project, tmp_path)
    with pytest.raises(ProjectError, match="No queue is set up: describe one in"):
        queues.set_queue(project, run, "", {})
    run._useQueue.set(True)  # a project from a machine that had one
    with pytest.raises(ProjectError, match="no hosts.conf describes one"):
        queues.submit(run, "true")


def test_a_job_takes_the_cores_that_its_queue_gave_it(monkeypatch):
    for name in ("SLURM_CPUS_PER_TASK", "NSLOTS", "NCPUS"):
        monkeypatch.delenv(name, raising=False)
    everything = cores()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert cores() == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "100000")
    assert cores() == everything
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "")
    monkeypatch.setenv("NSLOTS", "1")
    assert cores() == 1
