"""The reference tables of docs/simulator.md, made from the tables that the simulator works by.

`python -m mock_upstreams.reference docs/simulator.md` writes them anew.
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from mock_upstreams.config import SimulatorConfig
from mock_upstreams.faults import FAULTS
from mock_upstreams.scenario_keys import KEYS, surface_list
from mock_upstreams.settings import DEFAULT_PORT, SETTINGS

_DESCRIPTION: Final = Path(__file__).with_name("control.openapi.yaml")
_BLOCK: Final = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def keys() -> str:
    rows = ((f"`{name}`", key.says, surface_list(key.surfaces)) for name, key in KEYS.items())
    return _table(("key", "what it sets", "where"), rows)


def faults() -> str:
    forms = {(True, True): "both", (True, False): "streamed", (False, True): "unstreamed"}
    rows = (
        (
            f"`{fault.name}`",
            fault.caller_sees,
            surface_list(fault.surfaces),
            forms[fault.streamed, fault.unstreamed],
        )
        for fault in FAULTS.values()
    )
    return _table(("fault", "what the caller sees", "where", "streamed or not"), rows)


def settings() -> str:
    defaults = SimulatorConfig(port=DEFAULT_PORT)
    rows = (
        (f"`{name}`", setting.says, _shown(getattr(defaults, name, 1))) for name, setting in SETTINGS.items()
    )
    return _table(("setting", "what for", "default"), rows)


def _shown(value: object) -> str:
    if value is None or value == ():
        return ""
    return ", ".join(value) if isinstance(value, tuple) else str(value).lower()


def journal() -> str:
    fields: dict[str, Any] = _description()["components"]["schemas"]["Entry"]["properties"]
    rows = ((f"`{name}`", _type(schema), schema.get("description", "")) for name, schema in fields.items())
    return _table(("field", "type", "meaning"), rows)


def _type(schema: dict[str, Any]) -> str:
    stated = schema.get("type", "any")
    return " or ".join(stated) if isinstance(stated, list) else str(stated)


def control() -> str:
    rows = (
        (f"`{method.upper()} {path}`", " ".join(operation["summary"].split()))
        for path, item in _description()["paths"].items()
        for method, operation in item.items()
    )
    return _table(("operation", "what it does"), rows)


def _description() -> Any:
    return yaml.safe_load(_DESCRIPTION.read_text(encoding="utf-8"))


TABLES: Final[dict[str, Callable[[], str]]] = {
    "keys": keys,
    "faults": faults,
    "settings": settings,
    "journal": journal,
    "control": control,
}


def refreshed(page: str) -> str:
    """The page with every table made anew. Raises KeyError for a block that nobody makes."""
    return _BLOCK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], page)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(refreshed(target.read_text(encoding="utf-8")), encoding="utf-8")
