"""localstripe for one test: in memory, on a free port of 127.0.0.1, which it prints. It ends when its standard input does.

Its own command listens on every address and keeps what it knows in a fixed file of the temporary folder.
"""

import os
import socket
import sys
import threading

from aiohttp import web
from localstripe import resources, server


def end_with_the_test():
    sys.stdin.read()
    os._exit(0)


type(resources.store).dump_to_disk = lambda store: None
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=end_with_the_test, daemon=True).start()
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None, access_log=None)
