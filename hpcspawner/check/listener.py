"""The hub's side of the check: a tiny HTTP server that the small job calls in place of the hub."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from types import TracebackType
from urllib.parse import urlsplit

from .. import __version__
from ..sitemodel import ClusterSite

REPORT = "/batchspawner"


class Listener:
    """Listens while the block runs; notes when somebody called.

    It takes the port of the cluster's hub_url where no hub listens there now, so that the firewall's rule for it is
    tried; else a port that the OS gives.
    """

    def __init__(self, cluster: ClusterSite, hub_ip: str, *, local: bool) -> None:
        self.hub_url = cluster.hub_url.rstrip("/")
        parts = urlsplit(self.hub_url)
        self.host = hub_ip or parts.hostname or ("127.0.0.1" if local else socket.gethostname())
        self._loopback = local and self.host == "127.0.0.1"
        self._wish = parts.port or 0 if parts.scheme == "http" and self.host == parts.hostname else 0
        self._server: asyncio.Server | None = None
        self.port = 0
        self.called: list[float] = []
        """This machine's clock at each call."""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/hub/api"

    @property
    def urls(self) -> list[str]:
        """What the job is to call, in the form of the URLs that servers report to."""
        return [url + REPORT for url in dict.fromkeys((self.url, self.hub_url)) if url]

    @property
    def stands_in(self) -> bool:
        """Whether it listens where the hub itself will."""
        return bool(self._wish) and self.port == self._wish

    async def __aenter__(self) -> Listener:
        try:
            made = self._socket(self._wish)
        except OSError as error:
            # A hub runs there already, or only root may listen there.
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            made = self._socket(0)
        self.port = int(made.getsockname()[1])
        self._server = await asyncio.start_server(self._answer, sock=made)
        return self

    def _socket(self, port: int) -> socket.socket:
        """One port for IPv4 and IPv6: asyncio would take a different one for each."""
        if self._loopback:
            return socket.create_server(("127.0.0.1", port))
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = time.time()
        try:
            line = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            if line.startswith(b"GET /hub/api"):
                self.called.append(now)
            body = json.dumps({"message": "hpcspawner check", "version": __version__}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
