// What a phone sends to this screen: a code to pair by, and the board that its cutouts land on.

import { Board } from "./board.js";
import { save } from "./files.js";
import { Problem, ask } from "./service.js";
import { hush, say } from "./words.js";

const SCREEN = 1000; // px: enough to recognise it
const AGAIN = 2000; // ms until a stream that broke is opened again
const SETTLED = 300; // ms without a move, until the room is told: each time is a request
const HERE = /^(localhost|127\..*|\[::1\])$/;
const byId = (id) => document.getElementById(id);

// refused: is told every Problem of the service.
export class RoomDialog {
  #room = null;
  #abort = null;
  #told = 0;
  #settling = 0;
  #shown = Promise.resolve();

  constructor(refused) {
    this.refused = refused;
    this.board = new Board(byId("board"), () => this.#moved());
    byId("room-save").addEventListener("click", async () => save(await this.board.file(), "board.png"));
    byId("room-dialog").addEventListener("close", () => this.#leave());
    addEventListener("pagehide", () => {
      this.#leave();
      this.#ended();
    });
  }

  // base: a picture to lie under what arrives, or null.
  async open(base) {
    const page = new URL(".", location).href;
    const room = await (await ask(`v1/rooms?page=${encodeURIComponent(page)}`, { method: "POST" })).json();
    this.#room = room;
    this.#told = 0;
    this.#abort = new AbortController();
    byId("qr").src = room.qr;
    byId("qr").hidden = false;
    byId("room-link").textContent = room.link;
    byId("room-local").hidden = !HERE.test(location.hostname);
    say(byId("room-state"), "room.waiting");
    this.board.clear(base);
    byId("room-dialog").showModal();
    this.#listen(this.#abort.signal);
    await this.#show();
  }

  #moved() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#show().catch(this.refused), SETTLED);
  }

  // One after the other: the latest is what the room knows in the end.
  #show() {
    const room = this.#room;
    const show = async () => {
      const body = await this.board.picture(SCREEN);
      if (room && room === this.#room) await ask(`v1/rooms/${room.id}/screen`, { method: "POST", body });
    };
    return (this.#shown = this.#shown.then(show, show));
  }

  async #listen(signal) {
    while (!signal.aborted) {
      try {
        for await (const { name, data } of events(`v1/rooms/${this.#room.id}/events`, signal)) {
          if (name === "closed") return this.#ended();
          if (data.number > this.#told) await this.#land(data);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === "not_found") return this.#ended();
        if (error.code === "unauthorized") return this.refused(error);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  async #land({ number, x, y, found }) {
    const answer = await ask(`v1/rooms/${this.#room.id}/cutouts/${number}`).catch((error) => {
      if (error.code !== "not_found") throw error; // else later ones have taken its place
    });
    const piece = answer && (await createImageBitmap(await answer.blob()));
    this.#told = number;
    if (!piece) return;
    this.board.land(piece, x, y);
    say(byId("room-state"), found ? "room.found" : "room.middle");
  }

  #ended() {
    this.#room = null;
    byId("qr").hidden = true;
    hush(byId("room-link"));
    say(byId("room-state"), "room.ended");
  }

  #leave() {
    this.#abort?.abort();
    const room = this.#room;
    this.#room = null;
    // Also while the page is being left.
    if (room) ask(`v1/rooms/${room.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
  }
}

// Server-sent events. By fetch, as an EventSource cannot show a key.
async function* events(path, signal) {
  const reader = (await ask(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Problem("unreachable");
    });
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}
