"""Temporary nodes for `mpirun`, without Slurm: machines on one switch, whose links may be slow or far.

mpirun itself and the ranks of the first node keep this machine's processes and files; the others have their own.
"""
import os
import subprocess
import sys
from pathlib import Path

from machines import Machine, connect

NETWORK = "10.99.1"


class Nodes:
    """A context manager; `scratch` is a directory for the launcher's agent."""

    def __init__(self, count, scratch):
        self.switch = Machine("switch", sys.stderr)
        self.switch.ip("link", "add", "br0", "type", "bridge")
        self.switch.ip("link", "set", "br0", "up")
        self.machines = []
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

    def limit(self, rate=None, delay=None):
        """Limits every link in both directions, to a rate such as "100mbit" or by a delay such as "10ms" one way."""
        ends = [(m, "eth0") for m in self.machines] + [(self.switch, f"to-{m.name}") for m in self.machines]
        for machine, port in ends:
            machine.run(["tc", "qdisc", "del", "dev", port, "root"])
        if rate:
            limits = [(end, ["tbf", "rate", rate, "burst", "64kb", "latency", "200ms"]) for end in ends]
        else:
            limits = [(end, ["netem", "delay", delay, "limit", "100000"]) for end in ends[:len(self.machines)] if delay]
        for (machine, port), words in limits:
            done = machine.run(["tc", "qdisc", "add", "dev", port, "root", *words])
            if done.returncode != 0:
                raise RuntimeError(f"{machine.name}: tc {' '.join(words)}: {done.stderr}")

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
