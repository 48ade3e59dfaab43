"""How a catalogue is filled: read, written line by line, gone on with where an earlier run stopped.

It is read once for its checks, its size and the names that are usual, once to be filled, and where pictures are read
once more before, for their vectors' checks and the values that it stores. What OUT holds whole is kept and counted; the
settings in the report beside it say whether it was made in the same way.

Knows: the files, their order, the progress. Does not know: how values are found, where the model comes from.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from model_export import products
from model_export.filling import vocabularies
from model_export.filling.filler import Filler
from model_export.filling.reading import Reader
from model_export.filling.seeing import Seer, checked
from model_export.filling.stored import stored_values
from model_export.filling.survey import Survey, survey
from model_export.filling.tally import Tally
from model_export.filling.vocabularies import Vocabulary
from model_export.products import Product
from model_export.records import BadRecord
from model_export.stage import StageFailed, sha256
from service.pictures import Pictures

PART = 256
"""Products that are read, asked and written together: as many are done again after a crash, at most."""
LEAST_AGREEMENT = 0.5
"""Entries whose words are all there, that are the colour's family or the same quantity agree better than this."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be filled; `attributes` None for the usual ones, `vocabulary` is a file of the values to fill with."""

    catalogue: Path
    out: Path
    attributes: Sequence[str] | None = None
    vocabulary: Path | None = None
    least_agreement: float = LEAST_AGREEMENT

    @property
    def report(self) -> Path:
        """Where it is told what was filled."""
        return self.out.with_suffix(".report.json")


def run(job: Job, bundle: str, reader: Reader, pictures: Pictures | None = None) -> dict[str, Any]:
    """Do it and return the report; `bundle` is the version of what the reader reads with, `pictures` are its own.

    Raises BadRecord, StageFailed and ModelFailed; what is done by then is kept.
    """
    try:
        return _run(job, bundle, reader, pictures)
    except OSError as error:
        raise StageFailed(
            f"{error.filename or job.out}: {error.strerror}: mend that and run again, what is done is kept"
        ) from error


def _run(job: Job, bundle: str, reader: Reader, pictures: Pictures | None) -> dict[str, Any]:
    if job.out.exists() and job.out.samefile(job.catalogue):
        raise StageFailed(f"{job.out} is the catalogue itself: take another --out")
    filler, settings = _filler(job, reader), _settings(job, bundle, reader)
    wanted = survey(job.catalogue, job.attributes, reader.reads_name)
    if pictures:
        filler = replace(filler, seer=_seer(job, reader, pictures, filler.vocabulary))
    tally = Tally(pictures=wanted.pictures, pictures_read=pictures is not None)
    left = (product for _, product in products.read(job.catalogue))
    kept = _kept(job, settings, wanted, left, tally)
    job.out.parent.mkdir(parents=True, exist_ok=True)
    _write(job.report, settings, tally, complete=False)
    with job.out.open("ab") as lines, tqdm(total=wanted.products, initial=tally.products, unit="product") as bar:
        lines.truncate(kept)
        while part := list(islice(left, PART)):
            missing = [wanted.missing(product) for product in part]
            for product, names, found in zip(part, missing, filler.found(part, missing), strict=True):
                lines.write(products.dump(products.filled(product, found)))
                tally.count(names, {name: each["confidence"] for name, each in found.items()})
            lines.flush()
            bar.update(len(part))
    return _write(job.report, settings, tally, complete=True)


def _filler(job: Job, reader: Reader) -> Filler:
    if not -1 <= job.least_agreement <= 1:
        raise StageFailed(f"the agreement {job.least_agreement:g} is not in [-1, 1]: take another --least-agreement")
    for name in job.attributes or ():
        if not reader.reads_name(name):
            raise StageFailed(f"the attribute {name!r} holds nothing that can be read: take it out of --attributes")
    if job.vocabulary is None:
        return Filler(reader)
    entries = vocabularies.read(job.vocabulary, reader.reads_text)
    return Filler(reader, Vocabulary(entries, reader.vectors), job.least_agreement)


def _seer(job: Job, reader: Reader, pictures: Pictures, vocabulary: Vocabulary | None) -> Seer:
    """It chooses among the values of the vocabulary, or else those that the catalogue stores. Raises BadRecord."""
    stored = stored_values((product for product, _ in checked(job.catalogue, pictures.width)), reader.reads_text)
    return Seer(pictures, reader, vocabulary.entries if vocabulary else stored)


def _settings(job: Job, bundle: str, reader: Reader) -> dict[str, Any]:
    """All that what is filled depends on, as the report tells it."""
    return {
        "bundle": bundle,
        "attributes": None if job.attributes is None else list(job.attributes),
        "threshold": reader.threshold,
        "vocabulary": sha256(job.vocabulary) if job.vocabulary else None,
        "least_agreement": job.least_agreement if job.vocabulary else None,
    }


def _kept(job: Job, settings: dict[str, Any], wanted: Survey, left: Iterator[Product], tally: Tally) -> int:
    """How many bytes of OUT are whole lines; their products are counted, and taken from what is left to do."""
    if not job.out.exists() or not job.out.stat().st_size:
        return 0
    if _settings_of(job.report) != settings:
        raise StageFailed(
            f"{job.out} was begun with other settings than these, or is no file of this command, or {job.report.name} "
            "beside it is gone: take another --out, or remove it"
        )
    end = 0
    for number, (place, done) in enumerate(products.whole(job.out), start=1):
        product = next(left, None)
        missing = wanted.missing(product) if product else []
        found = products.found_in(done, missing)
        if product is None or found is None or not products.made_of(product, done):
            raise StageFailed(
                f"{job.out}, line {number} is not what is made of the product that stands there in {job.catalogue}: "
                "take another --out, or remove the file"
            )
        tally.count(missing, found)
        end = place
    return end


def _settings_of(report: Path) -> Any:
    """The settings that a report tells, None where there is none."""
    try:
        content = products.load(report.read_bytes())
    except (FileNotFoundError, BadRecord):
        return None
    return content.get("settings") if isinstance(content, dict) else None


def _write(path: Path, settings: dict[str, Any], tally: Tally, *, complete: bool) -> dict[str, Any]:
    report = {"settings": settings, "complete": complete} | tally.to_json()
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report
