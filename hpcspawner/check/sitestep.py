"""The first step: the site file."""

from __future__ import annotations

from .. import sitefile
from ..sitechoice import VARIABLE
from ..sitemodel import Site
from .steps import Steps


def read(steps: Steps, source: str) -> Site | None:
    """The site; None where it cannot be used."""
    if not source:
        known = ", ".join(sitefile.presets())
        steps.fail(
            "site file",
            "none was named",
            f"hpcspawner check SITE, or set {VARIABLE}; a file, or one of the presets {known}",
            "`hpcspawner discover > site.yaml` writes a first file from the live scheduler",
        )
        return None
    try:
        path = sitefile.find(source)
        site = sitefile.read(source)
    except sitefile.SiteError as error:
        count = len(error.problems)
        steps.fail(
            "site file",
            f"{source} has {count} problem{'s' if count > 1 else ''}",
            "docs/reference-site.md lists every key; `hpcspawner site schema` lets an editor complete and check them",
            lines=[str(problem) for problem in error.problems],
        )
        return None
    steps.ok("site file", f"{path}: {_summary(site)}")
    return site


def _summary(site: Site) -> str:
    counted = {"cluster": site.clusters, "profile": site.profiles, "environment": site.environments, "app": site.apps}
    parts = [f"{len(them)} {noun}{'' if len(them) == 1 else 's'}" for noun, them in counted.items() if them]
    return ", ".join([*parts, *(["free choice"] if site.free_choice else [])])
