"use strict";
// Shows what the server sends as server-sent events. Everything that comes from a program is set as text, never as HTML.

const find = (id) => document.getElementById(id);

/** Create an element: its properties, and its children (elements or texts; null is left out). */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const dollars = (value) => `$${value >= 0.1 ? value.toFixed(2) : value.toFixed(8).replace(/\.?0+$/, "")}`;
const json = (value) => JSON.stringify(value, null, 2);

// Theme: the browser's, until the user chooses one.

const dark = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
try { chosen = localStorage.getItem("theme"); } catch { /* storage is off */ }

function showTheme() {
  document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
}

find("theme").addEventListener("click", () => {
  chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", chosen); } catch { /* storage is off */ }
  showTheme();
});
dark.addEventListener("change", showTheme);
showTheme();

// Actions.

async function act(name, what = "") {
  let problem = "";
  try {
    const response = await fetch("/inspector/action", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ do: name, what }),
    });
    problem = response.ok ? "" : ((await response.json()).error ?? `status ${response.status}`);
  } catch {
    problem = "The server does not answer.";
  }
  find("problem").textContent = problem;
  find("problem").hidden = problem === "";
}

find("drop").addEventListener("click", () => act("drop"));
find("stop").addEventListener("click", () => act("stop"));
find("hold").addEventListener("click", () => act(server.holding ? "release" : "hold"));

// Tasks.

const tasks = new Map(); // by number: the task as sent, and its elements
let cleared = 0;

function mediaTile(file) {
  const tile = make("span", { className: "tile" }, file.format);
  if (file.kind !== "image") return tile;
  const image = make("img", { src: file.path, alt: "", loading: "lazy" });
  image.addEventListener("error", () => {
    tile.dataset.path = file.path;
    image.replaceWith(tile);
  });
  return image;
}

/** Bring the children of an element up to date with a list of files, without loading any again. */
function showFiles(element, files, create, most = Infinity) {
  const shown = files.slice(0, most);
  const paths = shown.map((file) => file.path).join(" ");
  if (element.dataset.paths === paths + files.length) return;
  element.dataset.paths = paths + files.length;
  const known = new Map([...element.children].map((child) => [child.dataset.path, child]));
  element.replaceChildren(
    ...shown.map((file) => {
      const child = known.get(file.path) ?? create(file);
      child.dataset.path = file.path;
      return child;
    }),
    ...(files.length > most ? [make("span", { className: "more" }, `+${files.length - most}`)] : []),
  );
}

function addTask(task) {
  const parts = {
    thumbs: make("div", { className: "thumbs" }),
    what: make("div", { className: "what" }),
    outcome: make("div", { className: "outcome" }),
    details: make("div", { className: "details" }),
    pictures: make("div", { className: "pictures" }),
  };
  const summary = make("summary", {}, parts.thumbs, parts.what, parts.outcome);
  const root = make("details", { className: "task" }, summary, parts.details);
  root.dataset.number = task.number;
  root.addEventListener("toggle", () => root.open && showDetails(tasks.get(task.number)));
  const entry = { task, parts, root };
  tasks.set(task.number, entry);
  find("tasks").prepend(root);
  return entry;
}

function showTask(task) {
  const entry = tasks.get(task.number) ?? addTask(task);
  entry.task = task;
  const { parts, root } = entry;
  const files = task.results.flatMap((result) => result.media);
  showFiles(parts.thumbs, files, mediaTile, 4);
  parts.thumbs.hidden = files.length === 0;
  parts.what.replaceChildren(
    make("div", {}, make("b", {}, task.type || "no task type"), make("span", { className: "model" }, task.model)),
    make("div", { className: "prompt" }, task.prompt || "\u00a0"),
  );
  const finished = task.results.length + (task.status === "partly failed" ? task.errors.length : 0);
  const count = task.expected > 1 ? `${task.results.length} of ${task.expected}, ` : "";
  const reason = task.errors.length ? String(task.errors[0].code ?? "") : "";
  parts.outcome.replaceChildren(
    make("span", { className: "status", "data-status": task.status }, task.status),
    make("div", { className: "small" }, `${reason ? `${reason}, ` : ""}${count}${dollars(task.cost)}`),
  );
  root.dataset.status = task.status;
  root.dataset.finished = finished;
  if (root.open) showDetails(entry);
  showVisibility(entry);
}

function picture(file) {
  const link = make("a", { href: file.path, target: "_blank", rel: "noopener", title: `Open the ${file.format} file` });
  if (file.kind === "audio") return make("audio", { src: file.path, controls: true, preload: "none" });
  link.append(file.kind === "image" ? make("img", { src: file.path, alt: "result" }) : mediaTile(file));
  return link;
}

