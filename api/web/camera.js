// A photo from the camera: of a phone by its own camera program, elsewhere through a viewfinder.

import { notify } from "./notice.js";

const byId = (id) => document.getElementById(id);

// Calls take(files) with the photo.
export async function photograph(take) {
  if (!navigator.mediaDevices?.getUserMedia || matchMedia("(pointer: coarse)").matches) return byId("shot").click();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, height: { ideal: 1440 } } });
  } catch {
    return notify("camera.none");
  }
  const dialog = byId("camera-dialog"), video = byId("viewfinder"), shoot = byId("shoot");
  if (video.srcObject) return stop(stream); // of a second click: one is enough
  shoot.disabled = true;
  video.srcObject = stream;
  video.onloadeddata = () => (shoot.disabled = false);
  dialog.onclose = async () => {
    const shot = dialog.returnValue === "shoot" && (await still(video));
    stop(stream);
    video.srcObject = null;
    if (shot) take([shot]);
  };
  dialog.returnValue = "";
  dialog.showModal();
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

// The camera that looks away from whoever holds it; null: there is none, or the page may not use it.
export async function rearCamera() {
  const video = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1440 } };
  return (await navigator.mediaDevices?.getUserMedia({ video }).catch(() => null)) ?? null;
}

// What the video shows now, a JPEG file.
export async function still(video) {
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return new File([blob], "camera.jpg", { type: blob.type });
}
