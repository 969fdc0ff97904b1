"""The images endpoint of OpenAI and of servers that speak its language, by httpx. Importing this loads no httpx."""

from cdp_image_mcp.openai.backend import ApiBackend

__all__ = ["ApiBackend"]
