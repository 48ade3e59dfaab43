"""The empty route: the service's request and answer, and nothing between them. What FastAPI and uvicorn cost alone.

    python tests/load/empty_route.py --port 8001

The request is validated as the service's is; the answer, always the same 20 weights with values for four of them, is
validated and serialised by FastAPI the ordinary way. One process, no access log.
"""

import argparse

import uvicorn
from fastapi import FastAPI
from traffic import ATTRIBUTES

from service.api.schemas import CacheUse, ModelName, ValueAnswer, WeightAnswer, WeightsAnswer, WeightsRequest

ANSWER = WeightsAnswer(
    weights=[
        WeightAnswer(
            index=index,
            attribute=name,
            weight=0.05123456789,
            values=[ValueAnswer(text="wool", start=9, end=13, confidence=0.98765432)] if index < 4 else [],
        )
        for index, name in enumerate(ATTRIBUTES)
    ],
    entropy=2.123456789,
    model=ModelName(name="attribute-ranker-en", version="000000000000"),
    cache=CacheUse(hits=20, misses=0),
    degraded=False,
)

app = FastAPI()


@app.post("/v1/weights", response_model_exclude_unset=True)
async def weights(wanted: WeightsRequest) -> WeightsAnswer:  # noqa: ARG001
    """Whatever was asked, the same answer."""
    return ANSWER


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """Whether it listens."""
    return {"status": "ok"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, access_log=False, log_level="warning")
