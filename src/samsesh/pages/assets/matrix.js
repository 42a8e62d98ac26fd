// The homeserver's API, as far as these pages need it: Matrix Client-Server API, "Account registration".

const WAIT = 20_000; // ms until a silent server counts as unreachable
const STAGES = ["m.login.registration_token", "m.login.terms", "m.login.dummy"];
const REGISTER = "/_matrix/client/v3/register";

// status 0: no answer at all
export class MatrixError extends Error {
  constructor(status, body) {
    super(body.error ?? "");
    this.status = status;
    this.code = body.errcode ?? "";
    this.wait = Math.ceil((body.retry_after_ms ?? 5000) / 1000);
  }
}

export class TermsNeeded extends Error {
  constructor(policies) {
    super("terms");
    this.policies = policies; // [{name, url}]
  }
}

export class UnknownStage extends Error {} // or the same step again and again

export async function request(base, method, path, body, accessToken) {
  let answer;
  try {
    answer = await fetch(base + path, {
      method,
      body: body && JSON.stringify(body),
      headers: {
        ...(body && { "Content-Type": "application/json" }),
        ...(accessToken && { Authorization: `Bearer ${accessToken}` }),
      },
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(WAIT),
    });
  } catch {
    throw new MatrixError(0, {});
  }
  const data = await answer.json().catch(() => ({}));
  const unfinished = answer.status === 401 && data.session && !data.errcode;
  if (!answer.ok && !unfinished) throw new MatrixError(answer.status, data);
  return { finished: answer.ok, data };
}

export async function available(base, name) {
  const path = `${REGISTER}/available?username=${encodeURIComponent(name)}`;
  return (await request(base, "GET", path)).data.available === true;
}

export async function tokenValid(base, token) {
  const path = "/_matrix/client/v1/register/m.login.registration_token/validity?token=";
  return (await request(base, "GET", path + encodeURIComponent(token))).data.valid === true;
}

// Makes an account through the stages that the server asks for; its user ID. `attempt` is an object that the caller
// keeps from try to try: a session that has used up a single-use invitation must be finished, not begun again.
export async function signUp(base, { name, password, token, agreed }, attempt) {
  // A finished session keeps the password that it began with.
  if (attempt.last && attempt.password !== password) attempt.session = undefined;
  attempt.password = password;
  attempt.last = false;
  const body = { username: name, password, inhibit_login: true };
  let auth = attempt.session && { session: attempt.session };
  for (let round = 0; round <= STAGES.length + 1; round++) {
    let answer;
    try {
      answer = await request(base, "POST", REGISTER, auth ? { ...body, auth } : body);
    } catch (error) {
      if (error.code !== "M_UNKNOWN" || !auth || auth.type) throw error;
      attempt.session = auth = undefined; // the server has forgotten the session
      continue;
    }
    if (answer.finished) return answer.data.user_id;
    const open = openStages(answer.data);
    attempt.session = answer.data.session;
    auth = { type: open[0], session: attempt.session };
    if (open[0] === "m.login.registration_token") auth.token = token;
    if (open[0] === "m.login.terms" && !agreed) throw new TermsNeeded(policies(answer.data));
    attempt.last = open.length === 1;
  }
  throw new UnknownStage("the server asks for the same step again and again");
}

// A token that logs in once, within a minute or so (Client-Server API, "Login", m.login.token). The server makes it for a
// session that proves its password again; that session is gone afterwards.
export async function loginToken(base, userId, password) {
  const proof = { type: "m.login.password", identifier: { type: "m.id.user", user: userId }, password };
  const login = await request(base, "POST", "/_matrix/client/v3/login", proof);
  const { access_token: access } = login.data;
  const ask = (auth) => request(base, "POST", "/_matrix/client/v1/login/get_token", auth ? { auth } : {}, access);
  try {
    const { session } = (await ask()).data;
    return (await ask({ ...proof, session })).data.login_token;
  } finally {
    await request(base, "POST", "/_matrix/client/v3/logout", {}, access);
  }
}

// What is left of the first flow that this page can finish.
function openStages({ flows = [], completed = [] }) {
  const flow = flows.find(({ stages }) => stages.every((stage) => STAGES.includes(stage)));
  const open = flow?.stages.filter((stage) => !completed.includes(stage)) ?? [];
  if (open.length === 0) throw new UnknownStage("the server asks for a step that this page does not know");
  return open;
}

function policies({ params }) {
  const language = document.documentElement.lang;
  const found = Object.values(params?.["m.login.terms"]?.policies ?? {});
  return found
    .map((policy) => policy[language] ?? policy.en ?? Object.values(policy).find((value) => value?.url))
    .filter((text) => /^https?:\/\//i.test(text?.url ?? ""));
}
