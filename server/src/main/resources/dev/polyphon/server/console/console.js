// The views, and what keeps them live.
import {ask, key, quantile, scrape, sum, values} from "/console/server.js";
import {offer} from "/console/playground.js";
import {Plot} from "/console/plot.js";

const $ = id => document.getElementById(id);
const EVERY = 2000;
const WINDOW = 60_000;
const SPAN = 300_000;
const SHOWN = 200;
const FIRST = "polyphon_time_to_first_token_seconds";
const PER_TOKEN = "polyphon_time_per_output_token_seconds";
const GENERATED = "polyphon_tenant_generated_tokens_total";

const seconds = value => value === null ? "–" : value < 1 ? `${(value * 1000).toFixed(value < 0.1 ? 1 : 0)} ms` : `${value.toFixed(2)} s`;
const bytes = value => value < 1 << 20 ? `${(value / 1024).toFixed(0)} KiB` : value < 2 ** 30 ? `${(value / 2 ** 20).toFixed(1)} MiB` : `${(value / 2 ** 30).toFixed(2)} GiB`;
const number = value => value.toLocaleString("en", {maximumFractionDigits: 1});
const percent = value => `${(100 * value).toFixed(0)} %`;

const plots = {
  queue: new Plot($("queue-plots"), "Sequences", ["running", "waiting"], number),
  rate: new Plot($("queue-plots"), "Tokens a second", ["generated", "read"], number),
  first: new Plot($("latency-plots"), "Time to first token", ["median", "95 %"], seconds),
  perToken: new Plot($("latency-plots"), "Time per output token", ["median", "95 %"], seconds),
  request: new Plot($("latency-plots"), "Time of a request", ["median", "95 %"], seconds),
  step: new Plot($("latency-plots"), "Time of a step", ["median", "95 %"], seconds),
};

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), {textContent: text, className});
}

function row(...cells) {
  const line = document.createElement("tr");
  cells.forEach((cell, i) => {
    const box = document.createElement(i ? "td" : "th");
    if (!i) box.scope = "row";
    if (typeof cell === "number" || cell?.number) box.className = "number";
    box.append(cell?.number ?? cell);
    line.append(box);
  });
  return line;
}

function tiles(id, entries) {
  $(id).replaceChildren(...Object.entries(entries).map(([name, value]) => {
    const tile = document.createElement("div");
    tile.append(element("dt", name), element("dd", value));
    return tile;
  }));
}

// Views: one section at a time, by the fragment.

