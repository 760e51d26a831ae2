// The photos and what becomes of each: two at a time, each on its own. Tells "change" with the item, "remove".

import { Problem, cut, photo } from "./service.js";

const AT_ONCE = 2;
const PATIENCE = 6; // times that a busy service is asked again by itself
const THUMB = 144; // px
const LARGEST = 20_000_000; // bytes that are sent again; services take a little more
// What passes by itself: see the status 429 and 503 in the API.
const PASSING = new Set(["overloaded", "rate_limited", "draining"]);

export class Queue extends EventTarget {
  items = [];
  #next = 1;

  constructor(wish) {
    super();
    this.wish = wish;
  }

  // source: {file} or {url}. State goes waiting, reading, sending, cutting, (pausing,) done or failed.
  add(source, name) {
    const item = { id: this.#next++, source, name, state: "waiting", progress: 0, attempts: 0, strokes: [], undone: [] };
    this.items.push(item);
    this.#tell(item);
    this.#advance();
    return item;
  }

  remove(item) {
    item.abort?.abort();
    item.abort = null; // whatever its request comes to, nobody waits for it
    clearInterval(item.timer);
    if (item.thumb) URL.revokeObjectURL(item.thumb);
    this.items = this.items.filter((each) => each !== item);
    this.dispatchEvent(new CustomEvent("remove", { detail: item }));
    this.#advance();
  }

  // From the start: after a failure, or because other wishes hold now.
  again(item) {
    item.abort?.abort();
    clearInterval(item.timer);
    Object.assign(item, { state: "waiting", progress: 0, attempts: 0, problem: null, cut: null, abort: null });
    this.#tell(item);
    this.#advance();
  }

  #advance() {
    // Whoever was told to wait was told it for all: the next ones would only lose their tries, too.
    if (this.items.some(({ state }) => state === "pausing")) return;
    const busy = this.items.filter((item) => item.abort).length;
    for (const item of this.items.filter((each) => each.state === "waiting").slice(0, Math.max(0, AT_ONCE - busy))) {
      this.#work(item);
    }
  }

  async #work(item) {
    const abort = (item.abort = new AbortController());
    const current = () => item.abort === abort;
    const step = (state, progress = null) => {
      if (!current()) return;
      Object.assign(item, { state, progress });
      this.#tell(item);
    };
    const options = { signal: abort.signal, progress: step };
    try {
      step("reading");
      if (!item.photo) await this.#read(item, options);
      // What is behind an address may change: the picture that is shown is the one that is cut.
      const shown = item.source.url && item.photo.size < LARGEST ? { file: item.photo } : item.source;
      const done = await cut(shown, this.wish, options);
      if (item.photo === item.source.file && !(await sameSize(done, item.size))) {
        item.photo = await photo(item.source, this.wish, options); // this browser turns the file another way
      }
      if (!current()) return;
      item.cut = done;
      step("done");
    } catch (error) {
      if (!current()) return;
      item.problem = error instanceof Problem ? error : new Problem("internal_error", { detail: error.message });
      if (item.problem.retryAfter && PASSING.has(item.problem.code) && item.attempts++ < PATIENCE) this.#pause(item);
      else step("failed");
    } finally {
      if (current()) item.abort = null;
      this.#advance();
    }
  }

  // A photo that this browser can show: its own file, or else the service's reading of it.
  async #read(item, options) {
    let bitmap = item.source.file && (await createImageBitmap(item.source.file).catch(() => null));
    item.photo = bitmap ? item.source.file : await photo(item.source, this.wish, options);
    bitmap ??= await createImageBitmap(item.photo);
    item.size = [bitmap.width, bitmap.height];
    item.thumb = await thumbnail(bitmap);
    bitmap.close();
  }

  #pause(item) {
    let left = item.problem.retryAfter;
    const tick = () => {
      Object.assign(item, { state: "pausing", left });
      if (left-- > 0) return this.#tell(item);
      clearInterval(item.timer);
      item.state = "waiting";
      this.#advance();
    };
    item.timer = setInterval(tick, 1000);
    tick();
  }

  #tell(item) {
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
  }
}

async function sameSize(png, [width, height]) {
  const header = new DataView(await png.slice(16, 24).arrayBuffer());
  return header.getUint32(0) === width && header.getUint32(4) === height;
}

async function thumbnail(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const canvas = Object.assign(document.createElement("canvas"), { width: THUMB, height: THUMB });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, THUMB, THUMB);
  return URL.createObjectURL(await new Promise((resolve) => canvas.toBlob(resolve)));
}
