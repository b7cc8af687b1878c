"""A live dashboard for LLM batch jobs. Start reading at urls.py."""

from dashboard.celery import app as celery_app

__all__ = ["celery_app"]
