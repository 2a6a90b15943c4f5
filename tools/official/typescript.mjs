// What `@runware/sdk` is asked to do. It runs in a directory of its own; see `tools/official_clients.py`.

import { readFileSync } from "node:fs";
import { createClient } from "@runware/sdk";

const [url, httpUrl, apiKey] = process.argv.slice(2);
const about = new URL("./node_modules/@runware/sdk/package.json", import.meta.url);
const told = { version: JSON.parse(readFileSync(about)).version };
const source = "cc000000-0000-4000-8000-000000000001";
const picture = {
  taskType: "imageInference",
  model: "runware:101@1",
  positivePrompt: "a red kite",
  width: 512,
  height: 512,
};
const clip = { taskType: "videoInference", model: "klingai:5@3", positivePrompt: "waves", duration: 5 };

async function step(name, call, field) {
  try {
    const found = await call();
    told[name] = field ? { urls: found.map((item) => item[field]) } : Array.isArray(found) ? found[0] : found;
  } catch (error) {
    told[name] =
      name === "validation error" && error?.code
        ? { code: error.code, parameter: error.parameter }
        : { failed: String(error) };
  }
}

async function streamed(client) {
  const messages = [{ role: "user", content: "What is a lighthouse?" }];
  const stream = await client.stream({ taskType: "textInference", model: "google:gemma@4-31b", messages });
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  const { text, finishReason: finish } = await stream.result();
  return { pieces: pieces.length, joined: pieces.join(""), text, finish };
}

const urls = { apiKey, wsBaseUrl: url, httpBaseUrl: `${httpUrl}/v1` };
const client = await createClient({ ...urls, transport: "websocket" });
await client.connect();
await step("image", () => client.run(picture), "imageURL");
await step("several images", () => client.run({ ...picture, numberResults: 3 }), "imageURL");
await step("video", () => client.run(clip), "videoURL");
await step("caption", () => client.run({ taskType: "caption", model: "runware:150@1", inputs: { image: source } }));
const upscale = { taskType: "upscale", model: "runware:501@1", inputs: { image: source }, upscaleFactor: 2 };
await step("upscale", () => client.run(upscale), "imageURL");
await step("validation error", () => client.run({ ...picture, width: 5 }), "imageURL");
await client.disconnect();

const http = await createClient({ ...urls, transport: "rest" });
await step("HTTP image", () => http.run(picture), "imageURL");
await step("HTTP video", () => http.run(clip), "videoURL");
await step("stream", () => streamed(http));

console.log(JSON.stringify(told));
process.exit(0);
