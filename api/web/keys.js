// The dialog that asks for a key, where the service wants one.

import { key } from "./service.js";

const dialog = document.getElementById("key-dialog");

export function askForKey() {
  if (dialog.open) return;
  dialog.returnValue = "";
  dialog.showModal();
}

// act: is called when a key was given.
export function onKey(act) {
  dialog.addEventListener("close", () => {
    const given = document.getElementById("key").value.trim();
    if (dialog.returnValue !== "use" || !given) return;
    key.set(given);
    act();
  });
}
