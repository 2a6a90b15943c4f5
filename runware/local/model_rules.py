"""The rules that follow from the model of a task: whether the task is accepted, and its price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runware.local.ledger import UNIT
from runware.local.model_check import SchemaValidators
from runware.local.model_prices import task_price
from runware.local.result_details import answer_text, token_usage
from runware.local.state import ServerState
from runware.local.task_run import TaskRun
from runware.local.task_schema import PROVIDERS, TaskSpec
from runware.local.task_types import OLDER_NAMES
from runware.local.validation import ApiError, check

__all__ = ["ModelRules"]

_COMMUNITY = frozenset(("civitai", "rundiffusion", "local"))
"""Sources of models that no snapshot lists: those of the community, and the account's own."""
_FLAT_UNIT = UNIT // 100_000
"""The unit of the flat prices of task types, in billionths of a dollar."""


class ModelRules:
    """Checks tasks against their models, and prices them, as the switches `models` and `prices` say.

    Args:
        state: The state of the server.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._validators = SchemaValidators()

    def check(self, task: dict[str, Any], spec: TaskSpec) -> None:
        """Check a task against its task type and its model.

        Raises:
            ApiError: One of them does not accept it.
        """
        switches = self._state.switches
        name = task.get("model")
        if switches.models == "off" or not isinstance(name, str) or spec.is_query:
            spec.validate(task, strict=switches.strict)
            return
        record = self._state.records.find_air(name)
        if record is None:
            spec.validate(task, strict=switches.strict)
            self._check_model(name, strict=switches.models == "strict")
        elif switches.models == "strict":
            self._check_strictly(record, task, spec)
        else:
            try:
                spec.validate(task, strict=switches.strict)
            except ApiError:
                # The limits of a model may be wider than those that its task type has here.
                if not record.get("limits") or self._refusals(record, task, spec):
                    raise

    def _check_strictly(self, record: dict[str, Any], task: dict[str, Any], spec: TaskSpec) -> None:
        refusals = self._refusals(record, task, spec)
        if refusals:
            raise refusals[0]
        # A schema without limits must not let one task fill the memory.
        counter = spec.fields.get(spec.count_parameter)
        if counter is not None and counter.name in task and not record.get("limits"):
            check(counter, task[counter.name])

    def _refusals(self, record: dict[str, Any], task: dict[str, Any], spec: TaskSpec) -> list[ApiError]:
        current = OLDER_NAMES.get(spec.name)
        return self._validators.refusals(record, task if current is None else {**task, "taskType": current})

    def _check_model(self, name: str, *, strict: bool) -> None:
        """Refuse a model that cannot exist: one that is not known, not of the community, and not of this account."""
        source, colon, _ = name.lower().partition(":")
        known = _COMMUNITY if strict else _COMMUNITY | PROVIDERS | self._state.records.sources
        if (not colon or source not in known) and name.lower() not in self._state.own_airs:
            raise ApiError(
                "invalidModel",
                f"There is no model {name!r}. A local server accepts any after switch(models='off').",
                "model",
                type="string",
            )

    def costs(self, run: TaskRun) -> Sequence[int]:
        """Return the price of each result of a task, in billionths of a dollar; the last one is that of all others."""
        flat = (run.spec.price * _FLAT_UNIT,)
        name, prices = run.task.get("model"), self._state.switches.prices
        if prices == "flat" or not isinstance(name, str) or not run.spec.price:
            return flat
        record = self._state.records.find_air(name)
        if record is None or not (prices == "measured" or "pricingRates" in record):
            return flat
        text = run.spec.name == "textInference"
        made = []
        for index in range(run.requested if text else 2):
            usage = token_usage(run, answer_text(run, index)) if text else {}
            price = task_price(record, run.task, usage, measured=prices == "measured")
            if price is None:
                return flat
            made.append(round((price.each + (price.once if index == 0 else 0.0)) * UNIT))
        return made
