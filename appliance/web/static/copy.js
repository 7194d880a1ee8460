// Copy buttons. They stay hidden where no script runs: the text can be selected as any other.

function select(element) {
  element.closest("details")?.setAttribute("open", "");
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

// The clipboard exists in secure contexts only; elsewhere the text is selected for the keyboard.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return "Copied";
  } catch {
    select(element);
    return "Selected: press Ctrl+C";
  }
}

document.documentElement.classList.add("scripted");
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const words = await copy(document.getElementById(button.dataset.copy));
  button.querySelector("[data-words]").textContent = words;
});
