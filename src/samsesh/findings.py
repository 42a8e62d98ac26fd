"""What pydantic finds wrong with a value, in words for people."""

from collections.abc import Sequence
from typing import Any

WANTED = {  # what pydantic's findings mean, for people
    "string_type": "a text in quotes",
    "int_type": "a whole number without quotes",
    "float_type": "a number without quotes",
    "bool_type": "true or false (without quotes)",
    "list_type": "a list in [brackets]",
    "dict_type": "a table",
    "model_type": "a [section]",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
    "finite_number": "a finite number",
    "less_than": "a number below {lt}",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "none_required": "nothing",
}
NO_VALUES = {"missing": "this is missing", "extra_forbidden": "there is no such setting"}
OURS = (
    "value_error"  # the kind of finding whose sentence is ours; pydantic's own sentences are for programmers
)


def reason(findings: Sequence[Any]) -> str:
    """pydantic's findings at one place, several for a union, as the end of a sentence for people."""
    kinds = [finding["type"] for finding in findings]
    if kinds[0] in NO_VALUES:
        return NO_VALUES[kinds[0]]
    if OURS in kinds:  # a sentence of ours says more than that the other member of a union would do, too
        sentence = str(findings[kinds.index(OURS)]["msg"]).removeprefix("Value error, ")
        return sentence[:1].lower() + sentence[1:]
    wanted = [
        WANTED[finding["type"]].format(**finding.get("ctx", {}))
        for finding in findings
        if finding["type"] in WANTED
    ]
    return f"{' or '.join(dict.fromkeys(wanted)) or 'another value'} is wanted"
