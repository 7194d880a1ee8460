// Streams a task's answer into the page. Without this module the form is sent as any other form.

const form = document.querySelector("form[data-stream]");
const panel = document.querySelector("#answer");
const blank = document.querySelector("#answer-waiting");
const status = document.querySelector("#answer-status");
const run = form.querySelector("[data-run]");

let record = null; // id of the running request, once the server has named it
let reading = false; // whether the model has it
let abort = null; // ends the running request from here; null while none runs

// One server-sent event a call: the lines between two blank lines (WHATWG HTML, 9.2).
function parse(block) {
  const lines = block.split("\n");
  const value = (name) => lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length));
  return { name: value("event: ").join(""), data: value("data: ").join("\n") };
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    yield* blocks.map(parse).filter((event) => event.name);
  }
}

function say(text) {
  status.textContent = text;
}

function append(text) {
  const live = panel.querySelector("[data-live]");
  const follows = live.scrollHeight - live.scrollTop - live.clientHeight < 40;
  live.hidden = false;
  live.append(text);
  if (follows) live.scrollTop = live.scrollHeight;
}

function sent(id) {
  record = id;
}

function began(id) {
  reading = true;
  panel.querySelector("[data-record]").textContent = id;
  panel.querySelector("[data-state]").textContent = "Recorded; the model is reading";
  say("Recorded. The model is reading.");
}

// Who had the focus on the stop button does not lose their place when it goes.
function show(change, words) {
  const held = panel.contains(document.activeElement);
  change();
  if (held) panel.focus();
  say(words);
}

function finish(html, words) {
  show(() => { panel.innerHTML = html; }, words);
}

const handlers = {
  waiting: sent,
  began,
  delta: (data) => {
    panel.querySelector("[data-state]").textContent = "Answering";
    append(JSON.parse(data));
  },
  done: (data) => finish(data, "The answer has ended. Its receipt follows it."),
  problem: (data) => finish(data, "There is no answer. The reason is shown."),
};

async function follow(response) {
  if (!(response.headers.get("Content-Type") || "").startsWith("text/event-stream")) {
    finish(await response.text(), "There is no answer. The reason is shown.");
    return;
  }
  let ended = false;
  for await (const { name, data } of events(response.body)) {
    handlers[name](data);
    ended = name === "done" || name === "problem";
  }
  if (!ended) throw new TypeError("the stream broke off");
}

function begin() {
  record = null;
  reading = false;
  abort = new AbortController();
  panel.replaceChildren(blank.content.cloneNode(true));
  panel.querySelector("[data-stop]").addEventListener("click", stop);
  panel.setAttribute("aria-busy", "true");
  run.setAttribute("aria-disabled", "true");
  say("Sent.");
  if (panel.getBoundingClientRect().top > window.innerHeight * 0.8) panel.scrollIntoView();
}

function end() {
  panel.setAttribute("aria-busy", "false");
  run.removeAttribute("aria-disabled");
  abort = null;
}

function lost(error) {
  const words = error.name === "AbortError"
    ? "Stopped before the model began."
    : "The connection was lost. What had been answered is in the log. Check the network, then run the task again.";
  const note = document.createElement("p");
  note.textContent = words;
  show(() => panel.replaceChildren(note), words);
}

async function stop(event) {
  event.currentTarget.disabled = true;
  say("Stopping.");
  const stopped = record && await fetch(`/requests/${encodeURIComponent(record)}/stop`, {
    method: "POST",
    headers: { Accept: "text/event-stream" },
    body: new URLSearchParams({ csrf: form.elements.csrf.value }),
  }).then((response) => response.ok, () => false);
  // A request that the engine does not know any more has ended: its answer is on the way.
  if (!stopped && !reading) abort?.abort();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (abort) return;
  begin();
  try {
    await follow(await fetch(form.action, {
      method: "POST",
      headers: { Accept: "text/event-stream" },
      body: new URLSearchParams(new FormData(form)),
      signal: abort.signal,
    }));
  } catch (error) {
    lost(error);
  } finally {
    end();
  }
});
