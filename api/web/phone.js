// The phone's side of a room: a photo, its subject over the live picture, and onto the screen that one points at.

import { rearCamera, still } from "./camera.js";
import { askForKey, onKey } from "./keys.js";
import { notify } from "./notice.js";
import { ask, cutSubject } from "./service.js";
import { preferred, say, speak, titleOf } from "./words.js";

const byId = (id) => document.getElementById(id);
const video = byId("viewfinder"), cutout = byId("cutout");
const code = location.hash.slice(1);
const SAID = { starting: "phone.starting", cutting: "phone.cutting", sending: "phone.sending" };
const SEEING = { live: "phone.ready", aim: "phone.aim" };
const BLIND = { live: "phone.file", aim: "phone.blind" };
let piece = null; // the subject, a PNG
let shot = null; // its photo

// starting: the camera; live: what to take a photo of; cutting; aim: at the screen; sending.
function enter(state) {
  document.body.dataset.state = state;
  byId("shoot").hidden = byId("again").hidden = byId("put").hidden = true;
  if (state === "aim" || state === "sending") byId("again").hidden = byId("put").hidden = false;
  else byId("shoot").hidden = false;
  const busy = state !== "live" && state !== "aim";
  for (const id of ["shoot", "again", "put"]) byId(id).disabled = busy;
  say(byId("state"), SAID[state] ?? (video.srcObject ? SEEING : BLIND)[state]);
  document.querySelector(".aim").hidden = !video.srcObject;
  if (state === "live") {
    URL.revokeObjectURL(cutout.src);
    cutout.removeAttribute("src");
    cutout.hidden = true;
  }
}

async function cutOut(file) {
  shot = file;
  enter("cutting");
  try {
    piece = await cutSubject(file);
    cutout.src = URL.createObjectURL(piece);
    cutout.hidden = false;
    enter("aim");
  } catch (error) {
    enter("live");
    refused(error);
  }
}

async function put() {
  enter("sending");
  const form = new FormData();
  form.append("image", piece, "cutout.png");
  try {
    if (video.srcObject) form.append("view", await still(video));
    const { found } = await (await ask(`v1/rooms/${code}/cutouts`, { method: "POST", body: form })).json();
    enter("live");
    notify(found ? "phone.found" : "phone.middle");
  } catch (error) {
    enter("aim");
    if (error.code === "not_found") notify("phone.ended");
    else refused(error);
  }
}

function refused(error) {
  if (error.code === "unauthorized") askForKey();
  notify(titleOf(error.code));
}

byId("shoot").addEventListener("click", async () => {
  if (video.srcObject) cutOut(await still(video));
  else byId("shot").click();
});
byId("shot").addEventListener("change", ({ target }) => {
  if (target.files.length) cutOut(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
byId("put").addEventListener("click", put);
byId("again").addEventListener("click", () => enter("live"));
onKey(() => {
  if (document.body.dataset.state === "live" && shot) cutOut(shot);
});

speak(preferred());
enter("starting");
document.documentElement.dataset.ready = "";
if (code) {
  video.srcObject = await rearCamera();
  if (video.srcObject) await new Promise((resolve) => (video.onloadeddata = resolve));
  enter("live");
} else say(byId("state"), "phone.code");
