"""Runs HAProxy with haproxy.cfg on a free port, prints the port, ends at the end of its input.

    run_haproxy.py TRISTACK_ADDRESS CERTIFICATE_AND_KEY.pem

The listening socket is handed over as a file descriptor, so no port has to be guessed.
"""

import os
import pathlib
import socket
import subprocess
import sys

tristack, certificate = sys.argv[1:3]
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
environment = os.environ | {
    "LISTEN": f"fd@{listener.fileno()}",
    "CERTIFICATE": certificate,
    "TRISTACK": tristack,
}
configuration = pathlib.Path(__file__).with_name("haproxy.cfg")
with subprocess.Popen(
    ["haproxy", "-db", "-f", str(configuration)],
    pass_fds=[listener.fileno()],
    env=environment,
    stdout=sys.stderr,
) as haproxy:
    # Connections wait in the socket's queue until HAProxy takes them.
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
    haproxy.terminate()
