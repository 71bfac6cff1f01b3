"""Talks to the running hub's API, for the admin's commands."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

URL = "http://127.0.0.1:8081/hub/api"
"""Where a hub on this machine listens, unless it is told otherwise."""
TIMEOUT = 120.0


class HubError(Exception):
    """The hub was not reached, or refused; str() says why."""


class Hub:
    """One hub. url: of its API; '': JUPYTERHUB_API_URL, else this machine. token_file: '': JUPYTERHUB_API_TOKEN."""

    def __init__(self, url: str = "", token_file: str = "") -> None:
        self.url = (url or os.environ.get("JUPYTERHUB_API_URL") or URL).rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HubError(f"--hub: {self.url!r} must look like {URL}")
        self._token = Path(token_file).read_text("utf-8") if token_file else os.environ.get("JUPYTERHUB_API_TOKEN", "")
        self._token = self._token.strip()
        if not self._token:
            raise HubError("a token of the hub is needed: --token-file FILE, or the variable JUPYTERHUB_API_TOKEN")
        if not self._token.isascii() or not self._token.isprintable():
            raise HubError(f"{token_file or 'JUPYTERHUB_API_TOKEN'}: holds no token")

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The hub's answer; path: below /hub/api/hpcspawner/. Raises HubError."""
        request = urllib.request.Request(  # noqa: S310  the scheme was looked at
            f"{self.url}/hpcspawner/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self._token}", "Content-Type": "application/json"},
        )
        # A proxy of the admin's shell must not see the token.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise HubError(_refused(error, self.url)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise HubError(f"the hub at {self.url} does not answer: {reason}") from None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise HubError(f"{self.url} is not the API of a hub")
        return found


def _refused(error: urllib.error.HTTPError, url: str) -> str:
    try:
        text = str(json.loads(error.read())["message"])
    except (ValueError, KeyError, TypeError, OSError):
        text = str(error.reason)
    if error.code == 403:
        return f"the hub does not allow it: {text} (the token needs the scope admin:servers)"
    if error.code == 404 and "hpcspawner" not in text and text in ("Not Found", ""):
        return f"{url} knows no hpcspawner; is HPCSpawner its spawner?"
    return text
