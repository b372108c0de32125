"""Temporary nodes for `mpirun`, without Slurm: machines on one switch, whose links may be slow or far.

mpirun itself and the ranks of the first node keep this machine's processes and files; the others have their own.
"""
import os
import subprocess
import sys
from pathlib import Path

from machines import Machine, connect, die_with_parent

NETWORK = "10.99.1"


class Nodes:
    """A context manager; `scratch` is a directory for the launcher's agent."""

    def __init__(self, count, scratch):
        self.switch = Machine("switch", sys.stderr)
        self.switch.ip("link", "add", "br0", "type", "bridge")
        self.switch.ip("link", "set", "br0", "up")
        self.machines, self.cables = [], []
        for index in range(count):
            self.machines.append(Machine(f"node{index}", sys.stderr))
            connect(self.switch, self.machines[-1], f"{NETWORK}.{10 + index}")
        self.agent = Path(scratch).resolve() / "agent"
        cases = "\n".join(f"{m.name}) exec {' '.join(m.enter([], os.getcwd()))} bash -c \"$*\";;" for m in self.machines)
        self.agent.write_text(f"#!/bin/bash\nnode=$1; shift\ncase $node in\n{cases}\nesac\n")
        self.agent.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in (*self.machines, self.switch):
            machine.kill()
        for cable in self.cables:
            cable.kill()
            cable.wait()
            cable.stdout.close()

    def limit(self, rate):
        """Limits what every node sends to a rate such as "100mbit"."""
        words = ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "64kb", "latency", "20ms"]
        for machine in self.machines:
            done = machine.run(words)
            if done.returncode != 0:
                raise RuntimeError(f"{machine.name}: {' '.join(words)}: {done.stderr}")

    def move_apart(self, seconds):
        """Puts a cable in place of the switch between two nodes, in which frames take so long one way."""
        processes = [str(machine.holder.pid) for machine in self.machines]
        cable = subprocess.Popen([sys.executable, Path(__file__).with_name("far.py"), *processes, str(seconds)],
                                 stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        if cable.stdout.readline() != "ready\n":
            raise RuntimeError("there is no cable")
        self.cables.append(cable)
        for index, machine in enumerate(self.machines):
            machine.ip("link", "del", "eth0")
            machine.ip("addr", "add", f"{NETWORK}.{10 + index}/24", "dev", "far0")
            machine.ip("link", "set", "far0", "up")

    def mpirun(self, ranks_per_node, command, environment=(), **options):
        """Runs a command on all nodes, adjacent ranks on the same one."""
        first = self.machines[0].holder.pid
        hosts = ",".join(f"{m.name}:{ranks_per_node}" for m in self.machines)
        parameters = {"plm": "rsh", "plm_rsh_agent": self.agent, "pml": "ob1", "btl": "self,vader,tcp",
                      "btl_tcp_if_include": f"{NETWORK}.0/24", "oob_tcp_if_include": f"{NETWORK}.0/24",
                      "btl_vader_single_copy_mechanism": "none", "mpi_yield_when_idle": 1,
                      "hwloc_base_binding_policy": "none"}
        words = ["nsenter", f"--net=/proc/{first}/ns/net", f"--uts=/proc/{first}/ns/uts", "mpirun",
                 "--allow-run-as-root", "--host", hosts, "-n", ranks_per_node * len(self.machines)]
        for name, value in parameters.items():
            words += ["--mca", name, value]
        for name in environment:
            words += ["-x", name]
        return subprocess.run([str(word) for word in [*words, *command]], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, **options)
