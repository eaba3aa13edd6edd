"""
A cable between two network namespaces: link.py NEAR FAR DEVICE. Each end is a TUN device DEVICE0 or DEVICE1 with an address of
192.0.2.0/30, and what the kernel sends into one comes out of the other. A line on standard input says what the cable does:

    whole     everything passes at once
    cut       nothing passes, and nobody is told
    bad       of 100 packets 5 are lost, 25 overtake the others, and the rest takes 20 ms

It needs root, and no module of the kernel beside tun; netem, which could do this too, is not in every kernel.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001

near, far, device = sys.argv[1:]


def end(index, namespace):
    name = f"{device}{index}"
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_WITHOUT_HEADER))
    subprocess.run(["ip", "link", "set", name, "netns", namespace], check=True)
    subprocess.run(["ip", "-n", namespace, "address", "add", f"192.0.2.{index + 1}/30", "dev", name], check=True)
    subprocess.run(["ip", "-n", namespace, "link", "set", name, "up"], check=True)
    return fd


ends = [end(0, near), end(1, far)]
print("ready", flush=True)

state = "whole"
dice = random.Random(1)
# When, in which order of coming, to which end, what.
late = []
count = 0
while True:
    patience = max(0, late[0][0] - time.monotonic()) if late else None
    readable, _, _ = select.select([*ends, sys.stdin], [], [], patience)
    if sys.stdin in readable:
        line = sys.stdin.readline()
        if line == "":
            sys.exit(0)
        state = line.strip()
        late.clear()
        print(state, flush=True)
    for fd in readable:
        if fd not in ends:
            continue
        packet = os.read(fd, 65536)
        other = ends[1 - ends.index(fd)]
        if state == "whole":
            os.write(other, packet)
        elif state == "bad" and dice.random() >= 0.05:
            delay = 0 if dice.random() < 0.25 else 0.02
            count += 1
            heapq.heappush(late, (time.monotonic() + delay, count, other, packet))
    while late and late[0][0] <= time.monotonic():
        _, _, other, packet = heapq.heappop(late)
        os.write(other, packet)
