"""A cable between two machines in which frames take their time.

usage: far.py PROCESS PROCESS ONE_WAY_SECONDS
Each process is one of a machine's. It gets a network device "far0"; "ready" on standard output says so. The cable lies as
long as this process runs.
"""
import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
LONGEST_FRAME = 65536


def device_of(process):
    """A device in the network of another process: what is written to it arrives there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{process}/ns/net", "rb") as network:
        if libc.setns(network.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH14x", b"far0", IFF_TAP_WITHOUT_HEADER))
    return device


def main():
    devices = [device_of(process) for process in sys.argv[1:3]]
    seconds = float(sys.argv[3])
    print("ready", flush=True)
    on_the_way = deque()
    while True:
        wait = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        ready, _, _ = select.select(devices, [], [], wait)
        for device in ready:
            other = devices[1 - devices.index(device)]
            try:
                while True:
                    on_the_way.append((time.monotonic() + seconds, other, os.read(device, LONGEST_FRAME)))
            except BlockingIOError:
                pass
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, device, frame = on_the_way.popleft()
            try:
                os.write(device, frame)
            except OSError:
                pass  # the device is not up yet, or is full: the frame is lost, and TCP repeats it


if __name__ == "__main__":
    main()
