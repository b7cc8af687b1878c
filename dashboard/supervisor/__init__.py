"""Keeps a handful of processes alive and ends them together. Knows nothing of what they do. Unix only."""

from dashboard.supervisor.child import Child, State
from dashboard.supervisor.keeper import Keeper

__all__ = ["Child", "Keeper", "State"]
