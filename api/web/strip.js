// The row of photos: what each looks like, how far it is, and which one is on the stage.

import { label, t } from "./words.js";

export class Strip {
  #entries = new Map();

  constructor(list, { open, remove }) {
    Object.assign(this, { list, open, remove });
  }

  update(item) {
    const entry = this.#entries.get(item) ?? this.#create(item);
    entry.row.dataset.state = item.state;
    if (item.thumb && !entry.image.src) entry.image.src = item.thumb;
    if (item.state === "sending") entry.bar.value = item.progress;
    else entry.bar.removeAttribute("value"); // runs, without telling how far
    entry.bar.hidden = ["done", "failed"].includes(item.state);
    label(entry.show, "strip.open", { name: item.name, state: () => describe(item) });
    label(entry.drop, "strip.remove", { name: item.name });
    label(entry.bar, "strip.open", { name: item.name, state: () => describe(item) });
  }

  mark(item) {
    for (const [each, { row, show }] of this.#entries) {
      row.classList.toggle("current", each === item);
      if (each === item) show.setAttribute("aria-current", "true");
      else show.removeAttribute("aria-current");
    }
    this.#entries.get(item)?.row.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  forget(item) {
    this.#entries.get(item)?.row.remove();
    this.#entries.delete(item);
  }

  #create(item) {
    const make = (name, more = {}) => Object.assign(document.createElement(name), more);
    const row = make("li");
    const show = make("button", { type: "button", className: "thumb" });
    const drop = make("button", { type: "button", className: "drop", textContent: "×" });
    const image = make("img", { alt: "", width: 56, height: 56 });
    const bar = make("progress", { max: 1 });
    show.append(image, make("i", { className: "mark" }));
    row.append(show, drop, bar);
    show.addEventListener("click", () => this.open(item));
    drop.addEventListener("click", () => this.remove(item));
    this.list.append(row);
    const entry = { row, show, drop, image, bar };
    this.#entries.set(item, entry);
    return entry;
  }
}

// How far a photo is, in words.
export function describe(item) {
  return t(`state.${item.state}`, { percent: `${Math.round((item.progress ?? 0) * 100)} %`, seconds: item.left });
}
