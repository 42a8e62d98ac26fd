// In the head and not deferred, so that nobody sees the other theme flash by.
"use strict";
document.documentElement.classList.add("scripts");
try {
  const chosen = document.currentScript.dataset.only ? "" : localStorage.getItem("theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage in this browser: the server's theme stays
}
