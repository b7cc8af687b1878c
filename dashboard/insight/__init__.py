"""Rows in, meaning out: what became of a batch, how fresh the data is. No HTTP, no HTML."""
