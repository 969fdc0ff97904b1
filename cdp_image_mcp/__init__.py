"""Pictures for any MCP client, through a signed-in ChatGPT in the system browser or the OpenAI images API."""

__all__ = ["__version__"]

__version__ = "0.1.0"
