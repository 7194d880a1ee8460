// The officers' page of openings: one asks for contents, another one agrees with halves of exactly those
// records' keys, and the first one reads them.

import { base64, hex, unbase64, unhex, utf8, words } from "./bytes.js";
import { decrypt, encrypt } from "./age.js";
import { GROUPS, openContent } from "./sealed.js";
import { chip, facts, make, row } from "./records-view.js";
import { read } from "./reading.js";
import { Refused, ask, attempt, current, find, start } from "./sitting.js";

const STATES = { waiting: ["warn", "Waits for an answer"], granted: ["ok", "Agreed"], refused: ["bad", "Refused"] };
const base = find("openings").dataset.openings;
const contents = find("contents");

const other = (group) => GROUPS.find((one) => one !== group);

async function reasonOf(opening) {
  try {
    return await current().opened.get(opening.reason.epoch).openToOfficers(opening.reason.sealed, opening.recipient);
  } catch {
    return "The reason does not open to your key.";
  }
}

function button(words_, work, kind = "") {
  const found = make("button", words_, { type: "button", class: `button button-small ${kind}` });
  found.addEventListener("click", () => attempt(found, work));
  return found;
}

async function card(opening) {
  const found = make("li", "", { class: "card" });
  const head = make("div", "", { class: "row spread" });
  head.append(make("h3", opening.mine ? "You asked" : `${opening.by} asked`), chip(...STATES[opening.state]));
  const list = make("dl", "", { class: "facts" });
  facts(list, [
    ["Reason", await reasonOf(opening)],
    ["Records", opening.records.join(", ")],
    ["Asked (UTC)", opening.at.replace("T", " ").slice(0, 19)],
    ["Key of", `the group ${opening.group}`],
    ...(opening.decided_by ? [["Answered by", opening.decided_by]] : []),
  ]);
  const actions = make("div", "", { class: "row" });
  actions.append(...actionsOf(opening, found));
  found.append(head, list, actions);
  return found;
}

function actionsOf(opening, place) {
  if (opening.mine) {
    const gone = button("Withdraw", () => step(opening, "withdraw"));
    return opening.state === "granted" ? [button("Read the contents", () => show(opening), "button-main"), gone] : [gone];
  }
  if (opening.state !== "waiting") return [];
  const needed = other(opening.group);
  if (current().group !== needed) {
    return [make("p", `It takes an officer of the group ${needed}; your key is of the group ${current().group}.`, { class: "quiet small" })];
  }
  return [button("See what the records are", () => preview(opening, place)), button("Refuse", () => step(opening, "decide"), "button-bad")];
}

async function step(opening, what, fields = {}) {
  await ask(`${base}/${opening.id}/${what}`, fields);
  await list();
}

// Who agrees has seen the records' metadata: the halves are made for those rows and for no others.
async function preview(opening, place) {
  const { rows } = await ask(`${base}/${opening.id}/read`);
  const records = await Promise.all(rows.map(read));
  const table = document.getElementById("asked-records").content.firstElementChild.cloneNode(true);
  table.tBodies[0].append(...records.map((record) => row(record, () => {})));
  for (const link of table.querySelectorAll("button")) link.replaceWith(link.textContent);
  place.insertBefore(table, place.lastElementChild);
  place.lastElementChild.firstElementChild.remove(); // the button that showed them
  const agree = button(`Agree to open ${records.length === 1 ? "this record" : `these ${records.length} records`}`, () => grant(opening, records), "button-main");
  place.lastElementChild.prepend(agree);
  agree.focus();
}

async function grant(opening, records) {
  const asked = new Set(opening.records);
  const halves = {};
  for (const { leaf, reason } of records) {
    if (reason || !asked.has(leaf.index)) throw new Refused(`Record ${leaf.index} is not what was asked for, or does not open: ${reason ?? "the appliance sent another"}.`);
    const { recipients } = current().epochs.get(leaf.epoch);
    // Only a key that this epoch was sealed to can do anything with the answer.
    if (!recipients[opening.group].includes(opening.recipient)) throw new Refused(`The key that asks is none of the group ${opening.group} in epoch ${leaf.epoch}. Do not agree; ask who made this request.`);
    halves[leaf.index] = hex(current().opened.get(leaf.epoch).half(leaf.seq));
  }
  const text = JSON.stringify({ opening: opening.id, group: current().group, halves });
  await step(opening, "decide", { answer: base64(await encrypt(utf8(text), opening.recipient)) });
}

async function show(opening) {
  const found = await ask(`${base}/${opening.id}/contents`);
  const text = await decrypt(unbase64(found.answer), current().identity);
  if (!text) throw new Refused("The answer was sealed to another key: pick the key with which you asked.");
  const { group, halves } = JSON.parse(words(text));
  const parts = [];
  for (const sealed of found.rows) parts.push(await content(sealed, group, halves));
  find("contents-list").replaceChildren(...parts);
  contents.showModal();
}

// What was said, as it was said; what is no text stands as JSON.
function texts(inner, index) {
  return Object.entries(inner).flatMap(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const title = `${name.charAt(0).toUpperCase()}${name.slice(1).replace(/_/g, " ")}`;
    return [make("p", title, { class: "legend" }), make("pre", text, { class: "code", tabindex: "0", role: "group", "aria-label": `${title} of record ${index}` })];
  });
}

async function content(sealed, group, halves) {
  const record = await read(sealed);
  const { leaf } = record;
  const part = make("section", "", { class: "stack tight" });
  part.append(make("h3", `Record ${leaf.index}, ${leaf.kind}`));
  const list = make("dl", "", { class: "facts" });
  try {
    const own = current().opened.get(leaf.epoch).half(leaf.seq);
    const both = { [current().group]: own, [group]: unhex(halves[leaf.index]) };
    const inner = await openContent(leaf, sealed.content && unbase64(sealed.content), both, current().log, sealed.key);
    facts(list, [["Person", inner.actor ?? "The appliance"], ["Case", inner.subject ?? "None"]]);
    part.append(list, ...texts(inner.content ?? {}, leaf.index));
  } catch (error) {
    facts(list, [["Does not open", error.message]]);
    part.append(list);
  }
  return part;
}

async function list() {
  const { openings } = await ask(`${base}/list`);
  const cards = await Promise.all(openings.map(card));
  find("list").replaceChildren(...cards);
  find("none").hidden = cards.length > 0;
}

function closed() {
  find("list").replaceChildren();
  find("contents-list").replaceChildren();
  if (contents.open) contents.close();
}

start({ opened: async () => { await list(); document.getElementById("openings-title").focus(); }, closed });
find("again").addEventListener("click", (event) => attempt(event.currentTarget, list));
find("shut").addEventListener("click", () => contents.close());
contents.addEventListener("close", () => find("contents-list").replaceChildren());
