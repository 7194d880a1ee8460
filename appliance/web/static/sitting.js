// An officer's sitting: the key that was picked, the reason that was given, and what the page asks.

import { unbase64 } from "./bytes.js";
import { Identity, isLocked } from "./age.js";
import { Epoch, logId } from "./sealed.js";
import { problem } from "./records-view.js";

export const find = (name) => document.querySelector(`[data-${name}]`);
const form = find("key");
const picked = form.querySelector("input[type=file]");

let sitting = null; // {record, code, origin, log, size, group, identity, opened, epochs}
let whenClosed = () => {};

export class Refused extends Error {}

export const current = () => sitting;

export async function ask(address, fields = {}) {
  const own = sitting ? { sitting: sitting.record, code: sitting.code } : {};
  const body = new URLSearchParams({ csrf: form.elements.csrf.value, ...own, ...fields });
  let response;
  try {
    response = await fetch(address, { method: "POST", body, headers: { Accept: "application/json, text/event-stream" } });
  } catch {
    throw new Refused("This appliance can not be reached. Check the network and try again.");
  }
  if (response.status === 401) {
    away();
    throw new Refused("You were signed out, and your key was put away. Sign in again.");
  }
  if (response.status === 403) throw new Refused("This page is not open to you any more. Reload it.");
  const found = (response.headers.get("Content-Type") ?? "").startsWith("application/json") && await response.json();
  if (!found) throw new Refused("Something went wrong on the appliance. Try again, and tell an administrator if it stays so.");
  if (!response.ok) throw new Refused(found.error);
  return found;
}

// Forgets the key and all that it opened.
export function away() {
  sitting = null;
  whenClosed();
  find("sitting").hidden = true;
  form.reset();
  find("locked").hidden = true;
  form.hidden = false;
}

// Runs one thing that a person asked for; what goes wrong is said in one place.
export async function attempt(button, work) {
  problem("");
  button?.setAttribute("aria-disabled", "true");
  try {
    await work();
  } catch (error) {
    problem(error.message);
  } finally {
    button?.removeAttribute("aria-disabled");
  }
}

async function openEpochs(given, identity) {
  const epochs = new Map();
  for (const one of given.epochs) {
    const epoch = await Epoch.open(one, given.origin, identity);
    if (epoch) epochs.set(one.number, epoch);
  }
  if (!epochs.size) throw new Refused("This key opens no epoch of the log. Pick the key of an officer who was in office when the records were written.");
  return epochs;
}

async function begin() {
  const file = new Uint8Array(await picked.files[0].arrayBuffer());
  const identity = await Identity.read(file, document.getElementById("passphrase").value);
  const given = await ask(form.dataset.open, { reason: form.elements.reason.value, key: identity.recipient });
  const opened = await openEpochs(given, identity);
  sitting = {
    record: given.sitting,
    code: given.code,
    origin: given.origin,
    log: logId(given.origin, unbase64(given.key)),
    size: given.epochs.reduce((most, one) => Math.max(most, one.end), 0),
    group: [...opened.values()].at(-1).group,
    identity,
    opened,
    epochs: new Map(given.epochs.map((one) => [one.number, one])),
  };
  form.reset();
  form.hidden = true;
  find("sitting").hidden = false;
  find("opened").textContent = `A key of the group ${sitting.group} is open, for ${opened.size} of ${given.epochs.length} epochs. Your reason is record ${given.sitting}.`;
}

// Has a page begin when a key was opened, and clear itself when it was put away.
export function start({ opened, closed }) {
  whenClosed = closed;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form.querySelector("button"), async () => {
      await begin();
      await opened();
    });
  });
  picked.addEventListener("change", async () => {
    const [file] = picked.files;
    find("locked").hidden = !(file && isLocked(await file.slice(0, 200).text()));
  });
  find("close").addEventListener("click", () => { away(); picked.focus(); });
  window.addEventListener("pagehide", away);
  document.documentElement.classList.add("scripted");
}
