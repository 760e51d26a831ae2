// What the page says: a passing line for everybody, and a line for screen readers alone.

import { say } from "./words.js";

const SECONDS = 6;
const notice = document.getElementById("notice");
const told = document.getElementById("told");
let timer;

export function notify(key, given) {
  say(notice, key, given);
  notice.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => notice.classList.remove("shown"), SECONDS * 1000);
}

export function tell(key, given) {
  say(told, key, given);
}
