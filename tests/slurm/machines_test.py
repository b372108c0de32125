"""The machines of a killed test disappear with it.

usage: machines_test.py [unittest arguments]
"""
import os
import subprocess
import sys
import unittest
from pathlib import Path

from cluster import wait_until
from machines import why_no_machines

OWNER = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from machines import Machine, connect
switch, machine = Machine("switch", sys.stderr), Machine("one", sys.stderr)
switch.ip("link", "add", "br0", "type", "bridge")
switch.ip("link", "set", "br0", "up")
connect(switch, machine, "10.99.0.10")
machine.start(["bash", "-c", "setsid sleep 1234567 & wait"], sys.stderr)
addresses = machine.run(["ip", "-o", "addr", "show", "eth0"]).stdout
print(machine.run(["hostname"]).stdout.strip(), addresses.count("10.99.0.10/24"), flush=True)
time.sleep(60)
"""


def sleepers():
    """Returns the machine's processes, as seen from outside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == b"sleep\0001234567\0":
                found.append(int(entry.name))
        except FileNotFoundError:
            pass
    return found


class MachinesTest(unittest.TestCase):
    def test_a_killed_test_leaves_no_process(self):
        before = set(sleepers())
        owner = subprocess.Popen([sys.executable, "-c", OWNER, Path(__file__).resolve().parent],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(owner.stdout.close)
        self.assertEqual(owner.stdout.readline(), "one 1\n")
        wait_until(lambda: set(sleepers()) - before, 10, "no process on the machine")
        inside = (set(sleepers()) - before).pop()
        self.assertNotEqual(os.readlink(f"/proc/{inside}/ns/net"), os.readlink("/proc/self/ns/net"))
        owner.kill()
        owner.wait()
        wait_until(lambda: inside not in sleepers(), 10, f"process {inside} of the machine is still there")


if __name__ == "__main__":
    WHY_NOT = why_no_machines()
    if WHY_NOT:
        print(f"skipped: {WHY_NOT}")
        sys.exit(77)
    unittest.main(verbosity=2)
