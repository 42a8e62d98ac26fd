// Asks the homeserver itself how it is, now and from time to time.
import { request } from "./matrix.js";
import { say } from "./words.js";

const WELL = 30_000; // ms between questions
const UNWELL = 4_000;
const state = document.getElementById("state");
const text = document.getElementById("state-text");

function show(kind, words) {
  state.dataset.state = kind;
  if (text.textContent !== words) text.textContent = words; // said aloud when it changes, not each time
}

async function look() {
  try {
    await request(state.dataset.homeserver, "GET", "/_matrix/client/versions");
    return ["well", say("well"), WELL];
  } catch (error) {
    return ["unwell", say(error.status === 0 ? "silent" : "unwell"), UNWELL];
  }
}

let timer;
let asked = 0;

async function watch() {
  const mine = ++asked;
  const [kind, words, pause] = await look();
  if (mine !== asked) return; // a later question was asked meanwhile: its answer counts
  show(kind, words);
  clearTimeout(timer);
  timer = setTimeout(watch, pause);
}

show("asking", say("asking"));
watch();
addEventListener("online", watch);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : watch()));
