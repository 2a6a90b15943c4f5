// `@runware/sdk-js` from npm, as its readme has it: one client, `requestImages`, and `Promise.all` for many.
//
// Polled tasks go through `videoInference`: of its operations on one prompt, that is one that polls by itself. Its
// waiting is a timer of 100 ms a call, which cannot be set; polling is one of 2 s. It runs in a directory of its own;
// the commands are those of `serving.py`.

import { createInterface } from "node:readline";
import { writeSync } from "node:fs";
import { Runware } from "@runware/sdk-js";

const PROMPT = "a lighthouse at dusk, waves, long exposure, film grain";
const HOLD = `${PROMPT} #hold`;
const NUMBER = 20;
const LIFETIME = 3_600_000;
const media = new Map();
const left = [];
let client;
let kept = [];

const small = (positivePrompt, more) => ({
  positivePrompt, model: "runware:101@1", width: 1024, height: 1024, ...more,
});
const call = (prompt, more) => client.requestImages(small(prompt, more));
const now = () => Number(process.hrtime.bigint());
const text = (error) => (error instanceof Error ? error.message : JSON.stringify(error?.error ?? error));

function medium(size) {
  if (!media.has(size)) {
    const head = "data:image/png;base64,";
    media.set(size, head + Buffer.alloc(size, "runware").toString("base64").slice(0, size - head.length));
  }
  return media.get(size);
}

async function timed(work) {
  const started = performance.now();
  const found = await work();
  return { wall: (performance.now() - started) / 1000, found };
}

const commands = {
  async open({ url }) {
    if (url.startsWith("http")) return { cannot: "no HTTP" };
    client = await Runware.initialize({ apiKey: "bench", url });
    return {};
  },
  async serial({ count, seconds }) {
    const started = performance.now();
    let done = 0;
    while (done < count && performance.now() - started < seconds * 1000) {
      await call(PROMPT);
      done += 1;
    }
    return { count: done, wall: (performance.now() - started) / 1000 };
  },
  async flight({ count }) {
    const all = () => Promise.allSettled(Array.from({ length: count }, () => call(HOLD)));
    const { wall, found } = await timed(all);
    const bad = found.filter((one) => one.status === "rejected");
    return { wall, right: count - bad.length, error: bad.length ? text(bad[0].reason) : "" };
  },
  async partial({ tasks }) {
    const lags = [];
    const onPartialImages = (images) => images.forEach((image) => lags.push(now() - image.seed));
    for (let number = 0; number < tasks; number += 1) {
      await call(`${PROMPT} #every=4`, { numberResults: NUMBER, onPartialImages });
    }
    return { lags };
  },
  async polled({ ms, spacing }) {
    const lags = [];
    const one = async (number) => {
      const found = await client.videoInference(small(`${PROMPT} #ms=${ms[number]}`));
      lags[number] = now() - (Array.isArray(found) ? found[0] : found).seed;
    };
    const tasks = [];
    for (let number = 0; number < ms.length; number += 1) {
      tasks.push(one(number));
      if (spacing) await new Promise((go) => setTimeout(go, spacing * 1000));
    }
    await Promise.all(tasks);
    return { lags };
  },
  async large({ count, size }) {
    const { wall } = await timed(async () => {
      for (let number = 0; number < count; number += 1) {
        const [image] = await call(`#size=${size}`);
        if (image.imageBase64Data.length !== size) throw new Error("not the whole result");
      }
    });
    return { wall };
  },
  async upload({ count, size }) {
    const seedImage = medium(size);
    const { wall } = await timed(async () => {
      for (let number = 0; number < count; number += 1) await call(PROMPT, { seedImage });
    });
    return { wall };
  },
  async peak({ count, size }) {
    const found = await Promise.all(Array.from({ length: count }, () => call(`${PROMPT} #size=${size}`)));
    kept = found.map(([image]) => image.imageBase64Data);
    if (kept.some((text) => text.length !== size)) throw new Error("not the whole result");
    return {};
  },
  async forget() {
    kept = [];
    return {};
  },
  async mixed({ seconds, size, every }) {
    const lags = [];
    const started = performance.now();
    let moved = 0;
    const move = async () => {
      while (performance.now() < started + seconds * 1000) {
        const [image] = await call(`#size=${size}`);
        moved += image.imageBase64Data.length;
      }
    };
    const one = async (due) => {
      await call(PROMPT);
      lags.push((performance.now() - due) / 1000);
    };
    const waiting = [move()];
    for (let number = 0; number < Math.floor(seconds / every); number += 1) {
      const due = started + number * every * 1000;
      await new Promise((go) => setTimeout(go, Math.max(0, due - performance.now())));
      waiting.push(one(due));
    }
    await Promise.all(waiting);
    return { lags, moved };
  },
  async wait({ count }) {
    for (let number = 0; number < count; number += 1) left.push(call(HOLD).catch(() => {}));
    return {};
  },
  async collect() {
    globalThis.gc?.();
    return {};
  },
};

setTimeout(() => process.exit(1), LIFETIME).unref();
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    const work = commands[command.do];
    answer = work ? await work(command) : { cannot: `no ${command.do}` };
  } catch (error) {
    answer = { failed: text(error) };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
process.exit(0);
