// The page: its parts, and what connects them.

import { backdropOf } from "./backdrop.js";
import { Brush } from "./brush.js";
import { encode } from "./files.js";
import { askForKey, onKey } from "./keys.js";
import { notify, tell } from "./notice.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { Queue } from "./queue.js";
import { Results } from "./results.js";
import { RoomDialog } from "./room.js";
import { asPng, backgroundOf, key } from "./service.js";
import * as sources from "./sources.js";
import { Stage } from "./stage.js";
import { Strip, describe } from "./strip.js";
import { Wish } from "./wish.js";
import { language, preferred, say, speak, t, titleOf } from "./words.js";

const byId = (id) => document.getElementById(id);
// What another try can change; for the rest the photo or the settings have to.
const LASTING = new Set(["payload_too_large", "unsupported_image", "corrupt_image", "image_too_large", "source_too_large"]);

const wish = new Wish();
const queue = new Queue(wish);
const brush = new Brush(document.querySelector(".ring"), onTouchUp);
const stage = new Stage(byId("stage"), brush);
brush.attach(stage);
const results = new Results(wish, queue, refused);
const strip = new Strip(byId("strip"), { open: show, remove });
const panel = new Panel(wish);
const room = new RoomDialog(refused);

let current = null; // the item on the stage
let picture = null; // the same, opened, once it is done
let stageShows = null; // of the current item: nothing, photo, done
let turn = 0; // whoever finds that it has changed while waiting has been overtaken
let behind = 0; // the same, of the background

const stageFor = (item) => item.state === "done" ? "done" : item.photo ? "photo" : "nothing";

// ---- the stage -----------------------------------------------------------------------------------------------

async function show(item) {
  const fresh = item !== current;
  current = item;
  strip.mark(item);
  byId("start").hidden = byId("privacy").hidden = true;
  byId("editor").hidden = false;
  document.body.classList.add("editing");
  if (fresh) stageShows = null;
  await render();
}

async function render() {
  const item = current, wanted = stageFor(item);
  status(item);
  if (wanted === stageShows) return;
  const ticket = ++turn, before = stageShows;
  stageShows = wanted;
  picture = null;
  brush.load(item, null);
  results.show(item, null);
  onTouchUp();
  try {
    if (wanted === "done") await openPicture(item, ticket, before);
    else if (wanted === "photo") await openPhoto(item, ticket);
    else stage.clear();
  } catch (error) { // a phone may have no memory left for a large photo
    console.error(error);
    if (ticket !== turn) return;
    stageShows = "nothing"; // who opens it again tries again
    stage.clear();
    notify("stage.unshown", { name: item.name });
  }
}

async function openPhoto(item, ticket) {
  const bitmap = await createImageBitmap(item.photo);
  if (ticket === turn) stage.showPhoto(bitmap);
  bitmap.close();
}

async function openPicture(item, ticket, before) {
  const opened = await Picture.open(item);
  if (ticket !== turn) return;
  picture = opened;
  brush.load(item, opened);
  results.show(item, opened);
  stage.showPicture(opened, opened.window(wish), { reveal: before !== null });
  onTouchUp();
  await background();
}

// What stands over the stage while there is no cutout: how far it is, or why not.
function status(item) {
  const working = document.querySelector(".working"), failure = document.querySelector(".failure");
  const failed = item.state === "failed";
  working.hidden = failed || item.state === "done";
  failure.hidden = !failed;
  stage.root.classList.toggle("busy", !working.hidden);
  if (!working.hidden) say(working.querySelector("p"), "strip.open", { name: item.name, state: () => describe(item) });
  if (!failed) return;
  const { code, detail } = item.problem;
  say(failure.querySelector("h2"), titleOf(code));
  say(failure.querySelector(".help"), `${titleOf(code)}.help`);
  failure.querySelector(".detail").textContent = code === "invalid_options" || code === "model_unavailable" ? detail ?? "" : "";
  byId("retry").hidden = LASTING.has(code);
  say(byId("retry"), code === "unauthorized" ? "failure.key" : "failure.retry");
}

async function background() {
  const { root } = stage;
  root.dataset.background = backgroundOf(wish);
  root.style.setProperty("--colour", wish.colour);
  byId("views").disabled = root.dataset.background !== "transparent";
  document.documentElement.style.setProperty("--chosen", wish.colour);
  if (!picture) return;
  const ticket = ++behind, shown = picture;
  const drawn = await backdropOf(picture, picture.window(wish), wish);
  if (ticket === behind && shown === picture) stage.setBackdrop(drawn);
}

function onTouchUp() {
  byId("undo").disabled = !picture || !current.strokes.length;
  byId("redo").disabled = !picture || !current.undone.length;
  if (!picture) return;
  if (wish.crop) stage.setWindow(picture.window(wish));
  if (wish.background === "blur") background();
  results.update();
}

