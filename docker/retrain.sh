#!/bin/sh
# One round of retraining, in the image `train`: events out of the service's log, records of them, a bundle trained with
# the shipped configuration and these records beside its data, and that bundle beside the one in service.
#
#   RETRAIN_BUNDLE     the bundle that the new one is compared with; without it the one in the package
#   RETRAIN_CONFIG     the run's configuration; without it the shipped one
#   RETRAIN_CATALOGUE  the products of the events, as `examples` takes them; without it those that the log has
#   RETRAIN_START      a bundle, whose weights the training goes on from, or "shipped"; without it the base is trained anew
#   RETRAIN_STEPS      steps of training; without it the configuration's
#
# A round that fails leaves the bundles as they were. The new bundle is put into /bundles under the time of the round,
# its comparison into /bundles/comparisons; nobody takes it into service but whoever calls POST /admin/bundle.
set -eu

data=${RETRAIN_DATA:-/data} runs=${RETRAIN_RUNS:-/runs}/retrain bundles=${RETRAIN_BUNDLES:-/bundles}
at=$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$runs" "$bundles/comparisons"

python -m service events --out "$runs/events"
set -- examples --ubi "$runs/events" --out "$runs/log.jsonl"
if [ -n "${RETRAIN_CATALOGUE:-}" ]; then set -- "$@" --catalogue "$RETRAIN_CATALOGUE"; fi
python -m model_export "$@"

set -- all --data "$data" --work "$runs/stages" \
    --set sources.log.reader=jsonl --set "sources.log.train=$runs/log.jsonl" --set sources.log.keep_aside=0.1 \
    --set sources.log.licence=own --set sources.log.rate=1
if [ -n "${RETRAIN_CONFIG:-}" ]; then set -- "$@" --config "$RETRAIN_CONFIG"; fi
if [ -n "${RETRAIN_STEPS:-}" ]; then set -- "$@" --set "training.steps=$RETRAIN_STEPS"; fi
if [ -n "${RETRAIN_START:-}" ]; then set -- "$@" --set "start=$RETRAIN_START"; fi
python -m model_export "$@"

# On what training kept aside; a log so small that nothing was kept aside is compared as a whole.
asked=$runs/stages/sources/log.dev.jsonl
if [ ! -s "$asked" ]; then asked=$runs/log.jsonl; fi
before=${RETRAIN_BUNDLE:-$(python -c 'from service.bundle import default_folder; print(default_folder())')}
python -m model_export compare "$before" "$runs/stages/package" --requests "$asked" --out "$bundles/comparisons/$at"

cp -R "$runs/stages/package" "$bundles/.$at"
mv "$bundles/.$at" "$bundles/$at"
echo "bundle $bundles/$at is ready; how it differs: $bundles/comparisons/$at/comparison.html"
