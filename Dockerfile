# One image for every component: `api`, `worker`, `verify`, `backup` ... are commands of its entry point.
# docs/image.md says how it is built, run and tested. Docker's legacy builder, BuildKit and others know all that stands here.
ARG PYTHON_VERSION=3.13
ARG BASE_IMAGE=python:${PYTHON_VERSION}-slim-bookworm
ARG BASE_NAME=docker.io/library/${BASE_IMAGE}

# What a release depends on, below /dependencies as it is to stand below /: it changes with requirements.txt alone.
# Bytecode is made here, because nothing can be written at run time. It holds no time of day, and neither do the files:
# equal sources give equal layers. The packages' own tests stay away.
FROM ${BASE_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
WORKDIR /build
COPY requirements.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install --no-compile --only-binary :all: --require-hashes -r requirements.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib \
    && mkdir -p /dependencies/opt && mv /opt/venv /dependencies/opt/ && ln -s /dependencies/opt/venv /opt/venv \
    && find /dependencies -exec touch --no-dereference --date=2020-02-02T00:00:00Z {} +

# The package, installed below /package as it is to stand below /.
FROM dependencies AS package
COPY requirements-build.txt ./
RUN pip install --no-compile --only-binary :all: --require-hashes -r requirements-build.txt
COPY LICENSE README.md pyproject.toml ./
COPY src src
COPY processes /package/app/processes
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/venv install --no-compile --no-deps --no-index --root /package dist/*.whl \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /package -p / /package/opt \
    && find /package -exec touch --no-dereference --date=2020-02-02T00:00:00Z {} +

# What runs. The base image brings Python's standard library without bytecode: 9 MB more, and half a second less at each start.
FROM ${BASE_IMAGE} AS runtime
RUN touch /dev/shm/began \
    && echo 'gristmill:x:10001:10001:Gristmill:/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'gristmill:x:10001:' >> /etc/group \
    && PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash \
       -x '/(test|idlelib|lib2to3|ensurepip|site-packages|tkinter|turtledemo|pydoc_data)/' /usr/local/lib/python3* \
    && find /usr/local/lib -newer /dev/shm/began -exec touch --no-dereference --date=2020-02-02T00:00:00Z {} + \
    && touch --date=2020-02-02T00:00:00Z /etc /etc/passwd /etc/group
COPY --from=dependencies /dependencies/ /
COPY --from=package /package/ /
WORKDIR /app
ENV PATH=/opt/venv/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache \
    GRISTMILL_HOST=0.0.0.0 GRISTMILL_PROCESSES=/app/processes \
    GRISTMILL_DATA_FOLDER=/tmp/data GRISTMILL_WORKER_FOLDER=/tmp/worker
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Asks whichever component is the container's first process; for a command that just ends, it says that all is well.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["gristmill", "check"]
ENTRYPOINT ["gristmill"]
CMD ["api"]

# The same layers with the integration suite on top (`make test-image`); never pushed.
FROM runtime AS test
USER 0
WORKDIR /suite
COPY requirements-test.txt ./
RUN pip --python /opt/venv install --no-cache-dir --disable-pip-version-check --root-user-action ignore \
        --only-binary :all: --require-hashes -r requirements-test.txt
COPY pyproject.toml README.md ./
COPY docs docs
COPY processes processes
COPY test test
USER 10001:10001
HEALTHCHECK NONE
ENTRYPOINT ["pytest", "-p", "no:cacheprovider"]
CMD ["test/integration", "-m", "not slow"]

# The last stage is what is built by default: `runtime`, and what changes with each build.
FROM runtime AS release
ARG BASE_NAME
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Gristmill" \
      org.opencontainers.image.description="Puts a data set and the analyses over it online as an HTTP API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_NAME}"
