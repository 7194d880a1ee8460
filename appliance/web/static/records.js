// The officers' page of records: searches blindly, and opens what was found with a key that stays here.

import { hex, unbase64 } from "./bytes.js";
import { Identity } from "./age.js";
import { sha256 } from "./sha256.js";
import { Epoch, PLAIN, followProof, isSigned, logId, readLeaf } from "./sealed.js";
import { chip, facts, instant, metadata, problem, row, timeline } from "./records-view.js";

const MOST = 500; // records that a timeline loads by itself
const find = (name) => document.querySelector(`[data-${name}]`);
const form = find("key");
const dialog = find("record");

let sitting = null; // {record, code, origin, log, epochs, identity}; null while no key is open
let search = null; // {terms, window, below, from, shown}
let link = null; // address of the proof that can be saved

class Refused extends Error {}

async function ask(where, fields) {
  let response;
  const body = new URLSearchParams({ csrf: form.elements.csrf.value, ...fields });
  try {
    response = await fetch(form.dataset[where], { method: "POST", body, headers: { Accept: "application/json, text/event-stream" } });
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

function away() {
  sitting = null;
  search = null;
  for (const name of ["sitting", "results"]) find(name).hidden = true;
  find("table").tBodies[0].replaceChildren();
  find("timeline").replaceChildren();
  if (dialog.open) dialog.close();
  form.reset();
  form.hidden = false;
}

// Runs one thing that a person asked for; what goes wrong is said in one place.
async function attempt(button, work) {
  problem("");
  button?.setAttribute("aria-disabled", "true");
  try {
    await work();
  } catch (error) {
    problem(error.message);
    if (!(error instanceof Refused)) console.info(error.name);
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

async function openLog() {
  const identity = await Identity.read(await form.querySelector("input[type=file]").files[0].text());
  const given = await ask("open", { reason: form.elements.reason.value, key: identity.recipient });
  const epochs = await openEpochs(given, identity);
  const size = given.epochs.reduce((most, one) => Math.max(most, one.end), 0);
  sitting = { ...given, record: given.sitting, identity, opened: epochs, size, log: logId(given.origin, unbase64(given.key)) };
  form.reset();
  form.hidden = true;
  find("sitting").hidden = false;
  const group = epochs.values().next().value.group;
  find("opened").textContent = `A key of the group ${group} is open, for ${epochs.size} of ${given.epochs.length} epochs. Your reason is record ${given.sitting}.`;
  document.getElementById("search-title").focus();
}

const nanoseconds = (text) => (text ? `${BigInt(Date.parse(`${text}Z`)) * 1000000n}` : "");

async function beginSearch(fields) {
  const terms = Object.fromEntries([...fields.querySelectorAll("[data-term]")]
    .map((field) => [field.name, field.value.trim()]).filter(([, value]) => value));
  const epochs = Object.fromEntries([...sitting.opened].map(([number, epoch]) =>
    [number, Object.fromEntries(Object.entries(terms).map(([field, value]) => [field, epoch.trapdoor(field, value)]))]));
  const newest = [...sitting.opened.values()].at(-1);
  search = {
    query: JSON.stringify({ version: 1, origin: sitting.origin, epochs }),
    window: { since: nanoseconds(fields.elements.since.value), until: nanoseconds(fields.elements.until.value), type: fields.elements.type.value },
    terms: Object.keys(terms).length ? JSON.stringify(await newest.sealTerms(terms, sitting.record)) : "",
    below: null,
    looked: 0,
    shown: [],
  };
  find("results").hidden = false;
  find("table").tBodies[0].replaceChildren();
  await goOn();
  document.getElementById("results-title").focus();
}

// Steps through the log until something is found, or there is nothing older.
async function goOn() {
  const running = search;
  const before = running.shown.length;
  find("progress").hidden = false;
  do {
    const below = running.below === null ? "" : String(running.below);
    const step = await ask("find", { sitting: sitting.record, code: sitting.code, query: running.query, terms: running.terms, below, ...running.window });
    if (search !== running) return;
    running.below = step.below;
    running.looked += step.looked;
    find("progress").value = step.below === null ? 1 : running.looked / Math.max(sitting.size, running.looked);
    for (const one of step.rows) running.shown.push(await open(one));
    draw();
  } while (running.below !== null && running.shown.length < before + 10);
  find("progress").hidden = true;
}

async function open({ leaf: raw, meta }) {
  const leaf = readLeaf(unbase64(raw));
  try {
    const epoch = sitting.opened.get(leaf.epoch);
    const opened = meta === null ? {} : await epoch.read(leaf, unbase64(meta), sitting.log);
    return { leaf, opened };
  } catch (error) {
    return { leaf, reason: error.message };
  }
}

function draw() {
  const { shown, below, looked } = search;
  const asTimeline = document.querySelector("[data-as=timeline]").getAttribute("aria-pressed") === "true";
  find("table").tBodies[0].replaceChildren(...shown.map((record) => row(record, look)));
  find("timeline").replaceChildren(...timeline([...shown].reverse(), look));
  find("table").hidden = asTimeline || !shown.length;
  find("timeline").hidden = !asTimeline || !shown.length;
  find("none").hidden = shown.length > 0 || below !== null;
  find("more").hidden = below === null;
  const rest = below === null ? "to the beginning of the log" : `so far; ${below.toLocaleString("en")} older ones are left`;
  find("status").textContent = `${shown.length} found in ${looked.toLocaleString("en")} records, ${rest}.`;
}

async function look(record) {
  await attempt(null, async () => {
    const found = await ask("look", { sitting: sitting.record, code: sitting.code, index: String(record.leaf.index) });
    const whole = await open(found);
    if (whole.opened?.meta?.terms?.sealed && whole.opened.meta.begin) whole.opened.meta.terms = await termsOf(whole.opened.meta);
    document.getElementById("record-title").textContent = `Record ${record.leaf.index}, ${record.leaf.kind}`;
    facts(find("meta"), metadata(whole));
    await showProof(whole.leaf, found);
    find("follow").hidden = Boolean(whole.leaf.flags & PLAIN);
    find("follow").onclick = () => follow(whole.leaf);
    dialog.showModal();
  });
}

// What another officer looked for, sealed to whoever opens that epoch.
async function termsOf(meta) {
  try {
    return await sitting.opened.get(meta.terms.epoch).openTerms(meta.terms.sealed, meta.begin);
  } catch {
    return "do not open";
  }
}

async function showProof(leaf, { proof, key, epoch, witness }) {
  const followed = followProof(leaf, proof);
  const signed = followed.holds && await isSigned(followed.note, sitting.origin, unbase64(key));
  const seen = witness && witness.size > leaf.index;
  find("checks").replaceChildren(
    followed.holds ? chip("ok", "Stands in the tree") : chip("bad", "Does not stand in the tree"),
    signed ? chip("ok", "Checkpoint is signed") : chip(signed === null ? "warn" : "bad", signed === null ? "Signature not checked: this browser can not" : "Signature does not match"),
    seen ? chip("ok", "Seen by a witness") : chip("warn", "No outsider has seen it yet"),
  );
  facts(find("proof"), [
    ["Place in the log, from 0", String(leaf.index)],
    ["Leaf (SHA-256)", hex(sha256(Uint8Array.of(0, ...leaf.raw)))],
    [`Root over ${followed.size?.toLocaleString("en")} records`, followed.root ?? ""],
    ["Signed with the key of epoch", String(epoch)],
    ["Newest witness", witness ? `${witness.name}, ${witness.size.toLocaleString("en")} records on ${instant(new Date(witness.when * 1000))} UTC` : "None yet"],
  ]);
  find("note").textContent = followed.note ?? "";
  if (link) URL.revokeObjectURL(link);
  link = URL.createObjectURL(new Blob([proof], { type: "text/plain" }));
  find("save").href = link;
  find("save").download = `record-${leaf.index}.tlog-proof`;
}

async function follow(leaf) {
  dialog.close();
  const fields = find("search");
  fields.reset();
  fields.elements.begin.value = leaf.event;
  await attempt(null, () => beginSearch(fields));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(form.querySelector("button"), openLog);
});
find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, () => beginSearch(event.target));
});
find("more").addEventListener("click", (event) => attempt(event.currentTarget, goOn));
find("shut").addEventListener("click", () => dialog.close());
find("close").addEventListener("click", () => { away(); form.querySelector("input[type=file]").focus(); });
for (const button of document.querySelectorAll("[data-as]")) {
  button.addEventListener("click", () => attempt(button, async () => {
    for (const one of document.querySelectorAll("[data-as]")) one.setAttribute("aria-pressed", String(one === button));
    draw();
    while (button.dataset.as === "timeline" && search.below !== null && search.shown.length < MOST) await goOn();
  }));
}
window.addEventListener("pagehide", away);
document.documentElement.classList.add("scripted");
