// What leaves the page: files, the clipboard, a link, a command.

import { copyPicture, copyText } from "./clipboard.js";
import { curl } from "./curl.js";
import { SUFFIXES, encode, fileName, save } from "./files.js";
import { notify } from "./notice.js";
import { Picture } from "./picture.js";
import { asPng, store } from "./service.js";
import { hush, language, say } from "./words.js";
import { zip } from "./zip.js";

const byId = (id) => document.getElementById(id);
const BUTTONS = ["download", "copy-picture", "copy-link", "copy-curl"];

export class Results {
  #packing = false;

  // refused: is told every Problem of the service.
  constructor(wish, queue, refused) {
    Object.assign(this, { wish, queue, refused, item: null, picture: null });
    const on = (id, act) => byId(id).addEventListener("click", () => this.#run(act));
    on("download", async () => {
      const { item } = this, asked = { ...wish }; // as they are at the click, whatever is changed meanwhile
      save(await encode(item, this.picture, asked), fileName(item, SUFFIXES[asked.format]));
    });
    on("download-all", () => this.#downloadAll());
    on("copy-picture", async () => {
      const copied = await copyPicture(encode(this.item, this.picture, asPng(this.wish)));
      notify(copied ? "copy.picture.done" : "copy.impossible");
    });
    on("copy-link", () => this.#link());
    on("copy-curl", async () => {
      const { item } = this;
      const text = curl(item, wish, fileName(item, SUFFIXES[wish.format]));
      const key = item.strokes.length ? "copy.curl.untouched" : "copy.curl.done";
      if (await copyText(Promise.resolve(text))) notify(key);
    });
  }

  // picture: opened, of the item; null as long as there is none.
  show(item, picture) {
    Object.assign(this, { item, picture });
    this.update();
  }

  update() {
    for (const id of BUTTONS) byId(id).disabled = !this.picture;
    const done = this.#done.length, all = byId("download-all");
    all.classList.toggle("shown", done > 1);
    if (!this.#packing && done > 1) say(all.querySelector("span"), "save.all", { count: done });
    const facts = byId("facts");
    if (!this.picture) return hush(facts);
    const { width, height } = this.picture.window(this.wish);
    say(facts, "save.facts", { width, height });
  }

  get #done() {
    return this.queue.items.filter(({ state }) => state === "done");
  }

  async #run(act) {
    try {
      await act();
    } catch (error) {
      this.refused(error);
    }
  }

  async #link() {
    const { item } = this;
    const made = store(item.source, this.wish);
    const copied = await copyText(made.then(({ url }) => url));
    const { expires_at: end } = await made;
    if (!copied) return;
    if (item.strokes.length) notify("copy.link.untouched");
    else if (!end) notify("copy.link.forever");
    else notify("copy.link.done", { date: () => new Date(end).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" }) });
  }

  async #downloadAll() {
    if (this.#packing) return;
    this.#packing = true;
    const items = this.#done, asked = { ...this.wish }, files = [];
    const button = byId("download-all").querySelector("span");
    try {
      // One after the other: each is as large as its photo's pixels.
      for (const item of items) {
        say(button, "save.packing", { number: files.length + 1, all: items.length });
        const file = await this.#file(item, asked).catch(() => null);
        if (file) files.push(file);
      }
      if (files.length) save(await zip(files), "cutouts.zip");
      if (files.length < items.length) notify("save.left", { count: items.length - files.length });
    } finally {
      this.#packing = false;
      this.update();
    }
  }

  async #file(item, wish) {
    const picture = item === this.item && this.picture ? this.picture : await Picture.open(item);
    return [fileName(item, SUFFIXES[wish.format]), await encode(item, picture, wish)];
  }
}
