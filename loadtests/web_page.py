"""A page of its own in locust's web UI: the plots of the report, as far as the load has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from locust.env import Environment

from weighbridge.load.figures import Figures
from weighbridge.load.page import live_page
from weighbridge.load.plan import LoadPlan
from weighbridge.load.trust import Trust

PATH = "/weighbridge"


def add_page(environment: Environment, plan: LoadPlan, figures: Callable[[], tuple[Figures, Trust]]) -> None:
    """Serve the page; it renews itself while the load lasts.

    Args:
        environment: with a web UI.
        plan: what is loaded.
        figures: the figures so far, and whether they can be trusted.
    """
    web: Any = environment.web_ui

    def page() -> str:
        now, trust = figures()
        return live_page(plan, now, trust, running=_running(environment), back="/")

    web.app.add_url_rule(PATH, "weighbridge", web.auth_required_if_enabled(page))


def _running(environment: Environment) -> bool:
    return environment.runner is not None and environment.runner.state in {"spawning", "running"}
