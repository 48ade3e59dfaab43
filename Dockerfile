# Two images: `serve`, the default, without torch; and `train`. Build arguments choose what the model runs on:
#
#   the CPU                          docker build .
#   CUDA from the base image         docker build --build-arg BASE=nvidia/cuda:13.0.3-cudnn-runtime-ubuntu24.04 .
#   CUDA from pip, the small base    docker build --build-arg 'EXTRAS=[gpu]' .
#   training                         docker build --target train .
#
# CUDA wants x86-64, and on the host a driver for CUDA 13 and the NVIDIA Container Toolkit.
# RANKER_DEVICE=cuda then makes a start without the GPU fail.

# Any Debian or Ubuntu will do whose Python is 3.11 or later.
ARG BASE=python:3.12-slim


FROM ${BASE} AS base
# The CUDA images have no Python; Ubuntu 24.04 packages 3.12.
RUN command -v python3 || ( \
        apt-get update && \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv && \
        rm -rf /var/lib/apt/lists/* \
    )
# onnxruntime would report its use to its makers, from a thread and a database in the home.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
# A volume that several images mount belongs to the user of whichever comes first.
RUN install -d -o 10001 -g 10001 /bundles


FROM base AS source
WORKDIR /source
RUN python3 -m venv /venv
COPY LICENSE NOTICE README.md pyproject.toml ./
COPY service service
COPY model_export model_export


FROM source AS serve-builder
ARG EXTRAS=""
RUN --mount=type=cache,target=/root/.cache/pip pip install ".${EXTRAS}"


FROM source AS train-builder
# PyTorch's default build brings gigabytes of CUDA packages; name an index of its CPU builds here to do without.
ARG PIP_EXTRA_INDEX_URL=""
RUN --mount=type=cache,target=/root/.cache/pip pip install ".[train]"


FROM base AS train
COPY --from=train-builder /venv /venv
# Data sets and runs come as volumes. The shipped configuration finds them, for it looks below the working directory.
RUN install -d -o 10001 -g 10001 /data /runs
VOLUME ["/data", "/runs"]
# What a numeric user lacks and libraries ask for: a home and a name.
ENV HOME=/tmp USER=ranker
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python", "-m", "model_export"]
CMD ["--help"]


FROM base AS serve
COPY --from=serve-builder /venv /venv
# Where the loader finds CUDA when it came from pip.
RUN find /venv/lib -type d -path '*/nvidia/*/lib' > /etc/ld.so.conf.d/ranker.conf && ldconfig
ENV RANKER_HOST=0.0.0.0
USER 10001:10001
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
# Without a proxy, even where the environment names one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["python", "-m", "service"]
