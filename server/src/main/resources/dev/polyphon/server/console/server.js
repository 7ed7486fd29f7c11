// What the console asks the server.

export const key = {
  get: () => sessionStorage.getItem("polyphon-key") || "",
  set: value => sessionStorage.setItem("polyphon-key", value),
};

/** Sends a request with the API key; throws the server's own message when it refuses. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("Authorization", "Bearer " + key.get());
  if (options.json !== undefined) headers.set("Content-Type", "application/json");
  const answer = await fetch(path, {
    ...options, headers,
    ...(options.json === undefined ? {} : {method: "POST", body: JSON.stringify(options.json)}),
  });
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // Not the shape of the API's errors: shown as it is.
  }
  throw new Error(message || `the server answers ${answer.status}`);
}

/** The data of server-sent events as they come, parsed, up to [DONE]. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) throw new Error("the answer was cut off");
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

const SAMPLE = /^([\w:]+)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = {"\\n": "\n", '\\"': '"', "\\\\": "\\"};

/** One scrape: for each name its samples as {labels, value}. */
export async function scrape() {
  const samples = new Map();
  for (const line of (await (await ask("/metrics")).text()).split("\n")) {
    const match = SAMPLE.exec(line);
    if (!match || line.startsWith("#")) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(LABEL)) {
      labels[name] = value.replace(/\\[n"\\]/g, escaped => ESCAPED[escaped]);
    }
    if (!samples.has(match[1])) samples.set(match[1], []);
    samples.get(match[1]).push({labels, value: Number(match[3])});
  }
  return {time: Date.now(), samples};
}

/** The sum of a metric's samples that have these labels. */
export function sum(scraped, name, labels = {}) {
  let total = 0;
  for (const sample of scraped.samples.get(name) || []) {
    if (Object.entries(labels).every(([label, value]) => sample.labels[label] === value)) total += sample.value;
  }
  return total;
}

/** The values of a label of a metric. */
export function values(scraped, name, label) {
  return [...new Set((scraped.samples.get(name) || []).map(sample => sample.labels[label]))].sort();
}

/** A quantile of what a histogram counted between two scrapes, or null when it counted nothing; within a bucket the counts lie evenly. */
export function quantile(p, before, after, name, labels = {}) {
  const bounds = values(after, name + "_bucket", "le").map(text => [text === "+Inf" ? Infinity : Number(text), text]).sort((a, b) => a[0] - b[0]);
  const counts = bounds.map(([, le]) => sum(after, name + "_bucket", {...labels, le}) - sum(before, name + "_bucket", {...labels, le}));
  const wanted = p * (counts.at(-1) || 0);
  if (!wanted) return null;
  const i = counts.findIndex(count => count >= wanted);
  const below = i ? counts[i - 1] : 0;
  const start = i ? bounds[i - 1][0] : 0;
  return bounds[i][0] === Infinity ? start : start + (bounds[i][0] - start) * (wanted - below) / (counts[i] - below);
}
