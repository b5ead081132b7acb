"""The files of the published results: their ids, and the settings file beside each result.

Per category there are two: `pickle`, the total aggregation (see `published`), and `json`, the
settings it was made with.
"""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from chorus.errors import BadInput
from chorus.files import parsed_json
from chorus.filtering.rules import DEFAULT_RULE, parse_combination

KINDS = ("json", "pickle")
_IDS = Path(__file__).parent / "data" / "published.yaml"


@functools.cache
def drive_ids() -> dict[str, dict[str, str]]:
    """Google Drive's file ids by category and kind."""
    return yaml.safe_load(_IDS.read_text(encoding="utf-8"))


def published_rules(path: Path) -> tuple[int, ...]:
    """The filter rules that a settings file names, the default rule if it names none.

    BadInput if the file is no settings file of the published code.
    """
    try:
        content = parsed_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not whole JSON ({str(error)[:200]}); fetch it again.") from error
    if not isinstance(content, dict) or not {"filter_settings", "aggr_core"} & content.keys():
        raise BadInput(
            f"{path} is not a settings file of the published CHORUS code: expected an object with "
            "filter_settings or aggr_core; fetch it again."
        )
    settings = content.get("filter_settings")
    rules = settings.get("filter_setting_comb") if isinstance(settings, dict) else None
    if not rules:
        return (DEFAULT_RULE,)
    return parse_combination(",".join(map(str, rules if isinstance(rules, list) else [rules])))
