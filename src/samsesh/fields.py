"""Types of the values in the settings: what a text or number must be, in the words of its error."""

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from samsesh import database_url, names, networks, synapse_keys, urls

Port = Annotated[int, Field(ge=1, le=65_535)]
PortRange = Annotated[str, AfterValidator(lambda value: "{}-{}".format(*names.port_range(value)))]
ServerName = Annotated[str, AfterValidator(names.server_name)]
Timezone = Annotated[str, AfterValidator(names.timezone)]
Person = Annotated[str, AfterValidator(names.person)]
HostName = Annotated[str, AfterValidator(names.host_name)]
HostAddress = Annotated[str, AfterValidator(names.host_address)]
BindAddress = Annotated[str, AfterValidator(names.bind_address)]
Network = Annotated[str, AfterValidator(networks.network)]
OuterNetwork = Annotated[str, AfterValidator(networks.outer_network)]


def _size(value: str) -> str:
    if not names.size(value):
        raise ValueError("this is no size at all; the smallest is 1")
    return value


def _duration_or_empty(value: str) -> str:
    if value and not names.duration(value):
        raise ValueError("this is no time at all; an empty text means for ever")
    return "".join(value.split()).lower()  # as Synapse reads it


def _shown(value: str) -> str:
    if not value.strip():
        raise ValueError("a text that can be seen is wanted")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    database_url.parameters(value.get_secret_value())
    return value


def _one_of_a_family(value: list[str]) -> list[str]:
    if len({":" in address for address in value}) < len(value):
        raise ValueError("one IPv4 and one IPv6 address at most: LiveKit takes no more")
    return value


def _not_owned(program: str, owned: Mapping[str, str]) -> AfterValidator:
    """`owned`: keys of a program's that only Samsesh sets -> the setting behind them, if any."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        if wrong := [key for key in synapse_keys.paths(value) if key in owned]:
            told = [f"{key} is decided by Samsesh" + f" ({owned[key]})" * bool(owned[key]) for key in wrong]
            which = "it" if len(wrong) == 1 else "them"
            raise ValueError(f"{', '.join(told)}; remove {which} from [extra.{program}]")
        return value

    return AfterValidator(check)


def _colour(value: str) -> str:
    if value and not re.fullmatch("#[0-9a-f]{6}", value.lower()):
        raise ValueError("a colour is written as # and six digits of 0-9 and a-f, such as '#0a7d5a'")
    return value.lower()


def _sha256(value: str) -> str:
    if value and not re.fullmatch("[0-9a-f]{64}", value.lower()):
        raise ValueError("a SHA-256 has 64 digits of 0-9 and a-f, as `sha256sum` prints it")
    return value.lower()


def _image_or_empty(value: str) -> str:
    return value and names.image(value)


def _registry_or_empty(value: str) -> str:
    return value and names.registry(value)


Size = Annotated[str, AfterValidator(_size)]
Duration = Annotated[str, AfterValidator(_duration_or_empty)]
Url = Annotated[str, AfterValidator(urls.web_url)]
Link = Annotated[str, AfterValidator(urls.link)]
Email = Annotated[str, AfterValidator(lambda value: value and urls.email(value))]
UserId = Annotated[str, AfterValidator(lambda value: value and names.user_id(value))]
FilePath = Annotated[str, AfterValidator(names.path)]
Text = Annotated[str, Field(max_length=60), AfterValidator(_shown)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Colour = Annotated[str, AfterValidator(_colour)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
WebOrigin = Annotated[str, AfterValidator(urls.web_origin)]
ImageName = Annotated[str, AfterValidator(_image_or_empty)]
Registry = Annotated[str, AfterValidator(_registry_or_empty)]
RoomAlias = Annotated[str, AfterValidator(names.room_alias)]
MediaAddresses = Annotated[
    list[Annotated[str, AfterValidator(names.ip_address)]], AfterValidator(_one_of_a_family)
]
SynapseKeys = Annotated[
    dict[str, Any], AfterValidator(names.plain_data), _not_owned("synapse", synapse_keys.OWNED)
]
# Of config.json: without the right ones Element Web does not start.
OWNED_IN_WEB = dict.fromkeys(
    ("default_server_config", "default_server_name", "default_hs_url", "default_is_url"),
    "server.name",
)
ElementWebKeys = Annotated[
    dict[str, Any], AfterValidator(names.plain_data), _not_owned("element_web", OWNED_IN_WEB)
]
PositiveRate = Annotated[float, Field(gt=0, le=1_000_000)]
Burst = Annotated[int, Field(ge=1, le=1_000_000)]
UserNumber = Annotated[int, Field(ge=1, le=2_147_483_647)]  # as far as Docker takes them
# Mark of a setting that chooses what is executed or loaded, or whom the server trusts with everything it knows:
# somebody else's file never sets it unasked. `environment.runs_code` asks for it.
RUNS_CODE: Any = Field(json_schema_extra={"runs_code": True})
# Mark of a setting that names a file, or a list of them, which belongs to the server: see operator_files.py.
NAMES_FILE: Any = Field(json_schema_extra={"names_file": True})


def descriptions(section: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a section, by the field's name.

    Read from the source when asked: pydantic's `use_attribute_docstrings` reads it at every start.
    """
    return _texts_below(section.__module__, section.__name__)


@cache
def _texts_below(module: str, name: str) -> dict[str, str]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
