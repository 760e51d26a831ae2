// The ways in: choose, drop, paste, camera, link, samples.

import { photograph } from "./camera.js";
import { notify } from "./notice.js";
import { t } from "./words.js";

const MOST = 60; // photos at a time: each is held in memory
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
  byId("take").addEventListener("click", () => photograph((files) => take(files, `${t("name.camera")}.jpg`)));
  link(add);
  samples(take);
  dropping(take, add);
  addEventListener("paste", (event) => {
    if (event.target.closest?.("input:not([type=file]), textarea")) return;
    const { files } = event.clipboardData;
    const url = address(event.clipboardData.getData("text/plain"));
    if (files.length) take(files, `${t("name.pasted")}.png`);
    else if (url) add({ url }, nameOf(url));
    else notify("take.none");
  });
}

function link(add) {
  const form = byId("link-form"), button = byId("link");
  button.addEventListener("click", () => {
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) byId("url").focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add({ url: byId("url").value }, nameOf(byId("url").value));
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

function dropping(take, add) {
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
    const { files } = event.dataTransfer;
    const url = address(event.dataTransfer.getData("text/uri-list"));
    if (files.length || !url) take(files);
    else add({ url }, nameOf(url));
  });
}

function address(text) {
  const [first] = text.trim().split(/\s/);
  return /^https?:\/\/./i.test(first) ? first : null;
}

function nameOf(url) {
  const last = URL.parse?.(url)?.pathname.split("/").pop() ?? "";
  return /^[\w.-]{1,60}$/.test(last) ? last : t("name.link");
}
