"""On which addresses and ports a process listens."""

import psutil


def listening(pid=None):
    """Return (address, port) of everything on which this process, or process ``pid``, listens."""
    process = psutil.Process(pid)
    connections = getattr(process, "net_connections", None) or process.connections  # before psutil 6
    return {tuple(one.laddr) for one in connections(kind="inet") if one.status == psutil.CONN_LISTEN}
