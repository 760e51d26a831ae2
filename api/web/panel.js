// The wishes' form: what the finished pictures shall look like.

import { notify } from "./notice.js";
import { models } from "./service.js";
import { hush, knows, say } from "./words.js";

const byId = (id) => document.getElementById(id);

export class Panel {
  constructor(wish) {
    this.wish = wish;
    this.form = byId("wishes");
    this.known = [];
    this.pointed = false; // whether the last thing that happened here was done with a pointer
    // The formats belong to the form and stand outside of it, so their events do not pass it.
    document.querySelector(".panel").addEventListener("input", () => this.#read());
    this.form.addEventListener("pointerdown", () => this.pointed = true);
    this.form.addEventListener("keydown", () => this.pointed = false);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    byId("backdrop").addEventListener("click", () => byId("backdrop-file").click());
    byId("backdrop-file").addEventListener("change", ({ target }) => this.#takePicture(target));
    this.form.reset();
    this.#show();
  }

  // The networks that a request may name; fails as the service does.
  async load() {
    this.known = (await models()).filter(({ available }) => available);
    const names = this.known.map(({ name }) => name);
    if (!names.length) return;
    const select = this.form.elements.model;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    select.value = names.includes(this.wish.model) ? this.wish.model : names[0];
    this.#read();
  }

  #read() {
    const { model, edges, background, colour, blur, crop, margin, format } = this.form.elements;
    const before = this.wish.background;
    this.wish.set({
      model: model.value,
      edges: edges.value,
      background: background.value,
      colour: colour.value,
      blur: Number(blur.value),
      crop: crop.checked,
      margin: Number(margin.value),
      format: format.value,
    });
    // Arrow keys pass this choice on their way to another, and there is a button for them.
    const chosen = this.wish.background === "picture" && before !== "picture" && this.pointed;
    if (chosen && !this.wish.picture) byId("backdrop-file").click();
    this.#show();
  }

  #show() {
    const { wish } = this;
    for (const more of this.form.querySelectorAll("[data-when]")) {
      more.hidden = !(more.dataset.when === "crop" ? wish.crop : more.dataset.when === wish.background);
    }
    byId("margin-shown").textContent = `${wish.margin} px`;
    say(byId("edges-hint"), `edges.${wish.edges}.hint`);
    this.#describe();
  }

  #describe() {
    const hint = byId("model-hint"), key = `model.${this.wish.model}`;
    if (knows(key)) return say(hint, key);
    hush(hint); // a network that this page is too old to know: the service's own words
    hint.textContent = this.known.find(({ name }) => name === this.wish.model)?.description ?? "";
  }

  async #takePicture(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (!bitmap) return notify("background.unreadable");
    bitmap.close();
    this.wish.set({ picture: file });
  }
}
