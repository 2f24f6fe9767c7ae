# One image for every command: `docker run weighbridge mock`, `gateway`, `serve`, `run`, `load`.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY weighbridge weighbridge
COPY mock_upstreams mock_upstreams
COPY reference_gateway reference_gateway
COPY defects defects
COPY suites suites
COPY spec spec
COPY loadtests loadtests
COPY targets targets
RUN python -m venv /opt/weighbridge \
 && /opt/weighbridge/bin/pip install --no-cache-dir -c constraints.txt '.[load,postgres]'

FROM python:3.12-slim
COPY --from=build /opt/weighbridge /opt/weighbridge
RUN useradd --create-home --uid 10001 weighbridge \
 && install --directory --owner weighbridge /var/lib/weighbridge
ENV PATH=/opt/weighbridge/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/weighbridge
ENTRYPOINT ["weighbridge"]
CMD ["--help"]
