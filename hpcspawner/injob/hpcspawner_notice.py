"""Tells a user in JupyterLab and Notebook that the walltime of the job will end.

A front-end extension without a build: the page loads the script below, as it loads any federated extension.
"""

from __future__ import annotations

import json
import os
from typing import Any, Optional

NAME = "hpcspawner"
OPTION = "hpcspawnerEnds"
"""Key of the page's configuration: when the walltime ends, in seconds since the epoch."""

PACKAGE = {
    "name": NAME,
    "version": "1.0.0",
    "jupyterlab": {"extension": True, "_build": {"load": "static/remoteEntry.js", "extension": "./extension"}},
}

SCRIPT = """
(() => {
  const MINUTES = [30, 10, 5, 1];
  let shares;
  const load = async name => (await Object.values(shares[name])[0].get())();
  const text = minutes => {
    const left = minutes === 1 ? '1 minute' : minutes + ' minutes';
    return 'This server\\'s job reaches its walltime in ' + left + '. Save your work: everything in it ends then.';
  };
  const plugin = {
    id: 'hpcspawner:walltime',
    autoStart: true,
    activate: async app => {
      const { PageConfig } = await load('@jupyterlab/coreutils');
      const { Notification } = await load('@jupyterlab/apputils');
      const ends = 1000 * Number(PageConfig.getOption('hpcspawnerEnds'));
      if (!ends) return;
      let told = Infinity, id = '';
      const look = () => {
        const left = (ends - Date.now()) / 60000;
        const due = MINUTES.filter(each => left <= each + 0.1).pop();
        if (due === undefined || due >= told || left <= 0) return;
        told = due;
        if (id) Notification.dismiss(id);
        id = Notification.warning(text(Math.max(1, Math.round(left))), { autoClose: false });
      };
      // Before the page is complete, a notice would go to the list of notices without being shown.
      Promise.resolve(app.restored).then(look);
      // Timers sleep with a laptop and in hidden tabs; the clock is right again with the next look.
      setInterval(look, 10000);
    }
  };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.hpcspawner = {
    init: given => { shares = given; },
    get: async () => () => ({ __esModule: true, default: plugin })
  };
})();
"""


def write(share: str) -> None:
    """Writes the extension below a directory of JUPYTER_PATH. Raises OSError."""
    folder = os.path.join(share, "labextensions", NAME)
    os.makedirs(os.path.join(folder, "static"), 0o700)
    with open(os.path.join(folder, "package.json"), "w", encoding="utf-8") as file:
        json.dump(PACKAGE, file)
    with open(os.path.join(folder, "static", "remoteEntry.js"), "w", encoding="utf-8") as file:
        file.write(SCRIPT)


def tell(app: Any, ends: Optional[float]) -> None:
    """Puts the end of the walltime into the pages of a Jupyter server."""
    if ends:
        app.web_app.settings.setdefault("page_config_data", {})[OPTION] = str(int(ends))
