"""What dask_gateway_config.py asks: which site, where things lie, and who may log in."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import sitechoice

BACKEND = "hpcspawner.gateway.HPCBackend"


def choose_site(address: str) -> sitechoice.Chosen:
    """The site, by the same rule as the hub's; ends the gateway with the reason otherwise. address: HOST:PORT."""
    try:
        chosen = sitechoice.choose(os.environ, shutil.which, os.getuid(), host_of(address))
    except sitechoice.NoSite as error:
        raise SystemExit(f"hpcspawner: {error}") from None
    for reason in chosen.reasons:
        print(f"hpcspawner: {reason}", flush=True)
    return chosen


def host_of(address: str) -> str:
    """The host of HOST:PORT; '' where it listens on all addresses of the machine."""
    return urlsplit(f"//{address}").hostname or ""


def state_directory() -> Path:
    """Where database, journal and keys lie; only the gateway's account may enter."""
    path = Path(os.environ.get("HPCSPAWNER_GATEWAY_STATE", "hpcspawner-gateway")).absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def kept(path: Path, make: Any) -> str:
    """A secret in a file (0600) that is made once."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(make() + "\n")
    return path.read_text().strip()


def encryption_key(state: Path) -> str:
    """Encrypts tokens and TLS keys in the database. Lost, the running clusters are lost."""
    return kept(state / "encryption.key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def login(c: Any, state: Path, address: str, environ: Mapping[str, str] = os.environ) -> None:
    """The hub's users where the gateway is a service of a hub; else a password to try it, on this machine only."""
    if environ.get("JUPYTERHUB_API_TOKEN"):
        c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
        return
    if not sitechoice.loopback(host_of(address)) or not host_of(address):
        # Whoever knows the one password may act for everybody.
        raise SystemExit(
            "hpcspawner: without a hub (JUPYTERHUB_API_TOKEN) the gateway listens on 127.0.0.1 only; "
            "start it as a service of JupyterHub, or set an authenticator in a configuration of your own"
        )
    password = kept(state / "password", lambda: secrets.token_urlsafe(12))
    c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
    c.SimpleAuthenticator.password = password
    print(f"\n  Dask Gateway: http://{address}   BasicAuth(<account>, {password!r})\n", flush=True)
