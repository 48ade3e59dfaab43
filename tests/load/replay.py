"""What feedback is worth, by replay with simulated shoppers.

    python tests/load/replay.py --data data [--seeds 7 8 9 10 11] [--sessions 2000] [--out FILE.json] [--plot FILE.png]

Shoppers made from the judged dev lists of ESCI and Chorus (see `shoppers`) use a shop in this process (see `shop`): the
shipped bundle ranks, their events are folded, and the next answers read what was learnt. All of it is simulated: it
shows that the loop closes and how fast, not what real shoppers would do. The lists are the same from session to
session, so what is learnt is of these very products, as in a shop whose range stays.

What is told is nDCG@10 of the products' order by the judgements or by the taste that holds, its mean over queries,
beside the bundle's own order, with a 95 % bootstrap interval over queries; and the same as shoppers meet it, which
counts a query as often as it is asked and so hangs on few. A replay hangs on chance as much as on the service: a choice
more or less early on changes all that follows. What is held against what was asked is the mean over several seeds.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shop import Answer, Machine, Shop, machine
from shoppers import Query, camps, event, lied_about, of_camp, queries, retasted, session
from tqdm import tqdm

from model_export import metrics
from service.settings import Settings

TOP = 10
GAPS_S = (60.0, 180.0)
"""Between two sessions; longer than evidence is remembered in process, so that a replay is the same each time."""
CLIENTS, USERS, TRIED = 400, 20, 3
"""Clients; people of the two groups; of each group so many are looked at."""
POPULARITY = 0.7
"""The n-th query is asked in proportion to n^-0.7."""
CHECKPOINTS = 5
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """Queries, how often each is asked (sums to 1), and how it all is seeded."""

    queries: Sequence[Query]
    shares: Values
    seed: int

    def drawn(self, sessions: int, name: str) -> Iterator[tuple[int, Random]]:
        """A query for each session, and the chance by which the session goes."""
        chance = Random(f"{self.seed} {name}")
        for place in chance.choices(range(len(self.queries)), self.shares.tolist(), k=sessions):
            yield place, chance


def made(found: Sequence[Query], seed: int) -> World:
    """The queries in an order by chance, those in front asked most."""
    order = Random(seed).sample(range(len(found)), len(found))
    shares = np.arange(1, len(found) + 1, dtype=float) ** -POPULARITY
    return World([found[place] for place in order], shares / shares.sum(), seed)


async def measured(shop: Shop, wanted: Sequence[Query], user: str = "") -> Values:
    """nDCG@10 of each query's order, (queries,)."""
    shop.settle()
    found = [await shop.answer(query.text, query.products, user) for query in wanted]
    return np.array([ndcg(query, answer) for query, answer in zip(wanted, found, strict=True)])


def ndcg(query: Query, answer: Answer) -> float:
    """Of a query's products in the order answered; 1 where nothing is wanted, for then no order is better."""
    places = np.empty(len(answer.order))
    places[list(answer.order)] = np.arange(len(answer.order))
    found = metrics.ndcg(-places, query.gains, top=TOP)
    return 1.0 if np.isnan(found) else found


async def shopped(shop: Shop, query: Query, wanted: Query, chance: Random, user: str = "", client: str = "") -> None:
    """One session of somebody who wants the products like this."""
    answer = await shop.answer(query.text, query.products, user)
    shop.clock.wait(5)
    of: dict[str, Any] = {"query_id": answer.query_id, "client_id": client or f"client {chance.randrange(CLIENTS)}"}
    of |= {"timestamp": shop.clock() * 1000} | ({"user_id": user} if user else {})
    await shop.take([event(*done, **of) for done in session(wanted, answer.order, chance)])
    shop.clock.wait(chance.uniform(*GAPS_S))


@dataclass(slots=True)
class Curve:
    """nDCG@10 of each query after so many sessions."""

    sessions: list[int] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    def add(self, sessions: int, values: Values) -> None:
        """One more point."""
        self.sessions.append(sessions)
        self.values.append(values)


