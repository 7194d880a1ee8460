// Renews the part of a page that shows figures of now. Without this module its link reloads the page.

const board = document.querySelector("[data-renew]");
const said = document.querySelector("[data-said]");
const changes = document.querySelector("[data-changes]");
const pause = document.querySelector("[data-pause]");
const usual = Number(board.dataset.seconds);
const LONGEST = 30; // seconds between two tries while nobody answers
const PATIENCE = 10; // seconds that one try may take

let wait = usual; // seconds until the next try
let timer = null;
let running = null; // ends the try that is under way
let paused = false;
let ended = false;

const WORDS = {
  live: `Renewed every ${usual} seconds.`,
  paused: "Paused. The figures stay as they were read last.",
  engine: "The engine does not answer. These are the last figures; it is asked again by itself.",
  web: "This appliance can not be reached. These are the last figures; it is asked again by itself.",
  ended: "Not renewed any more.",
};

// A status is read out when its text changes: what stays the same must not be set again.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function summary() {
  return board.querySelector("[data-summary]")?.dataset.summary ?? "";
}

function take(html) {
  const before = summary();
  board.innerHTML = html;
  board.classList.remove("is-stale");
  if (before && summary() !== before) say(changes, summary());
  said.classList.remove("is-away");
  say(said, WORDS.live);
  wait = usual;
}

function keep(words) {
  board.classList.add("is-stale");
  said.classList.add("is-away");
  say(said, words);
  wait = Math.min(LONGEST, wait * 2);
}

// What a session showed does not stay on the screen after it.
function end(template) {
  ended = true;
  board.classList.remove("is-stale");
  said.classList.remove("is-away");
  board.replaceChildren(document.getElementById(template).content.cloneNode(true));
  say(said, WORDS.ended);
  const held = document.activeElement === pause;
  pause.hidden = true;
  if (held) board.querySelector("a").focus();
}

function answer(status, html) {
  if (status === 200) take(html);
  else if (status === 401) end("renew-signed-out");
  else if (status === 403) end("renew-refused");
  else keep(WORDS.engine);
}

async function renew() {
  if (running) return;
  const attempt = new AbortController();
  running = attempt;
  board.setAttribute("aria-busy", "true");
  const late = setTimeout(() => attempt.abort(), PATIENCE * 1000);
  try {
    const response = await fetch(board.dataset.renew, { signal: attempt.signal });
    const html = await response.text();
    if (running === attempt) answer(response.status, html);
  } catch {
    if (running === attempt) keep(WORDS.web);
  } finally {
    clearTimeout(late);
    if (running === attempt) {
      running = null;
      board.setAttribute("aria-busy", "false");
      plan(wait);
    }
  }
}

function plan(seconds) {
  clearTimeout(timer);
  if (!paused && !ended && !document.hidden) timer = setTimeout(renew, seconds * 1000);
}

function stop() {
  clearTimeout(timer);
  const attempt = running;
  running = null;
  board.setAttribute("aria-busy", "false");
  attempt?.abort();
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Resume" : "Pause";
  stop();
  if (paused) say(said, WORDS.paused);
  else renew();
});

// Nobody reads a page that is not shown.
document.addEventListener("visibilitychange", () => {
  if (paused || ended) return;
  stop();
  if (!document.hidden) renew();
});

document.documentElement.classList.add("scripted");
say(said, WORDS.live);
plan(usual);
