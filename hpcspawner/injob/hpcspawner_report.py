"""Tells the hub where the server listens, for as long as it takes."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

PROTOCOL = 1
SLOWEST = 30.0
"""Seconds between two tries, at most."""


class Refused(Exception):
    """The hub does not want this server; trying again is useless. The text says why."""


class Answer(NamedTuple):
    status: int
    """0: there was no answer."""
    text: str
    hubs: bool
    """It is the hub's own answer, not the page of a proxy or of a maintenance mode."""
    after: Optional[float] = None
    """Seconds that the answer asks to wait."""
    version: str = ""
    """The hub's version, where it told."""


def deliver(
    report: Mapping[str, Any],
    body: Mapping[str, Any],
    environ: Mapping[str, str],
    log: Callable[[str], None],
    wait: Callable[[float], bool],
) -> bool:
    """Sends the body until the hub takes it; True when it has.

    report has "urls" and "proxy". wait(seconds) sleeps and returns True when there is no point in
    going on; then the result is False. Raises Refused when the hub says no for good.
    """
    pause, told = 0.5, ""
    while True:
        for url in report.get("urls") or ():
            answer = send(url, body, environ, report.get("proxy") or "")
            if answer.status in (200, 201, 204):
                return True
            if answer.hubs and 400 <= answer.status < 500 and answer.status not in (408, 409, 425, 429):
                raise Refused("the hub refused the server ({}): {}".format(answer.status, answer.text))
            text = "{} {}".format(answer.status or "no answer", answer.text).strip()
            if text != told:
                log("the hub at {} has not taken the report: {}; trying again".format(url, text))
                told = text
        if wait(max(pause * (0.8 + 0.4 * os.urandom(1)[0] / 255), min(answer.after or 0, 300.0))):
            return False
        pause = min(pause * 2, SLOWEST)


def send(
    url: str,
    body: Optional[Mapping[str, Any]],
    environ: Mapping[str, str],
    proxy: str = "",
    timeout: float = 20.0,
) -> Answer:
    """One POST of the body as JSON with the server's token (a GET without both where body is None); never raises."""
    from http.client import HTTPException

    headers: Dict[str, str] = {"Accept": "application/json"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        headers["Authorization"] = "token " + environ.get("JUPYTERHUB_API_TOKEN", "")
    try:
        connection = _connect(url, environ, proxy, timeout)
        try:
            parts = urlsplit(url)
            path = url if proxy and parts.scheme != "https" else (parts.path or "/")
            connection.request("GET" if body is None else "POST", path, data, headers)
            response = connection.getresponse()
            text = response.read(65536).decode("utf-8", "replace")
            return _answer(response.status, text, response.getheader("Retry-After") or "")
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError) as error:
        return Answer(0, "{}: {}".format(type(error).__name__, error), False)


def _connect(url: str, environ: Mapping[str, str], proxy: str, timeout: float) -> Any:
    from http.client import HTTPConnection, HTTPSConnection

    parts = urlsplit(url)
    through = urlsplit(proxy) if proxy else parts
    if not through.hostname or not parts.hostname:
        raise ValueError("{!r} is no URL with a host".format(proxy or url))
    if parts.scheme != "https":
        return HTTPConnection(through.hostname, through.port or 80, timeout=timeout)
    port = through.port or (3128 if proxy else 443)
    connection = HTTPSConnection(through.hostname, port, timeout=timeout, context=_tls(environ))
    if proxy:
        connection.set_tunnel(parts.hostname, parts.port or 443)
    return connection


def _tls(environ: Mapping[str, str]) -> Any:
    import ssl

    # JupyterHub's internal_ssl: the hub shows a certificate of its own authority and wants to see ours.
    context = ssl.create_default_context(cafile=environ.get("JUPYTERHUB_SSL_CLIENT_CA") or None)
    certificate = environ.get("JUPYTERHUB_SSL_CERTFILE")
    if certificate:
        context.load_cert_chain(certificate, environ.get("JUPYTERHUB_SSL_KEYFILE") or None)
    return context


def _answer(status: int, text: str, after: str) -> Answer:
    try:
        told = json.loads(text) if text else None
    except ValueError:
        told = None
    seconds = float(after) if after.isdigit() else None
    if not isinstance(told, dict):
        return Answer(status, "", False, seconds)
    words = str(told.get("message") or "")
    return Answer(status, words, "message" in told, seconds, str(told.get("version") or ""))
