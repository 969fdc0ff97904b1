"""The images endpoint of OpenAI and of servers that speak its language, by httpx, which the first request loads."""
