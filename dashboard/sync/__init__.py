"""The one place where remote meets local. Start with pull.py, then cycle.py, then absorb.py."""
