from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from .world import Process, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def start(world: World, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts hub processes; all are closed at the end."""
    running: list[Process] = []

    async def begin(process: Process | None = None, **settings: Any) -> Process:
        process = process or Process(world, tmp_path / f"hub{len(running)}", **settings)
        running.append(process)
        await process.queue.begin()
        return process

    (tmp_path / "hub0").mkdir()
    yield begin
    for process in running:
        await process.close()
    await asyncio.sleep(0)


@pytest.fixture
async def hub(start: Callable[..., Any]) -> Process:
    process: Process = await start()
    return process
