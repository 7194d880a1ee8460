// The officers' page of records: searches blindly, and opens what was found with a key that stays here.

import { hex, unbase64 } from "./bytes.js";
import { sha256 } from "./sha256.js";
import { HAS_CONTENT, PLAIN, followProof, isSigned } from "./sealed.js";
import { chip, facts, instant, make, metadata, row, timeline } from "./records-view.js";
import { ask, attempt, current, find, start } from "./sitting.js";
import { read } from "./reading.js";

const MOST = 500; // records that a timeline loads by itself
const dialog = find("record");
const asking = find("asking");
const { atFind: FIND, atLook: LOOK, atAsk: ASK } = find("search").dataset;

let search = null; // {query, window, terms, below, looked, shown}
let chosen = new Set(); // places of the records whose contents are wanted
let link = null; // address of the proof that can be saved

const nanoseconds = (text) => (text ? `${BigInt(Date.parse(`${text}Z`)) * 1000000n}` : "");

async function beginSearch(fields) {
  const terms = Object.fromEntries([...fields.querySelectorAll("[data-term]")]
    .map((field) => [field.name, field.value.trim()]).filter(([, value]) => value));
  const epochs = Object.fromEntries([...current().opened].map(([number, epoch]) =>
    [number, Object.fromEntries(Object.entries(terms).map(([field, value]) => [field, epoch.trapdoor(field, value)]))]));
  const newest = [...current().opened.values()].at(-1);
  search = {
    query: JSON.stringify({ version: 1, origin: current().origin, epochs }),
    window: { since: nanoseconds(fields.elements.since.value), until: nanoseconds(fields.elements.until.value), type: fields.elements.type.value },
    terms: Object.keys(terms).length ? JSON.stringify(await newest.sealToOfficers(terms, current().record)) : "",
    below: null,
    looked: 0,
    shown: [],
  };
  chosen = new Set();
  offer();
  find("asked").hidden = true;
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
    const step = await ask(FIND, { query: running.query, terms: running.terms, below, ...running.window });
    if (search !== running) return;
    running.below = step.below;
    running.looked += step.looked;
    find("progress").value = step.below === null ? 1 : running.looked / Math.max(current().size, running.looked);
    for (const one of step.rows) running.shown.push(await read(one));
    draw();
  } while (running.below !== null && running.shown.length < before + 10);
  find("progress").hidden = true;
}

function draw() {
  const { shown, below, looked } = search;
  const asTimeline = document.querySelector("[data-as=timeline]").getAttribute("aria-pressed") === "true";
  find("table").tBodies[0].replaceChildren(...shown.map((record) => row(record, look, pick(record))));
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
    const found = await ask(LOOK, { index: String(record.leaf.index) });
    const whole = await read(found);
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
    return await current().opened.get(meta.terms.epoch).openToOfficers(meta.terms.sealed, meta.begin);
  } catch {
    return "do not open";
  }
}

async function showProof(leaf, { proof, key, epoch, witness }) {
  const followed = followProof(leaf, proof);
  const signed = followed.holds && await isSigned(followed.note, current().origin, unbase64(key));
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

// A box to choose a record for opening; records of the log itself have nothing to open.
function pick({ leaf }) {
  if (!(leaf.flags & HAS_CONTENT)) return null;
  const box = make("input", "", { type: "checkbox", "aria-label": `Choose record ${leaf.index}` });
  box.checked = chosen.has(leaf.index);
  box.addEventListener("change", () => {
    if (box.checked) chosen.add(leaf.index);
    else chosen.delete(leaf.index);
    offer();
  });
  return box;
}

function offer() {
  find("offer").hidden = !chosen.size;
  find("chosen").textContent = chosen.size === 1 ? "1 record is chosen." : `${chosen.size} records are chosen.`;
}

async function askForContents() {
  const { identity, group, opened } = current();
  const reason = asking.querySelector("textarea").value;
  const sealed = await [...opened.values()].at(-1).sealToOfficers(reason, identity.recipient);
  await ask(ASK, { records: JSON.stringify([...chosen]), reason, group, recipient: identity.recipient, sealed: JSON.stringify(sealed) });
  asking.close();
  asking.querySelector("form").reset();
  chosen = new Set();
  offer();
  draw();
  find("asked").hidden = false;
  find("asked").querySelector("a").focus();
}

function closed() {
  search = null;
  chosen = new Set();
  for (const name of ["results", "asked", "offer"]) find(name).hidden = true;
  find("table").tBodies[0].replaceChildren();
  find("timeline").replaceChildren();
  for (const one of [dialog, asking]) if (one.open) one.close();
}

start({ opened: () => document.getElementById("search-title").focus(), closed });
find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, () => beginSearch(event.target));
});
find("more").addEventListener("click", (event) => attempt(event.currentTarget, goOn));
find("shut").addEventListener("click", () => dialog.close());
find("ask").addEventListener("click", () => asking.showModal());
find("never-mind").addEventListener("click", () => asking.close());
asking.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, askForContents);
});
for (const button of document.querySelectorAll("[data-as]")) {
  button.addEventListener("click", () => attempt(button, async () => {
    for (const one of document.querySelectorAll("[data-as]")) one.setAttribute("aria-pressed", String(one === button));
    draw();
    while (button.dataset.as === "timeline" && search.below !== null && search.shown.length < MOST) await goOn();
  }));
}
