// Says how much of a field's limit is used. The server checks the limit in any case.

function show(area, counter) {
  const limit = Number(area.dataset.limit);
  // Code points, as the server counts them; a string's length would count emoji twice.
  const used = [...area.value].length;
  counter.textContent = `${used.toLocaleString("en")} of ${limit.toLocaleString("en")} characters`;
  counter.classList.toggle("is-over", used > limit);
}

for (const area of document.querySelectorAll("[data-limit]")) {
  const counter = document.getElementById(`${area.id}-count`);
  area.addEventListener("input", () => show(area, counter));
  show(area, counter);
}
