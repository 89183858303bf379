"""A ZooKeeper server on 127.0.0.1:2181, and a client of it that obeys its standard input.

Usage: zookeeper.py LIBS_FOLDER DATA_FOLDER. LIBS_FOLDER holds ZooKeeper's jars (Apache Kafka 3.9 brings them). Says
`ready` when it serves, then answers every line with `ok`:

    set PATH DATA     a node, with those above it
    delete PATH
    kill              SIGKILL of the server
    start             the server again, with what it had stored

Ends with its standard input.
"""

import subprocess
import sys

from kazoo.client import KazooClient

PORT = 2181
libs, data = sys.argv[1:3]


def start():
    server = subprocess.Popen(
        ["java", "-Xmx128m", "-cp", f"{libs}/*", "-Dzookeeper.admin.enableServer=false",
         "org.apache.zookeeper.server.ZooKeeperServerMain", str(PORT), data],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    client = KazooClient(hosts=f"127.0.0.1:{PORT}", timeout=30)
    client.start(timeout=60)
    return server, client


server, client = start()
print("ready", flush=True)
try:
    for line in sys.stdin:
        command, *words = line.split()
        if command == "set":
            client.ensure_path(words[0])
            client.set(words[0], " ".join(words[1:]).encode())
        elif command == "delete":
            client.delete(words[0])
        elif command == "kill":
            client.stop()
            server.kill()
            server.wait()
        elif command == "start":
            server, client = start()
        print("ok", flush=True)
finally:
    server.kill()
    server.wait()
