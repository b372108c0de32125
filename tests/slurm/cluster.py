"""A temporary Slurm cluster: real munge, slurmctld and slurmd on the machines of machines.py.

Node nI has two CPUs, for two ranks, and two "GPUs", which are device files that no program opens. The machine `login`
runs the controller and submits jobs. The default partition is `work`; jobs of partition `urgent` preempt its jobs.
"""
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from machines import Machine, connect, why_no_machines

NETWORK = "10.99.0"
CLUSTER_NAME = "throwaway"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "mpirun")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


def why_no_cluster():
    """Returns why no cluster can be started here; "" if one can."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"{program} is missing (Debian: slurmctld slurmd slurm-client munge openmpi-bin)"
    return why_no_machines()


def wait_until(condition, seconds, what):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(f"not within {seconds} s: {what() if callable(what) else what}")


def job_environment():
    """The environment of users on the login machine, without ctest's variables for MPI. LD_BIND_NOW would keep Slurm's
    plug-ins from loading, because they have undefined symbols."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("OMPI_", "SLURM_", "SIMCLR", "LD_BIND_NOW"))}
    return kept | {
        # There are more ranks than cores, so that waiting ranks must not spin.
        "OMPI_MCA_mpi_yield_when_idle": "1", "OMP_WAIT_POLICY": "passive",
        # As in cmake/SimclrTests.cmake: does not search for faster networks.
        "OMPI_MCA_pml": "ob1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        # Each machine has its own /dev/shm, which goes away with it; all share /tmp.
        "TMPDIR": "/dev/shm"}


class Job:
    """The fields of `scontrol show job`."""

    def __init__(self, text):
        self.fields = dict(re.findall(r"(\w+)=(\S*)", text))

    @property
    def state(self):
        return self.fields.get("JobState", "")

    @property
    def reason(self):
        return self.fields.get("Reason", "")

    @property
    def restarts(self):
        return int(self.fields.get("Restarts", 0))


class Cluster:
    def __init__(self, nodes=4, slurmd_timeout=5):
        # The name is short, because paths of Unix sockets are limited to 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.log = open(self.directory / "daemons.log", "w", encoding="utf-8")
        self.nodes = {}
        self.slots = {f"n{i}": f"{NETWORK}.{10 + i}" for i in range(nodes)}
        self.environment = job_environment() | {"SLURM_CONF": str(self.directory / "slurm.conf")}
        for name in ("state", "spool", "tmp", "munge"):
            (self.directory / name).mkdir(mode=0o755)
        self.login = Machine("login", self.log)
        try:
            self.start(slurmd_timeout)
        except BaseException:
            self.close()
            raise

    def start(self, slurmd_timeout):
        self.login.ip("link", "add", "br0", "type", "bridge")
        self.login.ip("addr", "add", f"{NETWORK}.1/24", "dev", "br0")
        self.login.ip("link", "set", "br0", "up")
        self.write_configuration(slurmd_timeout)
        self.start_munge()
        self.login.start(["slurmctld", "-D", "-c"], self.log, env=self.environment)
        for name in self.slots:
            self.start_node(name)
        self.wait_for_nodes()
        types = self.run("srun", "--mpi=list")
        if "pmix" not in types.stdout + types.stderr:
            raise unittest.SkipTest("this Slurm has no --mpi=pmix")

    def start_munge(self):
        at = self.directory / "munge"
        (at / "key").write_bytes(os.urandom(128))
        (at / "key").chmod(0o600)
        self.login.start(["munged", "--foreground", f"--socket={at}/socket", f"--key-file={at}/key",
                          f"--log-file={at}/log", f"--pid-file={at}/pid", f"--seed-file={at}/seed"], self.log)
        wait_until((at / "socket").exists, 10, "munged has no socket")

    def write_configuration(self, slurmd_timeout):
        at = self.directory
        lines = f"""
ClusterName={CLUSTER_NAME}
SlurmctldHost=login({NETWORK}.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# The wait of a requeued job depends on cred_expire.
AuthInfo=socket={at}/munge/socket,cred_expire=5
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool/%n
TmpFS={at}/tmp/%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd-%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmctldDebug=debug2
SlurmdLogFile={at}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
SlurmdTimeout={slurmd_timeout}
MessageTimeout=5
TCPTimeout=2
BatchStartTimeout=10
KillWait=5
JobRequeue=1
MinJobAge=3600
MailProg=/bin/true
PropagateResourceLimits=NONE
PartitionName=work Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 PriorityTier=1 GraceTime=25
PartitionName=urgent Nodes=ALL MaxTime=60 DefaultTime=10 PriorityTier=10 PreemptMode=OFF
"""
        for name, address in self.slots.items():
            lines += f"NodeName={name} NodeHostname={name} NodeAddr={address} CPUs=2 RealMemory=2000 Gres=gpu:2\n"
        (at / "slurm.conf").write_text(lines)
        (at / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in ("/dev/null", "/dev/zero")))

    # ---- nodes ----

    def start_node(self, name):
        """Starts a node as after a reboot: its own directories are empty."""
        for kind in ("spool", "tmp"):
            shutil.rmtree(self.directory / kind / name, ignore_errors=True)
            (self.directory / kind / name).mkdir()
        (self.directory / "tmp" / name).chmod(0o1777)
        machine = Machine(name, self.log)
        self.nodes[name] = machine
        connect(self.login, machine, self.slots[name])
        machine.start(["slurmd", "-D", "-N", name], self.log, env=self.environment)

    def crash(self, name):
        self.nodes.pop(name).kill()

    def cut(self, name):
        self.login.ip("link", "set", f"to-{name}", "down")

    def heal(self, name):
        self.login.ip("link", "set", f"to-{name}", "up")

    def wait_for_nodes(self, seconds=60):
        def all_idle():
            states = self.output("sinfo", "-h", "-N", "-p", "work", "-o", "%N %T").split("\n")
            return sorted(states) == [f"{name} idle" for name in sorted(self.slots)]

        wait_until(all_idle, seconds, lambda: "all nodes idle: " + self.output("sinfo", "-N"))

    # ---- commands on the login machine ----

    def run(self, *command, environment=None, **options):
        return self.login.run(command, env={**self.environment, **(environment or {})}, timeout=120, **options)

    def output(self, *command):
        done = self.run(*command)
        return done.stdout.strip() if done.returncode == 0 else ""

    def submit(self, *command, **options):
        """Runs sbatch and returns the new job's number."""
        done = self.run("sbatch", "--parsable", *command, **options)
        if done.returncode != 0:
            raise RuntimeError(f"sbatch: {done.stderr}")
        return done.stdout.strip()

    def job(self, number):
        return Job(self.output("scontrol", "--oneliner", "show", "job", number))

    def wait_for_job(self, number, seconds=90):
        """Waits until the job has ended and is not requeued; returns it."""
        def ended():
            job = self.job(number)
            return job if job.state in ENDED else None

        return wait_until(ended, seconds,
                          lambda: f"end of job {number}: " + self.output("scontrol", "show", "job", number))

    def wait_for_array(self, number, seconds):
        """Waits until the job and, for an array, all its tasks have ended."""
        def ended():
            queue = self.run("squeue", "-h", "-o", "%F")
            return queue.returncode == 0 and number not in queue.stdout.split()

        wait_until(ended, seconds, lambda: f"end of job {number}: " + self.output("squeue", "--array"))

    def close(self):
        for machine in (*self.nodes.values(), self.login):
            machine.kill()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
