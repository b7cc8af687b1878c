"""A Batch API server on loopback for demos, tests and benchmarks.

It speaks OpenAI's Batch and Files API, with its own clock and faults, and stands alone: nothing of the
dashboard, no Django. See it run with `manage.py simulate`; in a test:

    world = World(batches=250, open=0)
    with serve(world) as base_url:
        ...
"""

from dashboard.simulator.app import application
from dashboard.simulator.faults import KINDS as FAULTS
from dashboard.simulator.server import serve
from dashboard.simulator.world import KEY, Call, World

__all__ = ["FAULTS", "KEY", "Call", "World", "application", "serve"]
