"""Lets plain `pytest suites --target FILE` in a checkout do what `weighbridge run` does."""

pytest_plugins = ["weighbridge.plugin"]
