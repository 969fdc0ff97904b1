"""What all tests share."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The driver stands on websockets' asyncio client, so asyncio is what is tested."""
    return "asyncio"
