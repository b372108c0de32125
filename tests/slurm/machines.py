"""Temporary "machines" within this one: each has its own host name, network, processes and /dev/shm.

A machine is a set of Linux namespaces that exists as long as one process, its `unshare`. The kernel kills
that process when this Python ends for any reason, and with it the machine's processes, mounts, network and
shared memory, so that nothing is left to clean up.
"""
import ctypes
import os
import shutil
import signal
import subprocess

# Reaps orphaned processes, like the first process of a real machine.
FIRST_PROCESS = r"""
hostname "$0"
mount -t tmpfs -o size=512m tmpfs /dev/shm
ip link set lo up
echo ready
while :; do sleep 3600 & wait $!; done
"""
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def why_no_machines():
    """Returns why machines cannot be made here; "" if they can."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    for tool in ("unshare", "nsenter", "ip", "hostname"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    trial = ["unshare", "--net", "--uts", "--mount", "--pid", "--ipc", "--fork", "--mount-proc", "bash", "-c",
             "ip link add name trial0 type bridge && ip link add name trial1 type veth peer name trial2 && "
             "mount -t tmpfs tmpfs /dev/shm"]
    done = subprocess.run(trial, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"namespaces cannot be made here: {done.stderr.strip()}"


class Machine:
    def __init__(self, name, log):
        self.name = name
        self.processes = []
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc",
             "--propagation", "private", "bash", "-c", FIRST_PROCESS, name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=die_with_parent)
        if self.holder.stdout.readline() != "ready\n":
            raise RuntimeError(f"machine {name} did not start")

    def enter(self, command, cwd="/"):
        pid = self.holder.pid
        return ["nsenter", f"--net=/proc/{pid}/ns/net", f"--uts=/proc/{pid}/ns/uts", f"--mount=/proc/{pid}/ns/mnt",
                f"--ipc=/proc/{pid}/ns/ipc", f"--pid=/proc/{pid}/ns/pid_for_children", f"--wd={cwd}",
                *map(str, command)]

    def start(self, command, log, **options):
        """Starts a daemon on this machine."""
        process = subprocess.Popen(self.enter(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=die_with_parent, **options)
        self.processes.append(process)
        return process

    def run(self, command, cwd=None, **options):
        return subprocess.run(self.enter(command, cwd or os.getcwd()), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, **options)

    def ip(self, *words):
        done = self.run(["ip", *words])
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: ip {' '.join(words)}: {done.stderr}")

    def kill(self):
        """Ends every process of the machine at once, like a loss of power."""
        self.holder.kill()
        for process in (self.holder, *self.processes):
            process.wait(timeout=20)
        self.holder.stdout.close()


def connect(switch, machine, address):
    """Connects the machine's eth0 to the bridge br0 of `switch`."""
    port = f"to-{machine.name}"
    switch.ip("link", "add", port, "type", "veth", "peer", "name", f"{port}-far")
    # Only this process, outside of both machines, can move the far end between them.
    subprocess.run(["nsenter", f"--net=/proc/{switch.holder.pid}/ns/net", "ip", "link", "set", f"{port}-far",
                    "netns", str(machine.holder.pid)], check=True)
    machine.ip("link", "set", f"{port}-far", "name", "eth0")
    machine.ip("addr", "add", f"{address}/24", "dev", "eth0")
    machine.ip("link", "set", "eth0", "up")
    switch.ip("link", "set", port, "master", "br0", "up")
