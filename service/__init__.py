"""Attribute Ranker: a shopping query and candidate attributes in, weights that sum to one out."""