async def learnt(
    shop: Shop, world: World, wanted: Sequence[Query], sessions: int, name: str, *, liars: float = 0.0
) -> Curve:
    """Sessions of people who want this, of whom a share lies."""
    curve, each = Curve(), max(1, sessions // CHECKPOINTS)
    curve.add(0, await measured(shop, wanted))
    for number, (place, chance) in enumerate(tqdm(world.drawn(sessions, name), name, sessions), 1):
        client = chance.randrange(CLIENTS)
        lies = client < liars * CLIENTS
        query = lied_about(wanted[place]) if lies else wanted[place]
        await shopped(shop, query, query, chance, client=f"client {client}")
        if number % each == 0:
            curve.add(number, await measured(shop, wanted))
    return curve


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean nDCG@10 before and after, the difference with its interval; the same as shoppers meet it (`met`)."""

    before: float
    after: float
    gain: float
    low: float
    high: float
    met_gain: float
    met_low: float
    met_high: float

    @classmethod
    def of(cls, before: Values, after: Values, shares: Values) -> "Compared":
        """From values by query."""
        gains = after - before
        interval = metrics.bootstrap(metrics.mean_of(gains), len(gains))
        met = metrics.bootstrap(metrics.ratio_of(gains * shares, shares), len(gains))
        return cls(*map(float, (before.mean(), after.mean(), gains.mean(), *interval, gains @ shares, *met)))


@dataclass(slots=True)
class Found:
    """What came out of a replay: curves and comparisons by name, and by query the change that one session makes."""

    curves: dict[str, Curve] = field(default_factory=dict)
    compared: dict[str, Compared] = field(default_factory=dict)
    once: Values = field(default_factory=lambda: np.zeros(0))


LEARNT, SWITCHED, FRESH, LIARS = (
    "after the sessions, beside the bundle",
    "a new taste, beside the moment when it came",
    "a new taste, beside the bundle",
    "a tenth lies, beside none",
)
LIED = 0.1


async def tastes(on: Machine, settings: Settings, world: World, sessions: int, found: Found) -> None:
    """Sessions by the judgements, then as many by another taste, which the shop is not told of."""
    other = [retasted(query, Random(f"{world.seed} {query.text}")) for query in world.queries]
    async with Shop(on, settings) as shop:
        bundle = await measured(shop, other)
        first = found.curves["judged"] = await learnt(shop, world, world.queries, sessions, "judged")
        second = found.curves["another taste"] = await learnt(shop, world, other, sessions, "another taste")
    found.compared[LEARNT] = Compared.of(first.values[0], first.values[-1], world.shares)
    found.compared[SWITCHED] = Compared.of(second.values[0], second.values[-1], world.shares)
    found.compared[FRESH] = Compared.of(bundle, second.values[-1], world.shares)
    found.curves["another taste, bundle"] = Curve([0, sessions], [bundle, bundle])


async def lies(on: Machine, settings: Settings, world: World, sessions: int, found: Found) -> None:
    """The same sessions as by the judgements, but that a tenth of the clients lies."""
    async with Shop(on, settings) as shop:
        curve = await learnt(shop, world, world.queries, sessions, "judged", liars=LIED)
    found.curves["a tenth lies"] = curve
    honest = found.curves["judged"]
    found.compared[LIARS] = Compared.of(honest.values[-1], curve.values[-1], world.shares)


async def once(on: Machine, settings: Settings, world: World, found: Found) -> None:
    """The largest change of a weight of each query by one session, the first of those in which something is chosen."""
    changes = []
    for query in tqdm(world.queries, "once"):
        async with Shop(on, settings) as shop:
            before = (await shop.answer(query.text, query.products)).weights
            for chance in map(Random, itertools.count()):
                answer = await shop.answer(query.text, query.products)
                if session(query, answer.order, chance):
                    break
            await shopped(shop, query, query, Random(chance.randrange(2**32)))
            shop.settle()
            after = (await shop.answer(query.text, query.products)).weights
            changes.append(max(abs(after[name] - before[name]) for name in after))
    found.once = np.array(changes)


async def groups(on: Machine, settings: Settings, world: World, sessions: int, found: Found) -> None:
    """Two groups who want opposite colours: what each one's own order is worth to them beside the common one."""
    sides = camps(world.queries)
    wanted = [[of_camp(query, camp, sides) for query in world.queries] for camp in (0, 1)]
    async with Shop(on, settings) as shop:
        for place, chance in tqdm(world.drawn(sessions, "groups"), "groups", sessions):
            user = chance.randrange(USERS)
            of = {"user": f"user {user}", "client": f"client {user}"}
            await shopped(shop, world.queries[place], wanted[user % 2][place], chance, **of)
        for camp in (0, 1):
            common = await measured(shop, wanted[camp])
            users = [f"user {camp + 2 * number}" for number in range(TRIED)]
            own = np.mean([await measured(shop, wanted[camp], user) for user in users], axis=0)
            name = f"group {'AB'[camp]}: own order, beside the common one"
            found.compared[name] = Compared.of(common, own, world.shares)


def plotted(found: Found, path: Path) -> None:
    """The curves and the comparisons of one replay as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    start = found.curves["judged"].sessions[-1]
    for name, curve in found.curves.items():
        after = start if name.startswith("another") else 0
        left.plot([after + n for n in curve.sessions], [v.mean() for v in curve.values], "o-", ms=3, label=name)
    left.axvline(start, color="grey", linestyle=":")
    left.set(title="simulated shoppers", xlabel="sessions", ylabel=f"nDCG@{TOP}, mean over queries")
    left.legend(fontsize=8)
    for name, one in found.compared.items():
        right.errorbar(one.gain, name, xerr=[[one.gain - one.low], [one.high - one.gain]], fmt="o", capsize=3)
    right.axvline(0, color="black", linewidth=1)
    right.axvline(0.03, color="grey", linestyle=":")
    right.set(title="simulated: difference with its 95 % interval over queries", xlabel=f"nDCG@{TOP}")
    right.invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def targets(found: Sequence[Found]) -> list[dict[str, Any]]:
    """What was asked, its mean over the replays, the least and the most of them, and whether the mean holds."""
    rows = []
    for name in found[0].compared:
        gains, least = [each.compared[name].gain for each in found], -0.01 if name == LIARS else 0.03
        spread = {"least": round(min(gains), 4), "most": round(max(gains), 4)}
        mean = float(np.mean(gains))
        rows.append({"what": name, "mean": round(mean, 4), **spread, "asked": f">= {least}", "ok": mean >= least})
    return rows


def told(found: Found, world: World) -> dict[str, Any]:
    """What came out of one replay, as JSON may hold it."""
    curves = {
        name: [
            {"sessions": n, "as met": round(float(v @ world.shares), 4), "by query": round(float(v.mean()), 4)}
            for n, v in zip(curve.sessions, curve.values, strict=True)
        ]
        for name, curve in found.curves.items()
    }
    compared = {name: {k: round(v, 4) for k, v in asdict(one).items()} for name, one in found.compared.items()}
    seen_once = {"largest change of a weight": float(found.once.max()), "median": float(np.median(found.once))}
    return {
        "seed": world.seed,
        "queries": len(world.queries),
        "a query seen once": seen_once,
        "compared": compared,
        "curves": curves,
    }


async def replayed(data: Path, sessions: int, seeds: Sequence[int], settings: Settings) -> list[tuple[Found, World]]:
    """All parts of a replay for each seed, one after another; texts are embedded once for all."""
    replays = []
    judged = queries(data)
    async with machine() as on:
        for seed in seeds:
            world, found = made(judged, seed), Found()
            await tastes(on, settings, world, sessions, found)
            await lies(on, settings, world, sessions, found)
            await once(on, settings, world, found)
            await groups(on, settings, world, sessions, found)
            replays.append((found, world))
    return replays


def main() -> None:
    """Read the command line, replay, tell."""
    parser = argparse.ArgumentParser(description="What feedback is worth, by replay with simulated shoppers.")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9, 10, 11])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    begun = time.monotonic()
    replays = asyncio.run(replayed(given.data, given.sessions, given.seeds, Settings(feedback=True)))
    results = {
        "simulated": True,
        "sessions": given.sessions,
        "seconds": round(time.monotonic() - begun),
        "targets": targets([found for found, _ in replays]),
        "replays": [told(found, world) for found, world in replays],
    }
    text = json.dumps(results, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    if given.plot:
        plotted(replays[0][0], given.plot)


if __name__ == "__main__":
    main()
