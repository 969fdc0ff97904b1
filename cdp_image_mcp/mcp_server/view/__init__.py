"""The view of a generation for hosts with MCP Apps: the picture where the person looks, beside the text and preview."""
