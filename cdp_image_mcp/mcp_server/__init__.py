"""The edge to MCP clients."""
