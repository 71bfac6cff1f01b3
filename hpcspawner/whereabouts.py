"""Whether a server answers at its address."""

from __future__ import annotations

from tornado.httpclient import AsyncHTTPClient, HTTPClientError


async def answers(url: str, *, timeout: float = 5.0) -> bool:
    """Whether anything speaks HTTP there; any status counts, since the server may ask for a login."""
    try:
        await AsyncHTTPClient().fetch(
            url, request_timeout=timeout, connect_timeout=timeout, follow_redirects=False, validate_cert=False
        )
    except HTTPClientError as error:
        return error.code < 500 or error.code == 503 if error.code != 599 else False
    except (OSError, ValueError):
        return False
    return True
