# The agent (`--target agent`), and the demo on top of it (`--target demo`). Neither runs as root, neither has a compiler.
#   docker build --target agent -t ragwatch-agent:0.1.0 .
# A container's loopback reaches nobody, so the agent listens on all of its addresses and therefore wants a token:
#   docker run -e RAGWATCH_AGENT_TOKEN=… -v ragwatch:/var/lib/ragwatch -p 127.0.0.1:4318:4318 ragwatch-agent:0.1.0

# This stage has gcc, for the compiled build; the images below are made of the slim base, which has the same Python.
FROM python:3.11.13-bookworm AS libraries
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/ragwatch
WORKDIR /src
# Versions as they are tested: constraints.txt. The libraries are a layer of their own, which a change of ours leaves.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p ragwatch dashboards/grafana \
    && touch ragwatch/__init__.py \
    && /opt/ragwatch/bin/pip install -c constraints.txt '.[agent,redis]' \
    && /opt/ragwatch/bin/pip uninstall --yes ragwatch
COPY hatch_build.py ./
COPY ragwatch ragwatch
COPY dashboards/grafana dashboards/grafana

# The agent's hot modules are compiled: hatch_build.py. It takes some two minutes.
FROM libraries AS build
RUN HATCH_BUILD_HOOKS_ENABLE=1 /opt/ragwatch/bin/pip install -c constraints.txt --no-deps .

# The demo is an app: it runs what `pip install` gives.
FROM libraries AS build-demo
RUN /opt/ragwatch/bin/pip install -c constraints.txt '.[demo]'

FROM python:3.11.13-slim-bookworm AS base
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/ragwatch --create-home ragwatch
ENV PATH=/opt/ragwatch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/ragwatch
VOLUME /var/lib/ragwatch
ENTRYPOINT ["ragwatch"]

FROM base AS agent
COPY --from=build /opt/ragwatch /opt/ragwatch
COPY deploy/probe.py /opt/ragwatch/probe.py
ENV RAGWATCH_AGENT_HOST=0.0.0.0 RAGWATCH_AGENT_DIRECTORY=/var/lib/ragwatch
EXPOSE 4317 4318 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "/opt/ragwatch/probe.py", "--once", "http://127.0.0.1:9464/readyz"]
CMD ["agent"]

FROM base AS demo
COPY --from=build-demo /opt/ragwatch /opt/ragwatch
# It has no port: its health is that the questions go on, which the agent's KPIs show (alert RagNoQueries).
HEALTHCHECK NONE
CMD ["demo"]
