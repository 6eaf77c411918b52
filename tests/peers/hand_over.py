"""Hands sockets over as systemd does (sd_listen_fds(3)), and becomes the command.

    hand_over.py NAMES COMMAND...     NAMES are those of the descriptors, between colons

The descriptors come as a message (SCM_RIGHTS) on standard input, so that they are inherited by this command alone. With
LISTEN_PID in the environment that one is kept: a mistake that a test makes.
"""

import os
import socket
import sys

names, command = sys.argv[1], sys.argv[2:]
with socket.socket(fileno=0) as sender:
    _, descriptors, _, _ = socket.recv_fds(sender, 1, 16)
    # Out of the way first: one of them may have a number that another is to have.
    descriptors = [os.dup2(descriptor, 100 + n) for n, descriptor in enumerate(descriptors)]
for n, descriptor in enumerate(descriptors):
    os.dup2(descriptor, 3 + n, inheritable=True)
os.closerange(3 + len(descriptors), 200)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0, inheritable=True)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.environ.update(LISTEN_FDS=str(len(descriptors)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
