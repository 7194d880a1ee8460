// Moves the bars of exports that are being made. Without this module a link reads the page again.

const list = document.querySelector("[data-exports]");
const said = document.querySelector("[data-said]");
const EVERY = 1000; // milliseconds

const making = () => [...document.querySelectorAll("[data-state=making]")];

function show(place, { done, total }) {
  if (!total) return;
  const bar = place.querySelector("progress");
  bar.max = total;
  bar.value = done;
  place.querySelector("[data-count]").textContent = `${done.toLocaleString("en")} of ${total.toLocaleString("en")} records`;
}

async function renew() {
  let found;
  try {
    const response = await fetch(list.dataset.exports);
    if (response.status === 401 || response.status === 403) return;
    found = response.ok ? await response.json() : {};
  } catch {
    found = {};
  }
  let ended = false;
  for (const place of making()) {
    const now = found[place.dataset.export];
    if (now?.state === "making") show(place, now);
    ended ||= Boolean(now) && now.state !== "making";
  }
  if (ended) {
    said.textContent = "An export has ended.";
    window.location.assign(window.location.pathname);
  } else {
    setTimeout(renew, EVERY);
  }
}

if (list && making().length) setTimeout(renew, EVERY);
