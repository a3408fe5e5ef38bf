# The hub for production: without the sandbox and without embedded servers.

FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY requirements/production.txt requirements/
RUN /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/production.txt
# aioimaplib is GPL-3.0-only; an image to be passed on may want to do without (see NOTICE).
ARG EMAIL=yes
RUN [ "$EMAIL" = yes ] || /venv/bin/pip uninstall --yes aioimaplib
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /venv/bin/pip uninstall --yes hatchling pip

FROM python:3.11-slim
LABEL org.opencontainers.image.title="messaging-hub" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-3.0-only"
RUN useradd --system --uid 10001 --user-group --no-create-home hub \
    && install -d -o hub -g hub -m 0700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HUB_ENV=production \
    HUB_CONFIG=/config/hub.toml \
    HUB_DATA_DIR=/data \
    HUB_HOST=0.0.0.0 \
    HUB_PORT=8080
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"HUB_PORT\"]}/live', timeout=2)"]
ENTRYPOINT ["hub"]
CMD ["web"]
