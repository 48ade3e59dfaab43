"""What a service keeps of what it learns: the cache in Redis, the ledger of feedback and who folds it, by its settings.

Knows: which settings say what, where feedback is kept with Redis and without. Does not know: bundles, requests.
"""

import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.cache.connection import Client
from service.cache.ledger import RedisLedger
from service.cache.redis import RedisCache
from service.drift import Calibration
from service.errors import StartError
from service.evidence import HalfLives, Shrinkage
from service.feedback.cohorting import Cohorting
from service.feedback.dynamics import Options
from service.feedback.folding import Folder
from service.feedback.ledger import Ledger, Limits
from service.feedback.memory import MemoryLedger
from service.feedback.people import Personal
from service.settings import Settings
from service.telemetry import Telemetry

logger = logging.getLogger(__name__)


def check_feedback(settings: Settings) -> None:
    """Raises StartError where what is asked for would come to nothing."""
    if settings.explore and not settings.feedback:
        raise StartError("RANKER_EXPLORE needs RANKER_FEEDBACK, for without feedback nothing learns from it")
    if not settings.feedback or settings.redis_url:
        return
    if settings.workers > 1:
        raise StartError(
            "RANKER_FEEDBACK with several RANKER_WORKERS needs RANKER_REDIS_URL, for they share what is kept"
        )
    if not settings.fold:
        raise StartError(
            "RANKER_FEEDBACK without RANKER_FOLD needs RANKER_REDIS_URL, for no other process folds what this one keeps"
        )


def feedback_key(settings: Settings) -> bytes:
    """What ids are hashed with; in process, where nothing outlives it, a random one. Raises StartError."""
    if settings.feedback_key:
        return settings.feedback_key.get_secret_value().encode()
    if settings.feedback and settings.redis_url:
        raise StartError("RANKER_FEEDBACK on Redis needs RANKER_FEEDBACK_KEY, the secret that ids are hashed with")
    return secrets.token_bytes(32)


def redis_cache(client: Client, settings: Settings, telemetry: Telemetry) -> RedisCache:
    """What is kept in Redis, to be entered."""
    timeout = settings.redis_timeout_ms / 1000
    return RedisCache(client, telemetry, prefix=settings.redis_prefix, timeout=timeout, ttl_s=settings.redis_ttl_s)


def folder_of(ledger: Ledger, settings: Settings, telemetry: Telemetry) -> Folder:
    """A consumer with a name of its own, which tells of facet choices."""
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return Folder(ledger, telemetry, _half_lives(settings), consumer=name, calibration=Calibration(telemetry))


def cohorting_of(ledger: Ledger, settings: Settings) -> Cohorting:
    """What makes cohorts, to be entered."""
    return Cohorting(
        ledger,
        _half_lives(settings),
        _shrinkage(settings),
        most=settings.personal_cohorts,
        every_s=settings.personal_cohorts_s,
    )


def _shrinkage(settings: Settings) -> Shrinkage:
    return Shrinkage(settings.feedback_prior, settings.feedback_short_share, settings.feedback_limit)


def _half_lives(settings: Settings) -> HalfLives:
    return HalfLives(settings.feedback_short_s, settings.feedback_long_s)


@asynccontextmanager
async def ledger_of(
    client: Client | None, redis: RedisCache | None, settings: Settings, telemetry: Telemetry
) -> AsyncIterator[Ledger]:
    """Where feedback is kept; in process without a log of events, which nobody could read."""
    limits = feedback_limits(settings)
    if client and redis:
        async with RedisLedger(client, redis, limits, telemetry, prefix=settings.redis_prefix) as ledger:
            yield ledger
    else:
        logger.warning("feedback is kept in process: it is lost with it")
        yield MemoryLedger(limits._replace(kept=0), telemetry)


def feedback_limits(settings: Settings) -> Limits:
    """How much feedback is kept, and for how long."""
    return Limits(
        _half_lives(settings),
        window_s=settings.feedback_window_s,
        waiting=settings.feedback_waiting,
        kept=settings.feedback_kept,
        cap=settings.feedback_client_cap,
        cap_s=settings.feedback_client_cap_s,
        ttl_s=settings.feedback_ttl_s,
        shown_s=settings.feedback_shown_s,
    )


def dynamics_options(settings: Settings) -> Options:
    """How evidence becomes lifts and likings."""
    return Options(
        _half_lives(settings),
        _shrinkage(settings),
        value_prior=settings.feedback_value_prior,
        strength=settings.feedback_strength,
        liking=settings.feedback_liking,
        explore=settings.explore,
        explore_scale=settings.explore_scale,
        personal=Personal(settings.personal_share, settings.personal_balance, settings.personal_divergence),
    )
