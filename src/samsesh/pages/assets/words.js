// The page's words, in its language: section "script" of the catalogue.
const { lang } = document.documentElement;
const words = JSON.parse(document.querySelector('meta[name="words"]').content);

// Numbers are written as the language writes them.
export function say(key, values = {}) {
  return words[key].replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(lang) : value;
  });
}
