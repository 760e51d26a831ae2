"use strict";

const byId = (id) => document.getElementById(id);
let photo = null;
let urls = [];

function say(text, failed = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("failed", failed);
}

function show(blob) {
  const url = URL.createObjectURL(blob);
  urls.push(url);
  return url;
}

async function cut() {
  document.body.classList.add("busy");
  byId("result").hidden = true;
  say("Cutting…");
  const form = new FormData();
  form.append("image", photo);
  const headers = { Accept: "image/png" };
  if (byId("key").value) headers["X-Api-Key"] = byId("key").value;
  const started = performance.now();
  try {
    const answer = await fetch("v1/cutouts", { method: "POST", body: form, headers });
    if (!answer.ok) {
      const problem = await answer.json();
      if (answer.status === 401) byId("key-row").hidden = false;
      throw new Error(problem.detail || problem.title);
    }
    const cutout = await answer.blob();
    urls.forEach(URL.revokeObjectURL);
    urls = [];
    byId("before").src = show(photo);
    byId("after").src = byId("download").href = show(cutout);
    byId("download").download = `${(photo.name || "photo").replace(/\.[^.]*$/, "")}-cutout.png`;
    const width = answer.headers.get("X-Cutout-Width");
    const height = answer.headers.get("X-Cutout-Height");
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    byId("facts").textContent = `${width} × ${height} px in ${seconds} s`;
    byId("result").hidden = false;
    byId("key-row").hidden = true;
    say("");
  } catch (error) {
    say(error.message, true);
  } finally {
    document.body.classList.remove("busy");
  }
}

function take(files) {
  if (!files || !files.length) return;
  photo = files[0];
  cut();
}

byId("file").addEventListener("change", (event) => take(event.target.files));
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (photo) cut();
});
addEventListener("paste", (event) => take(event.clipboardData.files));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
