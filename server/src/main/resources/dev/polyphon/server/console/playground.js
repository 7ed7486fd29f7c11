// One message to two models or adapters at once, both answers as they come.
import {ask, events} from "/console/server.js";

const $ = id => document.getElementById(id);
let stopping = null;

class Side {
  constructor(element) {
    this.model = element.querySelector(".model");
    this.log = element.querySelector(".log");
    this.figures = element.querySelector(".figures");
    this.turns = [];
  }

  say(role, text) {
    const line = document.createElement("p");
    line.className = role;
    line.textContent = text;
    this.log.append(line);
    this.log.scrollTop = this.log.scrollHeight;
    return line;
  }

  async send(text, settings, signal) {
    this.turns.push({role: "user", content: text});
    this.say("user", text);
    const line = this.say("assistant", "");
    const start = performance.now();
    let first = 0;
    let usage = null;
    // A screen reader reads the answer when it is whole.
    this.log.setAttribute("aria-busy", "true");
    this.figures.textContent = "waiting";
    try {
      const system = settings.system ? [{role: "system", content: settings.system}] : [];
      const answer = await ask("/v1/chat/completions", {signal, json: {
        model: this.model.value, messages: [...system, ...this.turns], temperature: settings.temperature, max_tokens: settings.tokens,
        stream: true, stream_options: {include_usage: true},
      }});
      for await (const chunk of events(answer)) {
        if (chunk.error) throw new Error(chunk.error.message);
        const piece = chunk.choices[0]?.delta?.content;
        if (piece) {
          first ||= performance.now();
          line.append(piece);
          this.log.scrollTop = this.log.scrollHeight;
        }
        usage = chunk.usage || usage;
      }
      const tokens = usage.completion_tokens;
      const rate = tokens > 1 ? `, ${((tokens - 1) * 1000 / (performance.now() - first)).toFixed(1)} tokens/s` : "";
      this.figures.textContent = `${tokens} tokens, first after ${Math.round((first || performance.now()) - start)} ms${rate}`;
    } catch (error) {
      const stopped = error.name === "AbortError";
      this.figures.textContent = stopped ? "stopped" : "";
      if (!stopped) this.say("bad", error.message);
      if (!line.textContent) line.remove();
    } finally {
      this.log.removeAttribute("aria-busy");
      if (line.textContent) this.turns.push({role: "assistant", content: line.textContent});
      else this.turns.pop();
    }
  }

  clear() {
    this.turns = [];
    this.log.replaceChildren();
    this.figures.textContent = "";
  }
}

const sides = [...document.querySelectorAll(".side")].map(element => new Side(element));

$("ask").addEventListener("submit", async event => {
  event.preventDefault();
  if (stopping) return;
  const text = $("message").value;
  const settings = {system: $("system").value, temperature: Number($("temperature").value), tokens: Number($("tokens").value)};
  stopping = new AbortController();
  $("stop").disabled = false;
  $("message").value = "";
  await Promise.all(sides.map(side => side.send(text, settings, stopping.signal)));
  stopping = null;
  $("stop").disabled = true;
});
$("message").addEventListener("keydown", event => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("stop").addEventListener("click", () => stopping?.abort());
$("clear").addEventListener("click", () => sides.forEach(side => side.clear()));

/** Offers the server's models, and chooses the base and its first adapter where nothing was chosen. */
export function offer(models) {
  $("models").replaceChildren(...models.slice(0, 1000).map(model => new Option(model.parent ? "adapter" : "base", model.id)));
  sides.forEach((side, i) => side.model.value ||= (models[i] || models[0])?.id || "");
}
