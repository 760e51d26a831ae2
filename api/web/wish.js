// What the finished pictures shall look like: one set of wishes for all photos. Tells "change" with their names.

export class Wish extends EventTarget {
  model = "lite";
  edges = "soft";
  background = "transparent"; // or colour, picture, blur
  colour = "#f3efe6";
  picture = null; // File behind the subject
  blur = 0.02; // sigma, share of the longer side
  crop = false;
  margin = 0; // px
  format = "png";

  set(changes) {
    const names = Object.keys(changes).filter((name) => this[name] !== changes[name]);
    if (!names.length) return;
    Object.assign(this, changes);
    this.dispatchEvent(new CustomEvent("change", { detail: new Set(names) }));
  }
}
