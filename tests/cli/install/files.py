"""Configuration files as people really have them, by the form; and such as no program may touch."""

# ruff: noqa: E501  lines as they are

JSON = {
    "nothing": "",
    "an empty object": "{}",
    "an empty object over lines": "{\n}\n",
    "another server": """{
  "mcpServers": {
    "files": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/home/me"]
    }
  }
}
""",
    "servers in one line": '{"mcpServers": {"files": {"command": "npx"}}, "theme": "dark"}',
    "no servers yet": '{\n    "theme": "dark",\n    "keys": [1, 2, {"a": null}]\n}\n',
    "tabs": '{\n\t"theme": "dark",\n\t"mcpServers": {\n\t\t"files": {\n\t\t\t"command": "npx"\n\t\t}\n\t}\n}\n',
    "comments": """// Zed settings
{
  /* fonts */
  "ui_font_size": 16, // big
  "mcpServers": {
    // mine
    "files": { "command": "npx" } // the last one
    // nothing after it
  },
  "vim_mode": false, // off
}
""",
    "trailing commas": '{\n  "mcpServers": {\n    "files": {"command": "npx",},\n  },\n  "more": [1, 2,],\n}\n',
    "Windows": '\ufeff{\r\n  "mcpServers": {\r\n    "files": {\r\n      "command": "npx"\r\n    }\r\n  }\r\n}\r\n',
    "names that need care": '{\n  "a\\"b": "{[//]}",\n  "mcpServers": {"x//y": {"command": "/* no comment */"}},\n  "狐": "🦊"\n}',
    "numbers": '{"big": 12345678901234567890, "small": -1.5e-7, "mcpServers": {}}',
    "empty servers": '{\n  "mcpServers": {}\n}\n',
    "ours by hand": """{
  "mcpServers": {
    "cdp-image-mcp": {
      "command": "/old/place/cdp-image-mcp",
      "args": [],
      "timeout": 5000, // mine
      "env": { "GPT_IMAGE_BACKEND": "api" }
    },
    "files": { "command": "npx" }
  }
}
""",
}
JSON_BROKEN = {
    "cut": '{"mcpServers": {"files": {"command": "npx"',
    "no comma": '{"a": 1 "b": 2}',
    "single quotes": "{'mcpServers': {}}",
    "a bare name": "{mcpServers: {}}",
    "two roots": "{} {}",
    "a list": "[]",
    "servers that are a list": '{"mcpServers": []}',
    "servers that are a text": '{"mcpServers": "none"}',
    "ours is a text": '{"mcpServers": {"cdp-image-mcp": "yes"}}',
    "a name twice": '{"mcpServers": {}, "mcpServers": {"files": {}}}',
    "a comment that never ends": '{"a": 1 /* ',
    "too deep": "[" * 100_000,
    "other words": "# my settings\n",
}
TOML = {
    "nothing": "",
    "settings": 'model = "gpt-5-codex"\napproval_policy = "on-request"\n\n[history]\npersistence = "save-all"\n',
    "another server": '[mcp_servers.files]\ncommand = "npx"\nargs = ["-y", "files"]\n\n[mcp_servers.files.env]\nA = "b"\n',
    "comments": '# codex\n\n[mcp_servers.files] # mine\ncommand = "npx" # from npm\n\n# projects\n[projects."/home/me"]\ntrust_level = "trusted"\n',
    "Windows": '[mcp_servers.files]\r\ncommand = "npx"\r\n',
    "no newline at the end": 'model = "x"',
    "texts that look like headers": 'notice = """\n[mcp_servers.other]\ncommand = "no"\n"""\n\n[mcp_servers.files]\ncommand = "npx"\n',
    "ours with tables of its own": """[mcp_servers.cdp-image-mcp]
command = "/old/place/cdp-image-mcp"
args = []
default_tools_approval_mode = "approve"

[mcp_servers.cdp-image-mcp.env]
GPT_IMAGE_BACKEND = "api"

# profiles
[profiles.fast]
model = "small"
""",
    "a quoted name": '[mcp_servers."cdp-image-mcp"]\ncommand = "old"\n\n[other]\nx = 1979-05-27T07:32:00Z\n',
}
TOML_BROKEN = {
    "cut": "[mcp_servers.files\ncommand",
    "no value": "model = \n",
    "one line of servers": 'mcp_servers = { files = { command = "npx" } }\n',
    "ours in one line": 'mcp_servers.cdp-image-mcp = { command = "old" }\n',
    "servers that are a list": '[[mcp_servers]]\nname = "files"\n',
    "ours looks like a text": 'text = """\n[mcp_servers.cdp-image-mcp]\n"""\n',
}
GOOSE = {
    "nothing": "",
    "settings": "GOOSE_PROVIDER: openai\nGOOSE_MODEL: gpt-5\n",
    "another extension": """GOOSE_MODEL: gpt-5
extensions:
  developer:
    bundled: true
    enabled: true
    name: developer
    timeout: 300
    type: builtin
other: 1
""",
    "comments": "# goose\nextensions: # mine\n  # first\n  developer:\n    enabled: true\n\n  # last\n\nGOOSE_MODEL: x\n",
    "four spaces": "extensions:\n    developer:\n        enabled: true\n",
    "an empty mapping": "extensions: {}\nGOOSE_MODEL: x\n",
    "a document mark": "---\nextensions:\n  developer:\n    enabled: true\n",
    "Windows": "extensions:\r\n  developer:\r\n    enabled: true\r\n",
    "long texts": "note: |\n  extensions:\n    none\nextensions:\n  developer:\n    enabled: true\n",
    "a long text that ends with a number sign": """extensions:
  recipes:
    enabled: true
    code: |
      # Recipes
      print(1)
      # the end
    # args: []

# models
GOOSE_MODEL: x
""",
    "ours as Goose saves it": """extensions:
  cdp-image-mcp:
    enabled: true
    type: stdio
    name: cdp-image-mcp
    description: ''
    cmd: /old/place/python
    args:
    - -m
    - cdp_image_mcp
    envs:
      GPT_IMAGE_WAIT_SECONDS: '300'
      MINE: it's (mine), [all] of it = 1
      OTHERS: '#1: it''s'
    env_keys: []
    timeout: 900
    bundled: null
    available_tools: []
  developer:
    enabled: true
""",
    "ours by hand": """extensions:
  cdp-image-mcp:
    name: cdp-image-mcp
    enabled: false
    type: stdio
    cmd: /old/place/cdp-image-mcp
    args: []
    envs:
      GPT_IMAGE_BACKEND: api
  developer:
    enabled: true
""",
}
GOOSE_BROKEN = {
    "one line": "extensions: {developer: {enabled: true}}\n",
    "twice": "extensions:\n  a:\n    b: 1\nextensions:\n  c:\n    d: 2\n",
    "tabs": "extensions:\n\tdeveloper:\n\t\tenabled: true\n",
    "a list": "extensions:\n  - name: developer\n",
    "two documents": "extensions:\n  a:\n    b: 1\n---\nx: 1\n",
    "ours in one line": "extensions:\n  cdp-image-mcp: {cmd: old}\n",
    "ours with a list of more than texts": "extensions:\n  cdp-image-mcp:\n    cmd: x\n    args:\n    - a: b\n",
    "ours with a long text": "extensions:\n  cdp-image-mcp:\n    cmd: x\n    description: |\n      # mine\n",
    "ours with a comment behind a value": "extensions:\n  cdp-image-mcp:\n    cmd: x # mine\n",
    "ours with an anchor": "extensions:\n  cdp-image-mcp:\n    <<: *base\n    cmd: x\n",
}
CONTINUE = {
    "nothing": "",
    "models": "name: Local\nversion: 1.0.0\nmodels:\n  - name: GPT\n    provider: openai\n",
    "another server": "name: Local\nmcpServers:\n  - name: files\n    command: npx\n    args:\n      - -y\nrules: []\n",
    "items as far out as their key": "mcpServers:\n- name: files\n  command: npx\nrules: []\n",
    "an empty list": "mcpServers: []\nname: Local\n",
    "ours by hand": "mcpServers:\n  - name: cdp-image-mcp\n    command: old\n    args: []\n    env:\n      A: b\n  - name: files\n    command: npx\n",
}
CONTINUE_BROKEN = {
    "ours in one line": "mcpServers:\n  - {name: cdp-image-mcp, command: x}\n",
    "another that names ours inside": "mcpServers:\n  - name: files\n    sub:\n      name: cdp-image-mcp\n",
    "ours with quoted keys": 'mcpServers:\n  - "name": "cdp-image-mcp"\n    "command": "x"\n',
    "ours in one line with quoted keys": "mcpServers:\n  - {'name' : 'cdp-image-mcp', 'command': 'x'}\n",
}
