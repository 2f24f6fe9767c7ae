"""Allure results from the run's own session: profile, area and requirement as epic, feature and story.

allure-pytest writes the results; this hook only labels each test once, and attaches the exchanges that
the finding rests on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import allure
import pytest

from weighbridge.report.exchange_text import told
from weighbridge.suite import binding_of

if TYPE_CHECKING:
    from weighbridge.session import RunSession


class AllureLabels:
    """Labels and attachments for Allure; registered beside allure-pytest's own plugin."""

    def __init__(self, session: RunSession) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Label before the check runs; attach evidence afterwards, whatever it found."""
        bound = binding_of(getattr(item, "function", None))
        if bound is None:
            return (yield)
        catalogue, plan = self._session.catalogue, self._session.plan
        assert plan is not None  # noqa: S101 - set by the session's constructor
        for name in plan.profiles:
            if catalogue.profiles[name].surface == bound.surface and set(bound.ids) & set(plan.rows[name]):
                allure.dynamic.epic(name)
        row = catalogue.requirement(bound.ids[0])
        allure.dynamic.feature(row.area)
        for row_id in bound.ids:
            allure.dynamic.story(row_id)
        allure.dynamic.title(f"{' '.join(bound.ids)}: {row.title}")
        allure.dynamic.description(f"{row.statement}\n\n{row.why}")
        try:
            return (yield)
        finally:
            properties = dict(item.user_properties)
            allure.dynamic.label("verdict", str(properties.get("verdict", "")))
            self._attach(item)

    def _attach(self, item: pytest.Item) -> None:
        evidence = self._session.evidence
        finding = next(
            (found for name, found in self._session.findings.items() if name.endswith(f"::{item.name}")), None
        )
        if evidence is None or finding is None:
            return
        calls = {
            call.id: call for observation in evidence.observations.values() for call in observation.calls
        }
        for ref in finding.evidence[:3]:
            if ref in calls:
                allure.attach(told(calls[ref]), name=ref, attachment_type=allure.attachment_type.TEXT)
