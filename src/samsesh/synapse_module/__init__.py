"""What we add inside Synapse, by its module API. Needs nothing but Python and Synapse, so that it fits any image of it:
of ours `samsesh.text` alone comes along.

In homeserver.yaml: `modules: [{module: samsesh.synapse_module.CallsModule, config: {}}]`.
"""

from samsesh.synapse_module.accounts import AccountsModule
from samsesh.synapse_module.calls import CallsModule
from samsesh.synapse_module.federation import FederationModule
from samsesh.synapse_module.log import Formatter

__all__ = ["AccountsModule", "CallsModule", "FederationModule", "Formatter"]
