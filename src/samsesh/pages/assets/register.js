// The sign-up form: an invitation, a name, a password, done.
import { available, loginToken, MatrixError, signUp, TermsNeeded, tokenValid, UnknownStage } from "./matrix.js";
import { explain, nameProblem, passwordProblem, tokenProblem } from "./names.js";
import { say } from "./words.js";

const PAUSE = 450; // ms without typing until the server is asked
const byId = (id) => document.getElementById(id);
const form = byId("form");
const { homeserver, serverName, registration, least, provider } = form.dataset;
const needsToken = registration === "token";
const attempt = {}; // kept from try to try, see signUp
const languages = document.querySelectorAll("a[hreflang]"); // this page in other languages
const taken = new Map(); // name -> why, as the server said
const problem = byId("problem");
const submit = byId("submit");

// What a field says below itself: kind is "wrong", "good" or "" (a hint).
function note(field, words, kind = "") {
  const input = byId(field);
  const element = byId(`${field}-note`);
  element.textContent = words || element.dataset.hint;
  element.dataset.kind = words ? kind : "";
  if (kind === "wrong") input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function shout(words) {
  problem.textContent = words;
  problem.hidden = !words;
  if (words) problem.scrollIntoView({ block: "nearest" });
}

// Runs `ask` when typing has paused; an answer that comes after further typing is dropped.
function paused(input, ask) {
  let turn = 0;
  return () => {
    const mine = ++turn;
    const current = () => mine === turn && !submit.disabled;
    setTimeout(() => current() && ask(input.value.trim(), current), PAUSE);
  };
}

const nameNow = () => byId("name").value.trim().toLowerCase();

function lookAtName() {
  const name = nameNow();
  byId("preview").textContent = `@${name || say("name")}:${serverName}`;
  // After a try without an answer, a taken name may be our own.
  const wrong = nameProblem(name, serverName) || (attempt.last ? "" : taken.get(name) ?? "");
  note("name", wrong, "wrong");
  return wrong;
}

async function askForName(_, current) {
  const name = nameNow();
  if (!name || lookAtName()) return;
  try {
    if ((await available(homeserver, name)) && current()) note("name", say("free"), "good");
  } catch (error) {
    const [field, words] = explain(error);
    if (field === "name") taken.set(name, words);
    if (current()) lookAtName();
  }
}

async function askForToken(token, current = () => true) {
  if (!token) return;
  if (tokenProblem(token)) return note("token", tokenProblem(token), "wrong");
  try {
    const valid = await tokenValid(homeserver, token);
    if (!current()) return;
    if (valid) note("token", say("good_code"), "good");
    else refuseToken(say("used_up"));
  } catch (error) {
    if (current() && error.status !== 429) shout(explain(error)[1]);
  }
}

function refuseToken(words) {
  byId("token-field").hidden = false; // for another one
  note("token", words, "wrong");
}

function lookAtPassword({ gently = false } = {}) {
  const password = byId("password").value;
  const wrong = passwordProblem(password, least);
  if (!wrong) note("password", say("long_enough"), "good");
  else if (gently) note("password", password ? wrong : "");
  else note("password", password ? wrong : say("choose_password"), "wrong");
  return wrong;
}

// The first field that is not right, with its reason shown; null when all are.
function firstWrong() {
  const wrong = [];
  const token = byId("token");
  if (needsToken && tokenProblem(token.value.trim())) {
    refuseToken(token.value.trim() ? tokenProblem(token.value.trim()) : say("enter_code"));
    wrong.push(token);
  }
  const name = byId("name");
  if (!name.value.trim()) note("name", say("choose_name"), "wrong");
  if (!name.value.trim() || lookAtName()) wrong.push(name);
  if (lookAtPassword()) wrong.push(byId("password"));
  if (!byId("terms-field").hidden && !byId("terms").checked) {
    shout(say("agree"));
    wrong.push(byId("terms"));
  }
  return wrong[0] ?? null;
}

function showTerms(policies) {
  byId("policies").replaceChildren(
    ...policies.map(({ name, url }) => {
      const link = document.createElement("a");
      Object.assign(link, { href: url, textContent: name || url, target: "_blank", rel: "noopener noreferrer" });
      const item = document.createElement("li");
      item.append(link);
      return item;
    }),
  );
  byId("terms-field").hidden = false;
  shout(say("terms"));
  byId("terms").focus();
}

function showProblem(error) {
  if (error instanceof TermsNeeded) return showTerms(error.policies);
  if (error instanceof UnknownStage) return shout(say("unknown_step"));
  if (!(error instanceof MatrixError)) throw error;
  const [field, words] = explain(error);
  if (!field) return shout(words);
  if (field === "token") refuseToken(words);
  else note(field, words, "wrong");
  if (error.code === "M_USER_IN_USE") taken.set(nameNow(), words);
  byId(field).focus();
}

function busy(working) {
  submit.disabled = working;
  form.setAttribute("aria-busy", String(working));
  submit.textContent = say(working ? "working" : "create");
}

// Element Web takes a token that logs in once at its address, from the homeserver that it finds under this name in the
// browser's storage (as after single sign-on). Behind "#" stands where to go then: without it, phones are led elsewhere.
async function enter(event, userId, password) {
  event.preventDefault();
  const link = event.currentTarget;
  if (link.ariaBusy === "true") return;
  link.ariaBusy = "true";
  let target = link.href; // it asks for the password
  try {
    const token = await loginToken(homeserver, userId, password);
    localStorage.setItem("mx_sso_hs_url", homeserver);
    target = `/?loginToken=${encodeURIComponent(token)}#/home`;
  } catch {
    // no token, no storage
  }
  location.assign(target);
}

function done(userId, password) {
  history.replaceState(null, "", location.pathname);
  form.reset();
  byId("sign-up").hidden = true;
  byId("done").hidden = false;
  byId("done-id").textContent = userId;
  document.title = byId("done-title").textContent;
  for (const language of languages) language.hidden = true; // the other page would not know of the account
  const app = byId("done-app"); // none where no phone reaches the server
  if (app) app.search = `account_provider=${encodeURIComponent(provider)}&login_hint=mxid:${encodeURIComponent(userId)}`;
  byId("done-web")?.addEventListener("click", (event) => enter(event, userId, password));
  byId("done-title").focus();
}

async function send(event) {
  event.preventDefault();
  if (submit.disabled) return;
  shout("");
  const wrong = firstWrong();
  if (wrong) return wrong.focus();
  busy(true);
  try {
    const name = nameNow();
    const [password, token] = [byId("password").value, byId("token").value.trim()];
    done(await signUp(homeserver, { name, password, token, agreed: byId("terms").checked }, attempt), password);
  } catch (error) {
    showProblem(error);
  } finally {
    busy(false);
  }
}

// The invitation leaves the address bar, for nobody to read over a shoulder or in a history; a reload still has it.
function takeToken() {
  const query = new URLSearchParams(location.search);
  const token = (query.get("token") ?? history.state?.token ?? "").trim();
  history.replaceState(token ? { token } : null, "", location.pathname);
  byId("token").value = token;
  for (const language of languages) if (token) language.search += `&token=${encodeURIComponent(token)}`;
  byId("token-field").hidden = !needsToken || (token !== "" && !tokenProblem(token));
  if (needsToken) askForToken(token);
}

function start() {
  for (const element of form.querySelectorAll(".note")) element.dataset.hint = element.textContent;
  takeToken();
  const name = byId("name");
  const token = byId("token");
  const show = byId("show");
  name.addEventListener("input", lookAtName);
  name.addEventListener("input", paused(name, askForName));
  token.addEventListener("input", () => note("token", ""));
  token.addEventListener("input", paused(token, askForToken));
  byId("password").addEventListener("input", () => lookAtPassword({ gently: true }));
  byId("password").addEventListener("change", () => byId("password").value && lookAtPassword());
  show.addEventListener("click", () => {
    const shown = byId("password").type === "password";
    byId("password").type = shown ? "text" : "password";
    show.firstElementChild.textContent = say(shown ? "hide" : "show");
  });
  form.addEventListener("submit", send);
  form.hidden = false;
}

start();
