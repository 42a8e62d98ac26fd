// In the head and not deferred, so that nobody sees the other theme flash by. The light theme is a style sheet of its own.
"use strict";
{
  const root = document.documentElement;
  const sheet = document.getElementById("light");
  const only = "only" in document.currentScript.dataset; // the server has one theme
  const light = () => matchMedia(sheet.media).matches;

  function use(theme) {
    if (theme) sheet.media = theme === "light" ? "all" : "not all";
    root.dataset.theme = light() ? "light" : "dark";
  }

  function stored() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // no storage in this browser: the server's theme stays
    }
  }

  function themeSwitch(button) {
    const words = JSON.parse(document.querySelector('meta[name="words"]').content);
    const label = () => {
      button.title = light() ? words.dark : words.light;
      button.setAttribute("aria-label", button.title);
    };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      use(light() ? "dark" : "light");
      label();
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // no storage: it holds for this page
      }
    });
  }

  root.classList.add("scripts");
  use(only ? null : stored());
  if (!only) addEventListener("DOMContentLoaded", () => themeSwitch(document.getElementById("theme")));
}
