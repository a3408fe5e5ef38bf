"""Real servers without an installation: PostgreSQL and Valkey from Python wheels.

They run as children of this process, listen on unix sockets only, and keep everything below one
folder, the hub's `var`. Should this process die, however suddenly, they stop by themselves; what a
dead process left behind all the same is recognised by its process id *and* start time, and stopped
at the next start. Nothing is ever done to a server that the hub did not start.

Call from the main thread: Linux stops a child when the *thread* that started it ends.
"""

from hub.embedded._places import log_file
from hub.embedded._postgres import find_postgres, start_postgres
from hub.embedded._process import AlreadyRunning, Server, ServerError
from hub.embedded._redis import find_redis, start_redis
from hub.embedded._servers import Servers, running_servers, start_servers

__all__ = [
    "AlreadyRunning",
    "Server",
    "ServerError",
    "Servers",
    "find_postgres",
    "find_redis",
    "log_file",
    "running_servers",
    "start_postgres",
    "start_redis",
    "start_servers",
]
