// The page's texts in the reader's language. An element says by data-word which text it holds, by data-label and
// data-title which accessible name and tooltip it has; a change of language fills all of them again.

import { memory } from "./memory.js";
import de from "./words/de.js";
import en from "./words/en.js";

const LANGUAGES = { en, de };
const choice = memory("localStorage", "objectcut.language");
const values = new WeakMap();

let words = en;

// The text of a key. A count chooses between key.one and key.other.
export function t(key, given = {}) {
  const form = given.count === undefined ? key : `${key}.${new Intl.PluralRules(language()).select(given.count)}`;
  const text = words[form] ?? words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => given[name] ?? "");
}

export const knows = (key) => key in words;

// What to call a failure of the service.
export const titleOf = (code) => (knows(`error.${code}`) ? `error.${code}` : "error.internal_error");

export const language = () => document.documentElement.lang;

// Gives an element a text, now and in every language chosen later. Values may be functions of no arguments.
export function say(element, key, given = {}) {
  element.dataset.word = key;
  values.set(element, given);
  fill(element);
}

// Nothing to say any more.
export function hush(element) {
  delete element.dataset.word;
  element.textContent = "";
}

export function label(element, key, given = {}) {
  element.dataset.label = key;
  values.set(element, given);
  fill(element);
}

function fill(element) {
  const { word, label: name, title } = element.dataset;
  const given = Object.entries(values.get(element) ?? {});
  const now = Object.fromEntries(given.map(([key, value]) => [key, typeof value === "function" ? value() : value]));
  if (word) element.textContent = t(word, now);
  if (name) {
    element.setAttribute("aria-label", t(name, now));
    if (element.matches("button, input[type=color]")) element.title = t(name, now);
    if (element.matches("input[type=radio]")) element.parentElement.title = t(name, now);
  }
  if (title) element.parentElement.title = t(title, now);
}

// Chosen before, or what the browser asks for, or English.
export function preferred() {
  const asked = [choice.get(), ...navigator.languages.map((each) => each.slice(0, 2))];
  return asked.find((each) => each in LANGUAGES) ?? "en";
}

export function speak(name, { remember = false } = {}) {
  words = LANGUAGES[name];
  document.documentElement.lang = name;
  if (remember) choice.set(name);
  for (const element of document.querySelectorAll("[data-word], [data-label], [data-title]")) fill(element);
}
