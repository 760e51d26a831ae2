// The ways in: choose, drop, paste, camera, link, samples.

import { photograph } from "./camera.js";
import { notify } from "./notice.js";
import { t } from "./words.js";

const MOST = 60; // photos at a time: each is held in memory
const NAMELESS = "image.png"; // what browsers call a picture that was copied, and is no file
const byId = (id) => document.getElementById(id);

// Calls add(source, name) for each photo. room: how many there are already.
export function open({ add, count }) {
  const take = (files, name = null) => {
    const photos = [...files].filter(({ type, size }) => size && (type.startsWith("image/") || !type));
    if (!photos.length) return notify("take.none");
    const room = Math.max(0, MOST - count());
    if (photos.length > room) notify("take.many", { count: MOST });
    for (const file of photos.slice(0, room)) add({ file }, name ?? file.name);
  };

  for (const id of ["pick", "more"]) byId(id).addEventListener("click", () => byId("files").click());
  for (const id of ["files", "shot"]) {
    byId(id).addEventListener("change", ({ target }) => {
      if (target.files.length) take(target.files);
      target.value = ""; // so that the same file can be chosen again
    });
  }
  const lead = (url) => {
    if (count() < MOST) add({ url }, nameOf(url));
    else notify("take.many", { count: MOST });
  };
  byId("take").addEventListener("click", () => photograph((files) => take(files, `${t("name.camera")}.jpg`)));
  link(lead);
  samples(take);
  // What was dropped or pasted. address: the type of what may hold one. nameless: what no file's own name is.
  const receive = (transfer, address, nameless = null) => {
    const { files, folders } = unpacked(transfer), url = urlIn(transfer.getData(address));
    if (files.length) take(files, files.length === 1 && files[0].name === nameless ? `${t("name.pasted")}.png` : null);
    else if (url) lead(url);
    else if (!folders) notify("take.none");
    if (folders) notify("take.folder");
  };
  dropping((transfer) => receive(transfer, "text/uri-list"));
  addEventListener("paste", (event) => {
    if (event.target.closest?.("input:not([type=file]), textarea")) return;
    receive(event.clipboardData, "text/plain", NAMELESS);
  });
}

// A folder comes as a file that nobody can read.
function unpacked({ items }) {
  const given = [...items].filter(({ kind }) => kind === "file");
  const files = given.filter((item) => !item.webkitGetAsEntry()?.isDirectory).map((item) => item.getAsFile());
  return { files, folders: given.length - files.length };
}

function link(lead) {
  const form = byId("link-form"), button = byId("link");
  button.addEventListener("click", () => {
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) byId("url").focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    lead(byId("url").value);
    form.reset();
  });
}

function samples(take) {
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", async () => {
      const name = button.dataset.sample;
      const answer = await fetch(`samples/${name}.jpg`).catch(() => null);
      if (!answer?.ok) return notify("error.unreachable");
      take([new File([await answer.blob()], `${name}.jpg`, { type: "image/jpeg" })], `${t(`sample.name.${name}`)}.jpg`);
    });
  }
}

function dropping(receive) {
  const veil = document.querySelector(".veil");
  let depth = 0; // every element that is crossed tells of it
  const show = (change) => {
    depth = Math.max(0, depth + change);
    veil.hidden = !depth;
  };
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    show(1);
  });
  addEventListener("dragleave", () => show(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(-depth);
    receive(event.dataTransfer);
  });
}

function urlIn(text) {
  const [first] = text.trim().split(/\s/);
  return /^https?:\/\/./i.test(first) ? first : null;
}

function nameOf(url) {
  const last = URL.parse?.(url)?.pathname.split("/").pop() ?? "";
  return /^[\w.-]{1,60}$/.test(last) ? last : t("name.link");
}
