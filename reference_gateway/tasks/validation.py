"""Validation of submissions, by the table of task models in the configuration.

Sources: public docs, API Overview (20002 names what is missing), Errors, and the model pages.
"""

from collections.abc import Mapping

from reference_gateway.config import FieldRule, TaskModel
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject
from reference_gateway.validation.fields import check, check_rules, invalid

# What nearly every model of an endpoint needs; used to name all that is missing when the model itself is.
_USUALLY_REQUIRED: Mapping[str, tuple[str, ...]] = {"images": ("prompt",), "videos": ("prompt",)}
_BASE_RULES: Mapping[str, FieldRule] = {
    "prompt": FieldRule(type="string"),
    "n": FieldRule(type="integer", low=1, high=10),
}


class TaskValidator:
    """Finds the model of a submission and checks the rest by its rules. Fields without a rule go to the provider."""

    def __init__(self, models: Mapping[str, TaskModel]) -> None:
        self._models = models

    def validate(self, endpoint: str, body: JsonObject) -> TaskModel:
        """The model; raises `GatewayError` (400)."""
        model = self.find(endpoint, body)
        self.check_required(body, model.required)
        check_rules(body, {**_BASE_RULES, **model.fields})
        return model

    def find(self, endpoint: str, body: JsonObject) -> TaskModel:
        """The model a body names, if it is served at this endpoint."""
        if self.is_missing(body, "model"):
            self.check_required(body, ("model", *_USUALLY_REQUIRED.get(endpoint, ())))
        name = body["model"]
        if not isinstance(name, str):
            raise invalid("model", "`model` must be a string.")
        model = self._models.get(name)
        if model is None:
            raise refuse(Kind.UNKNOWN_MODEL, f"There is no model {name[:80]!r}.", "model")
        if model.endpoint != endpoint:
            raise refuse(
                Kind.UNKNOWN_MODEL, f"{model.id} is not served here but under /{model.endpoint}.", "model"
            )
        return model

    def check_required(self, body: JsonObject, names: tuple[str, ...]) -> None:
        """All of the named fields must be there; the refusal names every one that is not."""
        missing = [f"`{name}`" for name in names if self.is_missing(body, name)]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise refuse(
                Kind.MISSING_FIELD, f"{' and '.join(missing)} {verb} required.", missing[0].strip("`")
            )

    def is_missing(self, body: JsonObject, name: str) -> bool:
        """Absent, null and empty text all count as not sent."""
        return body.get(name) in (None, "")

    def price(self, model: TaskModel, body: JsonObject) -> int:
        """Whole credits for one submission."""
        if model.price_per is None or body.get(model.price_per) is None:
            return model.price
        # Whatever the model's own rules allow: a price below that of one result is none.
        check(model.price_per, body[model.price_per], FieldRule(type="integer", low=1))
        return model.price * int(body[model.price_per])
