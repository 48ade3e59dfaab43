"""Attribute Ranker: a shopping query and candidate attributes in, weights that sum to one out."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reads it when it is imported, and would report
