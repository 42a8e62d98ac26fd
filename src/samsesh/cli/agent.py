"""`samsesh agent`: hands certificates on to other services. Started by the engines, not by people."""

from pathlib import Path
from typing import Annotated

import typer


def agent(
    config: Annotated[Path, typer.Option("--config", help="What to do: the file that `up` writes.")],
) -> None:
    """Hand certificates on to other services, and have them read them again."""
    from samsesh.agent.serve import serve

    serve(config)
