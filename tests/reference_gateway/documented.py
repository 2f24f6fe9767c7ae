"""The gateway of the documents, configured and never started: its models, for tests of pure parts."""

from __future__ import annotations

from reference_gateway import reapi_config

CONFIG = reapi_config(
    openai_url="http://o/v1",
    anthropic_url="http://a",
    media_url="http://m",
    upstream_key="k",
    operator_token="t",
)
