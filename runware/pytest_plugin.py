"""The name of the pytest plugin in version 0.2.0; it is `pytest_runware` now."""

from pytest_runware import fake_runware, runware_client, runware_server

__all__ = ["fake_runware", "runware_client", "runware_server"]
