// What `@runware/sdk-js` is asked to do. It runs in a directory of its own; see `tools/official_clients.py`.

import { readFileSync } from "node:fs";
import { Runware } from "@runware/sdk-js";

const [url, , key] = process.argv.slice(2);
const source = "cc000000-0000-4000-8000-000000000001";
const picture = { positivePrompt: "a red kite", model: "runware:101@1", width: 512, height: 512 };
const told = {
  version: JSON.parse(readFileSync(new URL("./node_modules/@runware/sdk-js/package.json", import.meta.url))).version,
};

const client = await Runware.initialize({ apiKey: key, url });

async function step(name, call, field) {
  try {
    const found = await call();
    const items = Array.isArray(found) ? found : [found];
    told[name] = field ? { urls: items.map((item) => item[field]) } : { text: items[0].text };
  } catch (error) {
    const inner = error?.error ?? error;
    told[name] =
      name === "validation error" && inner?.code
        ? { code: inner.code, parameter: inner.parameter }
        : { failed: JSON.stringify(error) + String(error) };
  }
}

let partial = 0;
const onPartialImages = (images) => (partial += images?.length ?? 0);
await step("image", () => client.requestImages(picture), "imageURL");
await step("several images", () => client.requestImages({ ...picture, numberResults: 3, onPartialImages }), "imageURL");
if (partial !== 3) told["several images"] = { failed: `onPartialImages told ${partial} of 3` };
const clip = { positivePrompt: "waves", model: "klingai:5@3", duration: 10, width: 1920, height: 1080 };
await step("video", () => client.videoInference(clip), "videoURL");
await step("caption", () => client.requestImageToText({ inputImage: source }));
await step("upscale", () => client.upscaleGan({ inputImage: source, upscaleFactor: 4 }), "imageURL");
await step("validation error", () => client.requestImages({ ...picture, width: 5 }), "imageURL");
await client.disconnect();

console.log(JSON.stringify(told));
process.exit(0);
