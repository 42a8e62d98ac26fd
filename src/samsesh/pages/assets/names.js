// Rules for what people type, and plain words for what the server answers.
import { say } from "./words.js";

const NAME_CHARACTER = /[a-z0-9._=/+-]/; // Matrix spec, appendices, "User Identifiers"
const TOKEN = /^[A-Za-z0-9._~-]{1,64}$/;
const MOST_PASSWORD = 512; // Synapse takes no longer one

// Each returns what is wrong, or "".
export function nameProblem(name, server) {
  const wrong = [...name].find((character) => !NAME_CHARACTER.test(character));
  if (wrong === " ") return say("spaces");
  if (wrong) return say("letter", { letter: wrong });
  if (name.startsWith("_")) return say("underscore");
  if (/^\d+$/.test(name)) return say("digits");
  if (`@${name}:${server}`.length > 255) return say("long");
  return "";
}

export function passwordProblem(password, least) {
  const length = [...password].length;
  if (length < least) return say("short_password", { least: Number(least), more: least - length });
  return length > MOST_PASSWORD ? say("long_password", { most: MOST_PASSWORD }) : "";
}

export function tokenProblem(token) {
  return TOKEN.test(token) ? "" : say("no_code");
}

// A MatrixError -> [the field that it is about, or "", what to say].
export function explain(error) {
  switch (error.code) {
    case "M_USER_IN_USE":
      return ["name", say("in_use")];
    case "M_EXCLUSIVE":
      return ["name", say("exclusive")];
    case "M_INVALID_USERNAME":
      return ["name", say("refused_name")];
    case "M_PASSWORD_TOO_SHORT":
    case "M_PASSWORD_NO_DIGIT":
    case "M_PASSWORD_NO_SYMBOL":
    case "M_PASSWORD_NO_UPPERCASE":
    case "M_PASSWORD_NO_LOWERCASE":
    case "M_PASSWORD_IN_DICTIONARY":
    case "M_WEAK_PASSWORD":
      return ["password", say("weak", { why: error.message }).trim()];
    case "M_LIMIT_EXCEEDED":
      return ["", say("too_many", { wait: seconds(error.wait) })];
    case "M_UNAUTHORIZED":
      return ["token", say("used_up")];
    case "M_FORBIDDEN":
      return ["", say("forbidden")];
  }
  if (error.status === 0) return ["", say("unreachable")];
  if (error.status >= 500) return ["", say("broken")];
  return ["", say("refused", { why: error.message || say("answer", { status: error.status }) })];
}

function seconds(count) {
  if (count > 90) return say("minutes", { count: Math.ceil(count / 60) });
  return count === 1 ? say("second") : say("seconds", { count });
}
