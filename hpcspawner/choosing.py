"""The choice: form, URL and REST options of a start, validated in one place, and the last valid one remembered."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect
from traitlets import Unicode, default

from . import failure, form, hubapi, legacy, legacyoptions, menu, metrics, options, ownscript
from .fleet import Fleet, fleet
from .jobspawner import JobSpawner


class ChoosingSpawner(JobSpawner):
    """From what a user asked to a Choice of the site, or to an error that names field, value and limit."""

    site = Unicode(
        help="""Site file (path) or name of a preset. The environment variable HPCSPAWNER_SITE sets it for
        jupyterhub_config.py. The file is read once, when the hub starts; see docs/site-file.md.""",
    ).tag(config=True)

    state_directory = Unicode(
        help="""Directory on the hub for the journal of jobs, the instance id and the helper. It must survive a
        restart of the hub, belong to the hub's account, and lie beside the hub's database in backups. Two hubs never
        share one.""",
    ).tag(config=True)

    @default("site")
    def _default_site(self) -> str:
        return os.environ.get("HPCSPAWNER_SITE", "demo")

    @default("state_directory")
    def _default_state_directory(self) -> str:
        return os.path.abspath("hpcspawner-state")

    @default("env_keep")
    def _default_env_keep(self) -> list[str]:
        # A node's PATH or language is no business of the hub's environment.
        return []

    def __init__(self, **kwargs: Any) -> None:
        self._choice: options.Choice | None = None
        self._own: dict[str, str] = {}
        self._rejected: tuple[float, options.OptionError, dict[str, Any]] | None = None
        super().__init__(**kwargs)
        self.begin_fleet()

    @classmethod
    def section_names(cls) -> list[str]:
        """Also names batchspawner's class for each of the site's schedulers, so that its req_* settings reach us."""
        names = super().section_names()
        at = names.index("BatchSpawnerBase") + 1
        return [*names[:at], *(c for c in _legacy_sections if c not in names), *names[at:]]

    def begin_fleet(self) -> None:
        """Joins the fleet of this process, and starts it where this is the first spawner of all."""
        self.fleet: Fleet = fleet(self.site, self.state_directory, self.log)
        if use_legacy_sections({c.cluster.scheduler for c in self.fleet.site.clusters.values()}):
            self._load_config(self.config)
            for sentence in legacy.without_effect(self._configured(), scripted=self.scripted):
                self.log.warning("batchspawner setting: %s", sentence)
        self.fleet.on_change = metrics.job_changed
        if self.user is None:  # a class made for its help texts
            return
        session = inspect(self.orm_spawner).session if self.orm_spawner is not None else None
        self.fleet.begin(lambda: hubapi.known_tags(session))

    @property
    def scripted(self) -> bool:
        """Whether jobs run the site's own batch_script."""
        return bool(self.batch_script) and self.fleet.site.allow_scripts

    def _configured(self) -> dict[str, Any]:
        return {name: value for section in self.section_names() for name, value in self.config[section].items()}

    # Asked -------------------------------------------------------------------------------------------------------

    async def _default_form(self) -> str:
        site, person = self.fleet.site, await self.person()
        shown = menu.describe(site, person, self.fleet.inventories(), self.fleet.inventory.ages())
        error, posted = self._recent_rejection()
        ending = self.last_ending.words
        return form.render(shown, self._last or None, error, posted, problems=self.fleet_problems(), ending=ending)

    @default("options_form")
    def _options_form_default(self) -> Any:
        return lambda spawner: spawner._default_form()

    def fleet_problems(self) -> list[str]:
        """What users should know before they start: a cluster that does not answer."""
        found = []
        for name, cluster in self.fleet.site.clusters.items():
            if self.fleet.drains.text(name):
                found.append(f"{cluster.title or name} takes no new servers: {self.fleet.drains.text(name)}")
            _, age, problem = self.fleet.inventory.get(name)
            if problem:
                told = f"; figures are {round(age / 60)} min old" if age is not None else ""
                found.append(f"{name}: the scheduler does not answer at the moment ({problem}){told}")
        return found

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        """Fields of the chosen card only; of a site's own form, all. Not yet validated."""
        if "options_form" in self._configured():
            # The hub's own field comes along.
            return lambda form_data: {name: value for name, value in form_data.items() if name != "_xsrf"}
        return lambda form_data: form.parse(form_data)

    def options_from_query(self, query_data: dict[str, list[str]]) -> dict[str, Any]:
        """Options of the URL (?opt-cores=2); a name given twice is refused by the validation."""
        return {name: values[0] if len(values) == 1 else values for name, values in query_data.items()}

    async def person(self) -> options.Person:
        """Who the server is for; rules look at the owner, not at the admin who starts it."""
        groups = [group.name for group in self.user.groups]
        return await self.fleet.person(self.user.name, groups, admin=bool(self.user.admin))

    # Validated ---------------------------------------------------------------------------------------------------

    async def _run_apply_user_options(self, user_options: Any) -> None:
        """The one place that form, URL and REST pass. A site's own hook runs after it, never instead."""
        try:
            self._choice = await self.choose(user_options)
            self._own = self._own_options(user_options)
        except options.OptionError as error:
            self._refuse(error, user_options)
            raise failure.refused_choice(str(error)) from error
        self._refuse_drained(self._choice, user_options)
        self._rejected = None
        self._last = {**self._choice.canonical(), **self._own}
        self._remember(self._last)
        if self.apply_user_options:
            await super()._run_apply_user_options(self.user_options)

    def _refuse_drained(self, choice: options.Choice, given: Any) -> None:
        text = self.fleet.drains.text(choice.cluster)
        if text:
            title = self.fleet.cluster(choice.cluster).title or choice.cluster
            error = options.OptionError("cluster", choice.cluster, f"{title} takes no new servers: {text}")
            self._choice = None
            self._refuse(error, given)
            raise failure.drained(error.text) from error

    async def choose(self, given: Any) -> options.Choice:
        """Validates against the site, the person and the live inventory; raises OptionError."""
        if not isinstance(given, Mapping):
            raise options.OptionError(
                "options", repr(type(given).__name__), "options must be an object of names and values"
            )
        asked = {name: value for name, value in given.items() if name not in self._own_names()}
        if not asked.get("profile"):
            asked = {**self._legacy_defaults(asked), **asked}
        return options.validate(self.fleet.site, asked, await self.person(), self.fleet.inventory.fresh())

    def _own_names(self) -> tuple[str, ...]:
        return self.fleet.site.legacy_options if self.scripted else ()

    def _own_options(self, given: Mapping[str, Any]) -> dict[str, str]:
        """What only the site's own batch script knows; raises OptionError."""
        try:
            return legacyoptions.read(given, self._own_names())
        except ValueError as error:
            name, _, text = str(error).partition(": ")
            raise options.OptionError(name, given.get(name), text) from None

    async def script_fields(self, choice: options.Choice) -> dict[str, Any]:
        """For the helper's verb submit: the site's own script, where it is used. Raises ValueError in words."""
        if not self.scripted:
            return {}
        configured = self._configured()
        account = {"username": self.user.name, "homedir": await self.fleet.home(self.user.name)}
        mark = "HPCSPAWNER_" + secrets.token_hex(16)
        scheduler = self.fleet.cluster(choice.cluster).cluster.scheduler
        traits = legacy.traits_of(legacy.class_of(scheduler), configured)
        own = {**{name: str(traits.get("req_" + name, "")) for name in self._own_names()}, **self._own}
        values = ownscript.variables(choice, own, traits, account, mark)
        command = ownscript.wrapped(configured, self.cmd)
        if command:
            self._plain = True
            self.persist()
        return {"script": {"text": ownscript.render(self.batch_script, values), "mark": mark, "command": command}}

    def _legacy_defaults(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if self.fleet.site.profiles:
            return {}
        configured = self._configured()
        values = {name: getattr(self, name, "") or configured.get(name) for name in legacy.DEFAULTS}
        found = legacy.defaults(values)
        if "queue" in asked:
            found.pop("partition", None)
        return {option: value for option, value in found.items() if option not in asked}

    def _refuse(self, error: options.OptionError, given: Any) -> None:
        """Puts the last valid choice back: the hub stores what is posted before it asks whether it is allowed."""
        posted = dict(given) if isinstance(given, Mapping) else {}
        # The hub draws the form again from the user's DEFAULT server, whichever one was asked for.
        for spawner in {id(s): s for s in (self, self.user.spawners.get(""))}.values():
            if isinstance(spawner, ChoosingSpawner):
                spawner._rejected = (time.monotonic(), error, posted)
        self._remember(self._last)

    def _remember(self, choice: Mapping[str, Any]) -> None:
        if self.orm_spawner is not None:
            self.orm_spawner.user_options = dict(choice)
            inspect(self.orm_spawner).session.commit()
        self.user_options = dict(choice)

    def _recent_rejection(self) -> tuple[options.OptionError | None, dict[str, Any] | None]:
        """The error of the POST whose answer is being drawn; shown once."""
        rejected, self._rejected = self._rejected, None
        if rejected is None or time.monotonic() - rejected[0] > 5:
            return None, None
        return rejected[1], rejected[2]


_legacy_sections: list[str] = []


def use_legacy_sections(scheduler_names: set[str]) -> bool:
    """Lets the settings of batchspawner's classes for these schedulers reach HPCSpawner; True where one is new."""
    found = {cls.__name__ for cls in map(legacy.class_of, sorted(scheduler_names)) if cls is not None}
    new = sorted(found.difference(_legacy_sections))
    _legacy_sections.extend(new)
    return bool(new)
