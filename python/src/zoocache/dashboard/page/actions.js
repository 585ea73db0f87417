// What changes the cache: asked for with its consequences, and only with the token.

import { act, ask, forgetToken, hasToken, keepToken } from "./api.js";
import { byId, el, show, visible } from "./dom.js";
import { count } from "./format.js";

/** Shows a note for some seconds. */
let toastEnd;
export function toast(text) {
  const parent = byId("toast");
  parent.textContent = visible(text);
  parent.hidden = false;
  clearTimeout(toastEnd);
  toastEnd = setTimeout(() => { parent.hidden = true; }, 6_000);
}

/** Shows a dialog with a form; `submit` returns when it may close, or throws what is shown in it. */
function dialog(title, content, verb, submit, kind = "danger") {
  const parent = byId("dialog");
  const trouble = el("p", { class: "trouble", role: "alert" });
  const button = el("button", { type: "submit", class: kind }, verb);
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await submit();
        // Another one may be open by now.
        if (form.isConnected) parent.close();
      } catch (error) {
        trouble.textContent = visible(error.message);
        button.disabled = false;
      }
    },
  },
  el("h2", { id: "dialog-title" }, title), ...content, trouble,
  el("div", { class: "buttons" }, el("button", { type: "button", onclick: () => parent.close() }, "Cancel"), button));
  show(parent, form);
  parent.showModal();
}

export class Actions {
  /** `changed()` is called when something was done, or may be done from now on. */
  constructor(changed) {
    this.changed = changed;
    this.isPossible = false;
  }

  async begin() {
    const about = await ask("about");
    this.isPossible = about.actions;
    this.draw();
  }

  draw() {
    const button = (text, press, kind) => el("button", { type: "button", class: kind, onclick: press }, text);
    if (!this.isPossible) {
      show(byId("controls"), el("span", { class: "chip", title: "It was started without a token: nothing can be changed here" }, "read only"));
    } else if (!hasToken()) {
      show(byId("controls"), button("Unlock actions…", () => this.unlock(() => {})));
    } else {
      show(byId("controls"),
        button("Prune", () => this.prune()), button("Clear…", () => this.clear(), "danger"),
        button("Lock", () => {
          forgetToken();
          this.draw();
        }));
    }
  }

  /** Asks for the token, and goes on. */
  unlock(goOn) {
    const input = el("input", { type: "password", autocomplete: "off", required: true, "aria-label": "Token", id: "token" });
    dialog("Unlock actions", [el("p", {}, "The token this dashboard was started with. It is forgotten when this tab is closed."), input], "Unlock", async () => {
      const token = input.value.trim();
      await act("unlock", {}, token);
      keepToken(token);
      this.draw();
      // The dialog closes first.
      setTimeout(goOn);
    }, "primary");
  }

  withToken(goOn) {
    if (hasToken()) goOn();
    else this.unlock(goOn);
  }

  /** Does something; a token that is wrong by now is forgotten. */
  async run(name, content) {
    try {
      return await act(name, content);
    } catch (error) {
      if (error.status === 401) {
        forgetToken();
        this.draw();
      }
      throw error;
    }
  }

  invalidate(tag) {
    this.withToken(() => {
      const affected = el("p", { class: "affected", role: "status" }, "Counting what it would reach…");
      ask("affected", { tag }).then(
        (told) => { affected.textContent = `${count(told.affected)} fresh ${told.affected === 1 ? "entry" : "entries"} would go stale, for everybody.`; },
        (error) => { affected.textContent = visible(error.message); },
      );
      dialog("Invalidate a tag", [el("p", {}, el("code", {}, visible(tag))), affected], "Invalidate", async () => {
        await this.run("invalidate", { tags: [tag] });
        toast(`${tag} is invalidated`);
        this.changed();
      });
    });
  }

  clear() {
    dialog("Clear the cache", [el("p", {}, "All entries go stale, for everybody.")], "Clear everything", async () => {
      await this.run("clear");
      toast("Everything is stale now");
      this.changed();
    });
  }

  async prune() {
    try {
      const { freed } = await this.run("prune");
      toast(`${count(freed)} entries were freed`);
      this.changed();
    } catch (error) {
      toast(error.message);
    }
  }
}
