// Rules for what people type, and plain words for what the server answers.

const NAME_CHARACTER = /[a-z0-9._=/+-]/; // Matrix spec, appendices, "User Identifiers"
const TOKEN = /^[A-Za-z0-9._~-]{1,64}$/;
const MOST_PASSWORD = 512; // Synapse takes no longer one

// Each returns what is wrong, or "".
export function nameProblem(name, server) {
  const wrong = [...name].find((character) => !NAME_CHARACTER.test(character));
  if (wrong === " ") return "A name has no spaces. Try a dot or a hyphen.";
  if (wrong) return `“${wrong}” cannot be in a name. Use a–z, 0–9 and . _ = - / +`;
  if (name.startsWith("_")) return "A name cannot begin with _";
  if (/^\d+$/.test(name)) return "A name needs at least one letter.";
  if (`@${name}:${server}`.length > 255) return "That name is too long.";
  return "";
}

export function passwordProblem(password, least) {
  const length = [...password].length;
  if (length < least) return `At least ${least} characters, please: ${least - length} more.`;
  return length > MOST_PASSWORD ? `At most ${MOST_PASSWORD} characters, please.` : "";
}

export function tokenProblem(token) {
  return TOKEN.test(token) ? "" : "That does not look like an invitation code. Copy it once more, without spaces.";
}

// A MatrixError -> [the field that it is about, or "", what to say].
export function explain(error) {
  switch (error.code) {
    case "M_USER_IN_USE":
      return ["name", "This name is taken. Please choose another."];
    case "M_EXCLUSIVE":
      return ["name", "This name is kept for a program of this server. Please choose another."];
    case "M_INVALID_USERNAME":
      return ["name", "The server does not take this name. Please choose another."];
    case "M_PASSWORD_TOO_SHORT":
    case "M_PASSWORD_NO_DIGIT":
    case "M_PASSWORD_NO_SYMBOL":
    case "M_PASSWORD_NO_UPPERCASE":
    case "M_PASSWORD_NO_LOWERCASE":
    case "M_PASSWORD_IN_DICTIONARY":
    case "M_WEAK_PASSWORD":
      return ["password", `This password is too easy to guess. ${error.message}`.trim()];
    case "M_LIMIT_EXCEEDED":
      return ["", `Too many tries in a short time. Please wait ${seconds(error.wait)} and try again.`];
    case "M_UNAUTHORIZED":
      return ["token", "This invitation has been used up or has expired. Please ask for a new one."];
    case "M_FORBIDDEN":
      return ["", "This server takes no new accounts at the moment. Please ask whoever runs it."];
  }
  if (error.status === 0) return ["", "The server cannot be reached. Check your connection and try again."];
  if (error.status >= 500) return ["", "The server has a problem of its own. Please try again in a minute."];
  return ["", `The server said no: ${error.message || `answer ${error.status}`}`];
}

function seconds(count) {
  if (count > 90) return `${Math.ceil(count / 60)} minutes`;
  return count === 1 ? "a second" : `${count} seconds`;
}
