// Questions and actions. All addresses are relative to the page, wherever it is mounted.

const TOKEN = "zoocache-token";

/** What was answered instead of what was asked for. */
export class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function answer(response) {
  let told;
  try {
    told = await response.json();
  } catch {
    throw new Failure(response.status, `the server answered ${response.status} ${response.statusText}`);
  }
  if (!response.ok) throw new Failure(response.status, told.error ?? `the server answered ${response.status}`);
  return told;
}

async function reach(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Failure(0, "the server of this page does not answer");
  }
}

/** Asks for something; parameters that are empty are left out. */
export async function ask(name, parameters = {}) {
  const given = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== ""));
  return answer(await reach(`api/${name}${given.size ? "?" + given : ""}`));
}

/** Does something; the token is never in an address. */
export async function act(name, content = {}, token = sessionStorage.getItem(TOKEN)) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token ?? ""}` };
  return answer(await reach(`api/${name}`, { method: "POST", headers, body: JSON.stringify(content) }));
}

/** Keeps a token until the tab is closed. */
export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);
export const forgetToken = () => sessionStorage.removeItem(TOKEN);
export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;
