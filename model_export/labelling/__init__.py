"""Queries that nobody labelled, labelled by a finished run: more for a model of many sources to learn from."""
