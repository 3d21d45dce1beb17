# syntax=docker/dockerfile:1
# relogit's service: the API with its worker (`python -m app`), or a worker alone (`python -m worker`).
#
#   CPU   docker build -t relogit .
#   GPU   docker build -t relogit:gpu --build-arg TORCH_INDEX= .
#
# The base is chosen by where PyTorch comes from: PyTorch's own index of CPU builds, or pip's own, whose builds for
# Linux bring CUDA with them and need nothing of the host but the driver and the NVIDIA container toolkit.
#
#   docker run --rm --init -p 127.0.0.1:8000:8000 \
#     -v "$PWD/data:/srv/relogit/data:ro" -v "$PWD/checkpoints:/srv/relogit/checkpoints:ro" \
#     -v relogit-outputs:/srv/relogit/outputs relogit
#
# and, for a GPU, `--gpus all` and `relogit:gpu`. There is no authentication: publish on loopback, or put a
# guard in front. `docker/compose.yaml` runs the API and the worker apart.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The client and its command, built apart: no build tools and no leftovers in the image.
FROM ${PYTHON_IMAGE} AS client
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY clients clients
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${PYTHON_IMAGE}
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /srv/relogit

# From what changes least to what changes most: code that changes reinstalls nothing above it.
COPY .ci/constraints.txt /tmp/constraints.txt
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir -c /tmp/constraints.txt ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} torch torchvision

# What pyproject.toml requires, read out of it, so that this layer does not depend on the code. An image for CPUs
# computes with OpenVINO, which is the faster engine there.
COPY pyproject.toml /tmp/pyproject.toml
RUN python -c 'import sys, tomllib; p = tomllib.load(open("/tmp/pyproject.toml", "rb"))["project"]; \
print(*p["dependencies"], *(r for extra in sys.argv[1:] for r in p["optional-dependencies"][extra]), sep="\n")' \
    service ${TORCH_INDEX:+openvino} > /tmp/requirements.txt \
    && pip install --no-cache-dir -c /tmp/constraints.txt -r /tmp/requirements.txt

# A fixed number, so that folders of the host can be given to it. The folders are made here because a new volume
# takes its owner from them.
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin relogit \
    && mkdir data checkpoints outputs \
    && chown relogit:relogit data checkpoints outputs

RUN --mount=type=bind,from=client,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
COPY LICENSE README.md ./
COPY worker worker
COPY app app

USER 10001:10001
VOLUME ["/srv/relogit/data", "/srv/relogit/checkpoints", "/srv/relogit/outputs"]
ENV RELOGIT_HOST=0.0.0.0 \
    RELOGIT_PORT=8000
EXPOSE 8000
# http.client rather than urllib: a proxy in the environment is not asked for the container's own port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['RELOGIT_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app"]
