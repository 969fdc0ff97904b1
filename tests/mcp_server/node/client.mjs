// One conversation with the server through a TypeScript client: node client.mjs v1|v2|v2-modern COMMAND ARGUMENTS...
// Prints what was seen as one JSON object; whoever started it judges.
const [which, command, ...args] = process.argv.slice(2);
const seen = { which };
const asked = [];

async function connected() {
  const capabilities = { elicitation: { form: {}, url: {} } };
  if (which === "v1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const types = await import("@modelcontextprotocol/sdk/types.js");
    const client = new Client({ name: "v1", version: "1" }, { capabilities });
    client.setRequestHandler(types.ElicitRequestSchema, async (request) => answered(request.params));
    await client.connect(new StdioClientTransport({ command, args, stderr: "inherit" }));
    return [client, (params, options) => client.callTool(params, undefined, options)];
  }
  const { Client } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const versionNegotiation = which === "v2-modern" ? { mode: "auto" } : undefined;
  const client = new Client({ name: "v2", version: "1" }, { capabilities, versionNegotiation });
  client.setRequestHandler("elicitation/create", async (request) => answered(request.params));
  await client.connect(new StdioClientTransport({ command, args, stderr: "inherit" }));
  return [client, (params, options) => client.callTool(params, options)];
}

function answered(params) {
  asked.push({ mode: params.mode, url: params.url });
  return { action: "accept" };
}

const shape = (result) => ({
  types: result.content.map((block) => block.type),
  mimeTypes: result.content.filter((block) => block.type === "image").map((block) => block.mimeType),
  answer: JSON.parse(result.content[0].text),
  isError: result.isError === true,
  structured: result.structuredContent ?? null,
});

const [client, call] = await connected();
seen.instructions = (client.getInstructions() ?? "").length;
seen.tools = (await client.listTools()).tools.map((tool) => tool.name);

const progress = [];
const onprogress = (told) => progress.push(told.progress);
const arguments_ = { prompt: "a fox" };
seen.working = shape(await call({ name: "generate_image", arguments: arguments_ }, { onprogress }));
seen.progress = progress;
const generation_id = seen.working.answer.generation_id;
seen.saved = shape(await call({ name: "wait_for_image", arguments: { generation_id, wait_seconds: 5 } }));
seen.bad = shape(await call({ name: "generate_image", arguments: { prompt: "a fox", n: 99 } }));
seen.status = shape(await call({ name: "backend_status", arguments: {} }));
seen.window = shape(await call({ name: "browser_visibility", arguments: {} }));
seen.signedIn = shape(await call({ name: "generate_image", arguments: { prompt: "sign in first" } }));
seen.asked = asked;
try {
  await call({ name: "paint", arguments: {} });
} catch (error) {
  seen.unknown = error.code;
}
const abort = new AbortController();
const held = call({ name: "generate_image", arguments: { prompt: "hold on" } }, { signal: abort.signal });
setTimeout(() => abort.abort("enough"), 100);
try {
  await held;
} catch (error) {
  seen.aborted = true;
}
seen.afterAbort = shape(await call({ name: "wait_for_image", arguments: {} })).answer.status;
await client.close();
console.log(JSON.stringify(seen));