// ---- what happens to photos ----------------------------------------------------------------------------------

queue.addEventListener("change", ({ detail: item }) => {
  strip.update(item);
  if (item === current) render();
  if (item.state === "done") tell("told.done", { name: item.name });
  if (item.state === "failed") {
    tell("told.failed", { name: item.name, title: () => t(titleOf(item.problem.code)) });
    if (item.problem.code === "unauthorized") askForKey();
  }
  results.update();
});

queue.addEventListener("remove", ({ detail: item }) => {
  strip.forget(item);
  results.update();
});

function add(source, name) {
  const item = queue.add(source, name);
  if (!current || current.state === "done" || current.state === "failed") show(item);
  return item;
}

function remove(item) {
  const at = queue.items.indexOf(item);
  queue.remove(item);
  if (item !== current) return;
  const next = queue.items[Math.min(at, queue.items.length - 1)];
  if (next) {
    show(next);
    return byId("stage").focus();
  }
  turn++;
  current = picture = stageShows = null;
  byId("editor").hidden = true;
  byId("start").hidden = byId("privacy").hidden = false;
  document.body.classList.remove("editing");
  byId("pick").focus();
}

wish.addEventListener("change", ({ detail: names }) => {
  if (names.has("model") || names.has("edges")) {
    stageShows = null;
    for (const item of queue.items) if (!LASTING.has(item.problem?.code)) queue.again(item);
  }
  if (picture && (names.has("crop") || names.has("margin"))) stage.setWindow(picture.window(wish));
  background();
  results.update();
});

function refused(error) {
  if (error.code === "unauthorized") askForKey();
  notify(titleOf(error.code));
}

// ---- the key, the network ------------------------------------------------------------------------------------

onKey(() => {
  loadModels();
  retry("unauthorized");
});
addEventListener("online", () => retry("unreachable"));

// What failed for a reason that is gone.
function retry(code) {
  for (const item of queue.items) if (item.state === "failed" && item.problem.code === code) queue.again(item);
}

function loadModels() {
  panel.load().catch((error) => {
    if (error.code === "unauthorized" && key.get()) notify("error.unauthorized");
  });
}

// ---- a phone's cutouts ----------------------------------------------------------------------------------------

// They land on what is on the stage, as it would be saved.
byId("phone").addEventListener("click", async ({ currentTarget: button }) => {
  button.disabled = true; // a second click would open a second room
  try {
    await room.open(picture ? await createImageBitmap(await encode(current, picture, asPng(wish))) : null);
  } catch (error) {
    refused(error);
  } finally {
    button.disabled = false;
  }
});

// ---- controls ------------------------------------------------------------------------------------------------

byId("retry").addEventListener("click", () => {
  if (current.problem.code === "unauthorized") askForKey();
  else queue.again(current);
});
byId("drop-item").addEventListener("click", () => remove(current));
byId("undo").addEventListener("click", () => brush.undo());
byId("redo").addEventListener("click", () => brush.redo());
byId("zoom-in").addEventListener("click", stage.larger);
byId("zoom-out").addEventListener("click", stage.smaller);
byId("zoom-fit").addEventListener("click", () => stage.fit());
byId("size").addEventListener("input", ({ target }) => brush.resize(Number(target.value)));
stage.root.addEventListener("view", () => (byId("scale").textContent = `${Math.round(stage.scale * 100)} %`));

for (const radio of document.querySelectorAll("input[name=tool]")) {
  radio.addEventListener("change", () => {
    brush.use(radio.value);
    stage.root.dataset.tool = radio.value;
    byId("brush").hidden = radio.value === "look";
  });
}
for (const radio of document.querySelectorAll("input[name=view]")) {
  radio.addEventListener("change", () => {
    stage.root.dataset.view = radio.value;
    byId("own").hidden = radio.value !== "own";
  });
}
byId("own").addEventListener("input", ({ target }) => document.documentElement.style.setProperty("--own", target.value));
for (const radio of document.querySelectorAll("input[name=language]")) {
  radio.addEventListener("change", () => speak(radio.value, { remember: true }));
}
addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  if (event.target.matches("input:not([type=radio], [type=range], [type=checkbox]), textarea")) return;
  event.preventDefault();
  if (event.shiftKey) brush.redo();
  else brush.undo();
});
addEventListener("beforeunload", (event) => {
  if (queue.items.some(({ strokes }) => strokes.length)) event.preventDefault();
});

speak(preferred());
document.querySelector(`input[name=language][value=${language()}]`).checked = true;
sources.open({ add, count: () => queue.items.length });
loadModels();
document.documentElement.dataset.ready = "";
