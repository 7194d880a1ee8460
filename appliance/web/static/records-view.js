// How records are shown. Everything goes in as text: what a record holds is never read as a page.

const find = (name) => document.querySelector(`[data-${name}]`);

export function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export function chip(kind, words) {
  const found = document.getElementById(`chip-${kind}`).content.firstElementChild.cloneNode(true);
  found.append(words);
  return found;
}

export function problem(words) {
  const place = document.querySelector("dialog[open] [data-problem]") ?? find("problem");
  if (!words) {
    place.replaceChildren();
    return;
  }
  const notice = document.getElementById("notice-bad").content.cloneNode(true);
  notice.querySelector("p").textContent = words;
  notice.firstElementChild.removeAttribute("role"); // its place is an alert already
  place.replaceChildren(notice);
  place.scrollIntoView({ block: "nearest" });
}

export function instant(date) {
  return date.toISOString().replace("T", " ").slice(0, 19);
}

const NOBODY = /^0+$/;
const token = (digits) => (NOBODY.test(digits) ? "" : digits.slice(0, 8));

export function summary({ leaf, opened, reason }) {
  const meta = opened?.meta ?? opened ?? {};
  return {
    what: reason ? "Does not open" : meta.task ?? meta.event ?? leaf.kind,
    outcome: meta.outcome ?? meta.finish_reason ?? "",
    model: meta.model ?? meta.model_name ?? "",
    person: token(leaf.actor),
    subject: token(leaf.subject),
  };
}

function opener(record, show) {
  const button = make("button", `${record.leaf.index} ${record.leaf.kind}`, { type: "button", class: "link" });
  button.addEventListener("click", () => show(record));
  return button;
}

function cell(label, text, style) {
  const found = make("td", text, { "data-label": label });
  if (style) found.className = style;
  if (!text) found.classList.add("none");
  return found;
}

// `box` chooses the record: null where it can not be chosen, left out where nothing can.
export function row(record, show, box) {
  const { what, outcome, model, person, subject } = summary(record);
  const found = make("tr");
  if (box !== undefined) {
    const choice = make("td", "", { class: box ? "choice" : "choice none" });
    if (box) choice.append(box);
    found.append(choice);
  }
  const head = make("th", "", { scope: "row" });
  head.append(opener(record, show));
  found.append(head, cell("Time (UTC)", instant(record.leaf.when), "nowrap"), cell("What", what),
    cell("Outcome", outcome), cell("Model", model), cell("Person", person, "mono"), cell("Case", subject, "mono"));
  return found;
}

export function timeline(records, show) {
  const found = [];
  let day = "";
  for (const record of records) {
    const [date, time] = instant(record.leaf.when).split(" ");
    if (date !== day) found.push(make("li", date, { class: "timeline-day" }));
    day = date;
    const { what, outcome } = summary(record);
    const item = make("li", "", { class: "timeline-entry" });
    item.append(make("time", time, { datetime: record.leaf.when.toISOString() }), opener(record, show),
      make("span", [what, outcome].filter(Boolean).join(", ")));
    found.push(item);
  }
  return found;
}

function flat(value, name = "") {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
  }
  const label = name.replace(/[._]/g, " ");
  return [[label.charAt(0).toUpperCase() + label.slice(1), Array.isArray(value) ? value.join(", ") : String(value)]];
}

export function facts(list, entries) {
  list.replaceChildren(...entries.map(([name, value]) => {
    const entry = make("div");
    entry.append(make("dt", name), make("dd", value, /^[0-9a-f-]{16,}$|[+/=]{1}$/.test(value) ? { class: "mono" } : {}));
    return entry;
  }));
}

export function metadata({ leaf, opened, reason }) {
  const own = [["Record id", leaf.event], ["Time (UTC)", instant(leaf.when)], ["Kind", leaf.kind],
    ["Epoch", `${leaf.epoch}, its record ${leaf.seq}`]];
  if (!NOBODY.test(leaf.actor)) own.push(["Person's token in this epoch", leaf.actor]);
  if (!NOBODY.test(leaf.subject)) own.push(["Case's token in this epoch", leaf.subject]);
  if (reason) return [...own, ["Does not open", reason]];
  return [...own, ...flat(opened?.meta ?? opened ?? {})];
}
