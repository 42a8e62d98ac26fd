// What pages have: buttons that copy.
import { say } from "./words.js";

// navigator.clipboard exists on https and localhost only.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(element);
    return document.execCommand("copy");
  }
}

function copyButton(button) {
  const label = button.firstElementChild;
  const text = label.textContent;
  let timer;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(document.getElementById(button.dataset.copy));
    label.textContent = say(done ? "copied" : "press");
    button.classList.toggle("done", done);
    clearTimeout(timer);
    timer = setTimeout(() => {
      label.textContent = text;
      button.classList.remove("done");
    }, 2500);
  });
}

for (const button of document.querySelectorAll("[data-copy]")) copyButton(button);