function showDetails({ task, parts }) {
  const time = new Date(task.at * 1000);
  const clock = `${time.toTimeString().slice(0, 8)}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  const fact = (name, value) => make("span", {}, `${name} `, make("code", {}, String(value)));
  const files = task.results.flatMap((result) => result.media);
  showFiles(parts.pictures, files, picture);
  const fields = task.results.map((result) => result.fields);
  parts.details.replaceChildren(
    make(
      "div",
      { className: "facts" },
      fact("received", clock),
      task.delivery ? fact("delivery", task.delivery) : null,
      fact("submissions", task.submissions),
      fact("executions", task.executions),
      fact("polls", task.polls),
      task.uuid ? fact("UUID", task.uuid) : null,
    ),
    ...(files.length ? [make("h3", {}, "Files"), parts.pictures] : []),
    make("h3", {}, "Request"),
    make("pre", { tabIndex: 0 }, json(task.request)),
    ...(task.errors.length ? [make("h3", {}, "Errors"), make("pre", { tabIndex: 0 }, json(task.errors))] : []),
    ...(fields.length ? [make("h3", {}, "Results"), make("pre", { tabIndex: 0 }, json(fields))] : []),
    ...(task.deliveries.length ? [make("h3", {}, "Webhooks"), deliveries(task)] : []),
  );
}

function deliveries(task) {
  return make(
    "ul",
    { className: "deliveries" },
    ...task.deliveries.map((one) => {
      const state = one.statuses.length ? one.statuses.join(", ") : "on the way";
      return make("li", {}, make("span", { className: one.ok ? "ok" : "not" }, state), ` ${one.url}`);
    }),
  );
}

function matches(task, words) {
  const text = [task.type, task.model, task.prompt, task.status, task.uuid].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function filterWords(id) {
  return find(id).value.toLowerCase().split(/\s+/).filter(Boolean);
}

function showVisibility(entry) {
  entry.root.hidden = entry.task.number <= cleared || !matches(entry.task, filterWords("filter"));
}

function showEmptiness() {
  const entries = [...tasks.values()];
  const left = entries.filter((entry) => entry.task.number > cleared).length;
  find("none").hidden = left > 0;
  find("unmatched").hidden = left === 0 || entries.some((entry) => !entry.root.hidden);
}

find("filter").addEventListener("input", () => {
  tasks.forEach(showVisibility);
  showEmptiness();
});
find("clear").addEventListener("click", () => {
  cleared = Math.max(0, ...tasks.keys());
  tasks.forEach(showVisibility);
  showEmptiness();
});

// The server: numbers, connections, faults.

let server = { playing: [], connections: [], holding: false };

function showServer() {
  const balance = server.balance === null ? "∞" : dollars(server.balance);
  const numbers = { ...server, billed: dollars(server.billed), balance };
  for (const element of document.querySelectorAll("[data-counter]")) {
    element.textContent = numbers[element.dataset.counter];
  }
  const hold = find("hold");
  hold.setAttribute("aria-pressed", String(server.holding));
  hold.textContent = server.holding ? `Release ${server.held} held` : "Hold results";
  find("connected").textContent = server.connections.length;
  find("playing").textContent = server.playing.length;
  find("unconnected").hidden = server.connections.length > 0;
  find("connections").replaceChildren(...server.connections.map(connectionRow));
  showConnect();
  const names = new Set(server.playing.map((fault) => fault.name));
  const shown = [...names].join(" ");
  if (find("on").dataset.names !== shown) {
    find("on").dataset.names = shown;
    find("on").replaceChildren(...[...names].map(offButton));
  }
  document.querySelectorAll("#faults > li").forEach(showFault);
}

function connectionRow(connection) {
  const state = connection.stalled ? "stalled" : connection.session ? "open" : "not authenticated";
  const session = connection.session ? `session ${connection.session.slice(0, 8)}, ` : "";
  return make(
    "li",
    {},
    make(
      "div",
      { className: "who" },
      make("div", { title: connection.program }, connection.program || "a program"),
      make("div", { className: "session" }, `${session}${connection.seconds} s`),
    ),
    make("span", { className: "status", "data-status": connection.stalled ? "failed" : "done" }, state),
  );
}

function connectLines(shell) {
  const key = server.key ?? "the-key-of-this-server";
  if (shell === "powershell") return `$env:RUNWARE_API_KEY = "${key}"\n$env:RUNWARE_URL = "${server.url}"`;
  if (shell === "python") return `rw = Runware(\n    "${key}",\n    url="${server.url}",\n)`;
  return `export RUNWARE_API_KEY=${key}\nexport RUNWARE_URL=${server.url}`;
}

function showConnect() {
  const text = server.url ? connectLines(find("shell").value) : "";
  if (find("connect").textContent !== text) find("connect").textContent = text;
  find("key-note").textContent = server.key ? "" : "The key is the one that this server was started with.";
}

find("shell").addEventListener("change", showConnect);
find("copy").addEventListener("click", async () => {
  const text = find("connect").textContent;
  try {
    await navigator.clipboard.writeText(text);
    find("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(find("connect")); // so that Ctrl-C copies it
    find("copy").textContent = "Press Ctrl-C";
  }
  setTimeout(() => { find("copy").textContent = "Copy"; }, 1500);
});

function parameterField(name, { default: value, choices }) {
  if (typeof value === "boolean") choices = [false, true];
  if (choices.length) {
    const options = choices.map((choice) => make("option", { selected: choice === value }, String(choice)));
    return make("label", {}, name, make("select", { name }, ...options));
  }
  const placeholder = value === null ? "none" : String(value);
  return make("label", {}, name, make("input", { name, placeholder, autocomplete: "off", spellcheck: false }));
}

function addFault(fault) {
  const fields = Object.entries(fault.parameters).map(([name, parameter]) => parameterField(name, parameter));
  const times = parameterField("times", { default: fault.times, choices: [] });
  const button = make("button", { type: "button", "aria-pressed": "false" }, "Switch on");
  const item = make(
    "li",
    {},
    make(
      "div",
      { className: "head" },
      make("div", { className: "name" }, make("b", {}, fault.alias), make("span", {}, fault.name)),
      button,
    ),
    make("div", { className: "now", hidden: true }),
    make("div", { className: "summary" }, fault.summary.replaceAll("`", "")),
    make("div", { className: "set" }, ...fields, times),
  );
  item.dataset.fault = fault.name;
  item.dataset.text = `${fault.alias} ${fault.alias.replaceAll("_", " ")} ${fault.name} ${fault.summary}`.toLowerCase();
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-pressed") === "true") return act("stop", fault.name);
    const given = [...item.querySelectorAll("input, select")].filter((field) => field.value.trim() !== "");
    return act("play", `${fault.name}:${given.map((field) => `${field.name}=${field.value.trim()}`).join(",")}`);
  });
  button.setAttribute("aria-label", `Switch on ${fault.alias}`);
  return item;
}

