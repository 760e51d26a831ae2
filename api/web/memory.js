// What the browser remembers for the page. Where it may not, the page does, as long as it is open.

// where: "localStorage" or "sessionStorage". With site data blocked, the very name throws.
export function memory(where, name) {
  let own = null;
  return {
    get() {
      try {
        return window[where].getItem(name) ?? own;
      } catch {
        return own;
      }
    },
    set(value) {
      own = value;
      try {
        window[where].setItem(name, value);
      } catch { /* then for this page alone */ }
    },
  };
}
