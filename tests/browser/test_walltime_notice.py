"""A user in JupyterLab sees that the walltime of the job will end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from ..injobkit import Hub, Running, until

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("page_path", ["lab", "tree"])
def test_the_page_warns_before_the_walltime_ends(tmp_path: Path, page_path: str) -> None:
    with Hub() as hub, sync_playwright() as playwright:
        job = Running(tmp_path, hub).start(TEST_END=str(int(time.time()) + 290))
        until(lambda: hub.reports, "report")
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("HPCSPAWNER_TEST_CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        try:
            page = browser.new_page(extra_http_headers={"Authorization": "token the-servers-token"})
            page.goto(f"http://127.0.0.1:{hub.reports[0]['port']}/user/alice/{page_path}")
            page.wait_for_selector("text=reaches its walltime in 5 minutes", timeout=60_000)
        finally:
            browser.close()
            job.stop()