function offButton(name) {
  const alias = document.querySelector(`#faults > li[data-fault="${name}"] b`)?.textContent ?? name;
  const button = make("button", { type: "button", "aria-label": `Switch off ${alias}` }, `${alias} ✕`);
  button.addEventListener("click", () => act("stop", name));
  return make("li", {}, button);
}

function showFault(item) {
  const playing = server.playing.filter((fault) => fault.name === item.dataset.fault);
  const button = item.querySelector("button");
  const now = item.querySelector(".now");
  const on = playing.length > 0;
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Switch off" : "Switch on";
  now.hidden = !on;
  now.textContent = playing
    .map((fault) => `on: played ${fault.played} ×, ${fault.times === null ? "always" : `${fault.times} more`}`)
    .join("; ");
}

function showFoundFaults() {
  const words = filterWords("find");
  for (const item of find("faults").children) {
    item.hidden = !words.every((word) => item.dataset.text.includes(word));
  }
}
find("find").addEventListener("input", showFoundFaults);

// Events.

const events = new EventSource("/inspector/events");

function showLive(state, text) {
  find("live").dataset.state = state;
  find("live").textContent = text;
}

events.addEventListener("open", () => showLive("live", "live"));
events.addEventListener("error", () => showLive("lost", "the server does not answer; trying again"));
events.addEventListener("faults", ({ data }) => {
  // The first event of every connection: what is shown may come from an earlier one.
  tasks.forEach(({ root }) => root.remove());
  tasks.clear();
  showEmptiness();
  if (find("faults").children.length === 0) find("faults").replaceChildren(...JSON.parse(data).map(addFault));
});
events.addEventListener("server", ({ data }) => {
  server = JSON.parse(data);
  showServer();
});
events.addEventListener("tasks", ({ data }) => {
  const { changed, gone } = JSON.parse(data);
  for (const number of gone) {
    tasks.get(number)?.root.remove();
    tasks.delete(number);
  }
  if (changed.length && changed.at(-1).number < cleared) cleared = 0; // another server has this address now
  changed.forEach(showTask);
  showEmptiness();
});