function show() {
  const wanted = location.hash.slice(1);
  const sections = [...document.querySelectorAll("main > section")];
  const chosen = sections.find(section => section.id === wanted) || sections[0];
  sections.forEach(section => section.hidden = section !== chosen);
  document.querySelectorAll("nav a").forEach(link => {
    if (link.hash === "#" + chosen.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
}
addEventListener("hashchange", () => location.hash === "#main" ? $("main").focus() : show());
show();

// Theme and key

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}
$("theme").value = localStorage.getItem("polyphon-theme") || "";
theme($("theme").value);
$("theme").addEventListener("change", event => {
  localStorage.setItem("polyphon-theme", event.target.value);
  theme(event.target.value);
});
$("key").value = key.get();
$("key").addEventListener("change", event => {
  key.set(event.target.value);
  refresh();
});

// Pool

let adapters = {total: 0, adapters: []};

async function refreshModels() {
  const [models, pool] = await Promise.all([ask("/v1/models"), ask("/console/adapters")]);
  adapters = await pool.json();
  offer((await models.json()).data);
}

function showPool(now) {
  const kv = sum(now, "polyphon_kv_blocks");
  tiles("pool-tiles", {
    "Registered": number(sum(now, "polyphon_adapters_registered")),
    "In memory": number(sum(now, "polyphon_adapters_loaded")),
    "Memory of adapters": bytes(sum(now, "polyphon_adapters_loaded_bytes")),
    "Loads": number(sum(now, "polyphon_adapter_loads_total", {outcome: "ok"})),
    "Loads failed": number(sum(now, "polyphon_adapter_loads_total", {outcome: "failed"})),
    "KV cache in use": kv ? percent(sum(now, "polyphon_kv_blocks_used") / kv) : "–",
  });
  showAdapters(now);
}

function showAdapters(now) {
  if (document.activeElement?.closest("#adapters")) return;
  const wanted = $("find").value.toLowerCase();
  const info = now.samples.get("vllm:lora_requests_info")?.[0]?.labels || {};
  const running = new Set((info.running_lora_adapters || "").split(","));
  const waiting = new Set((info.waiting_lora_adapters || "").split(","));
  const found = adapters.adapters.filter(adapter => adapter.name.toLowerCase().includes(wanted));
  $("adapters").replaceChildren(...found.slice(0, SHOWN).map(adapter => {
    const unload = element("button", "Unload");
    unload.type = "button";
    unload.setAttribute("aria-label", `Unload ${adapter.name}`);
    unload.addEventListener("click", () => change("load-result", "/v1/unload_lora_adapter", {json: {lora_name: adapter.name}}));
    return row(adapter.name, adapter.kind, element("span", adapter.tier, adapter.loaded ? "tier memory" : "tier"),
        {number: adapter.loaded ? bytes(adapter.bytes) : "–"},
        [running.has(adapter.name) && "running", waiting.has(adapter.name) && "waiting"].filter(Boolean).join(", ") || "–", unload);
  }));
  const shown = Math.min(found.length, SHOWN);
  $("adapters-more").textContent = adapters.total > shown ? `${shown} of ${adapters.total} shown` : "";
}

/** Loads or unloads an adapter, and says how it went. */
/** Asks for a change to the pool, and says below its form what came of it; whether it was made. */
async function change(result, path, options, done = text => text) {
  try {
    Object.assign($(result), {className: "", textContent: "…"});
    const answer = await (await ask(path, options)).text();
    $(result).textContent = done(answer);
    document.activeElement?.blur();
    await refreshModels();
    return true;
  } catch (error) {
    Object.assign($(result), {className: "bad", textContent: error.message});
    return false;
  }
}
$("load").addEventListener("submit", async event => {
  event.preventDefault();
  const json = {lora_name: $("load-name").value, lora_path: $("load-folder").value};
  if (await change("load-result", "/v1/load_lora_adapter", {json})) event.target.reset();
});
$("upload").addEventListener("submit", async event => {
  event.preventDefault();
  const name = $("upload-name").value;
  const body = new FormData();
  for (const file of $("upload-files").files) body.append("file", file, file.name);
  const button = event.submitter;
  button.disabled = true;
  const made = await change("upload-result", `/admin/v1/adapters/${encodeURIComponent(name)}/files`, {method: "PUT", body},
      text => `${name} is there, version ${JSON.parse(text).version.slice(0, 8)}`);
  button.disabled = false;
  if (made) event.target.reset();
});
$("find").addEventListener("input", () => history.length && showAdapters(history.at(-1)));

// Queue, latency

let history = [];

function showQueue(before, now) {
  const passed = Math.max(1, now.time - before.time) / 1000;
  const queried = sum(now, "polyphon_prefix_cache_queried_tokens_total");
  tiles("queue-tiles", {
    "Running": number(sum(now, "polyphon_sequences_running")),
    "Waiting": number(sum(now, "polyphon_sequences_waiting")),
    "Put back": number(sum(now, "polyphon_preemptions_total")),
    "Timed out": number(sum(now, "polyphon_queue_timeouts_total")),
    "Prefix cache found": queried ? percent(sum(now, "polyphon_prefix_cache_hit_tokens_total") / queried) : "–",
  });
  const all = sum(now, GENERATED) - sum(before, GENERATED);
  $("tenants").replaceChildren(...values(now, "polyphon_tenant_requests_running", "tenant").map(tenant => {
    const tokens = sum(now, GENERATED, {tenant}) - sum(before, GENERATED, {tenant});
    const share = Object.assign(document.createElement("meter"), {max: 1, value: all ? tokens / all : 0});
    share.setAttribute("aria-label", `Share of ${tenant}`);
    const shown = document.createElement("span");
    shown.append(share, " ", percent(share.value));
    return row(tenant, sum(now, "polyphon_tenant_requests_waiting", {tenant}), sum(now, "polyphon_tenant_requests_running", {tenant}),
        {number: seconds(quantile(0.95, before, now, "polyphon_queue_duration_seconds", {tenant}))}, {number: number(tokens / passed)}, shown);
  }));
}

function showLatency(before, now) {
  $("classes").replaceChildren(...values(now, FIRST + "_count", "adapter_class").map(name => {
    const labels = {adapter_class: name};
    return row(name, sum(now, FIRST + "_count", labels) - sum(before, FIRST + "_count", labels),
        {number: seconds(quantile(0.5, before, now, FIRST, labels))}, {number: seconds(quantile(0.95, before, now, FIRST, labels))},
        {number: seconds(quantile(0.5, before, now, PER_TOKEN, labels))});
  }));
}

function plot(now) {
  const recent = history.find(scraped => scraped.time >= now.time - 15_000) || now;
  const last = history.at(-2) || now;
  const passed = Math.max(1, now.time - last.time) / 1000;
  const rate = name => (sum(now, name) - sum(last, name)) / passed;
  plots.queue.add(now.time, [sum(now, "polyphon_sequences_running"), sum(now, "polyphon_sequences_waiting")], SPAN);
  plots.rate.add(now.time, [rate("polyphon_generated_tokens_total"), rate("polyphon_prompt_tokens_total")], SPAN);
  for (const [name, metric] of [["first", FIRST], ["perToken", PER_TOKEN], ["request", "polyphon_request_duration_seconds"], ["step", "polyphon_step_duration_seconds"]]) {
    plots[name].add(now.time, [0.5, 0.95].map(p => quantile(p, recent, now, metric)), SPAN);
  }
}

async function refresh() {
  try {
    const now = await scrape();
    history = [...history.filter(scraped => scraped.time > now.time - WINDOW), now];
    await refreshModels();
    showPool(now);
    showQueue(history[0], now);
    showLatency(history[0], now);
    plot(now);
    const version = now.samples.get("polyphon_build_info")?.[0]?.labels.version || "";
    say(`connected, version ${version}`, "");
  } catch (error) {
    say(error instanceof TypeError ? "the server does not answer" : error.message, "bad");
  }
}

/** Sets the status only when it changes: a screen reader reads every change aloud. */
function say(text, className) {
  if ($("status").textContent !== text) Object.assign($("status"), {textContent: text, className});
}

async function run() {
  await refresh();
  setTimeout(run, EVERY);
}
run();
