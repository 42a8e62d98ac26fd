// What every page has: the switch between the themes, and buttons that copy.

function themeSwitch(button) {
  const root = document.documentElement;
  const label = () => {
    const other = root.dataset.theme === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Use the ${other} theme`);
    button.title = `Use the ${other} theme`;
    return other;
  };
  label();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = label();
    label();
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // no storage: it holds for this page
    }
  });
}

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
    label.textContent = done ? "Copied" : "Press Ctrl+C";
    button.classList.toggle("done", done);
    clearTimeout(timer);
    timer = setTimeout(() => {
      label.textContent = text;
      button.classList.remove("done");
    }, 2500);
  });
}

if (!document.querySelector("script[data-only]")) themeSwitch(document.getElementById("theme"));
for (const button of document.querySelectorAll("[data-copy]")) copyButton(button);
