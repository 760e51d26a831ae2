// A canvas that cutouts lie on, over a picture or nothing: they can be dragged, and moved by arrow keys.

import { canvasOf } from "./picture.js";

const EMPTY = [1200, 800]; // px
const LARGEST = 0.5; // of the board's sides: a phone's photo would cover it
const STEP = 0.01; // of the board's width, for arrow keys
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Board {
  #pieces = []; // {bitmap, x, y, width, height}: x, y of the middle, px
  #base = null;
  #held = null;

  // changed: is called when something has come to lie elsewhere.
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed });
    canvas.addEventListener("pointerdown", (event) => {
      const [x, y] = this.#at(event);
      const over = (piece) => Math.abs(x - piece.x) < piece.width / 2 && Math.abs(y - piece.y) < piece.height / 2;
      const piece = this.#pieces.findLast(over);
      if (!piece) return;
      canvas.setPointerCapture(event.pointerId);
      this.#held = { piece, dx: piece.x - x, dy: piece.y - y };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.#held) return;
      const [x, y] = this.#at(event), { piece, dx, dy } = this.#held;
      this.#move(piece, x + dx, y + dy);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (this.#held) this.changed();
        this.#held = null;
      });
    }
    canvas.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key], piece = this.#pieces.at(-1);
      if (!arrow || !piece) return;
      event.preventDefault();
      const step = STEP * canvas.width;
      this.#move(piece, piece.x + arrow[0] * step, piece.y + arrow[1] * step);
      this.changed();
    });
  }

  // base: what a canvas draws, or null.
  clear(base) {
    this.#pieces = [];
    this.#base = base;
    const [width, height] = base ? [base.width, base.height] : EMPTY;
    Object.assign(this.canvas, { width, height });
    this.#draw();
  }

  // x, y: where its middle goes, shares of the board.
  land(bitmap, x, y) {
    const { width, height } = this.canvas;
    const scale = Math.min(1, (LARGEST * width) / bitmap.width, (LARGEST * height) / bitmap.height);
    const piece = { bitmap, width: bitmap.width * scale, height: bitmap.height * scale };
    this.#pieces.push(piece);
    this.#move(piece, x * width, y * height);
    this.changed();
  }

  // A JPEG as the screen shows it, at most so many px a side.
  picture(side) {
    const { width, height } = this.canvas, scale = Math.min(1, side / Math.max(width, height));
    const small = canvasOf(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    const context = small.getContext("2d");
    context.fillStyle = "#fff"; // as the style sheet has it
    context.fillRect(0, 0, small.width, small.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.canvas, 0, 0, small.width, small.height);
    return new Promise((resolve) => small.toBlob(resolve, "image/jpeg", 0.9));
  }

  file() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  #at(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((event.clientX - left) * this.canvas.width) / width, ((event.clientY - top) * this.canvas.height) / height];
  }

  #move(piece, x, y) {
    const within = (value, most) => Math.min(most, Math.max(0, value));
    Object.assign(piece, { x: within(x, this.canvas.width), y: within(y, this.canvas.height) });
    this.#draw();
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingQuality = "high";
    if (this.#base) context.drawImage(this.#base, 0, 0);
    for (const { bitmap, x, y, width, height } of this.#pieces) {
      context.drawImage(bitmap, x - width / 2, y - height / 2, width, height);
    }
  }
}
