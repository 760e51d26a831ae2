// The service's HTTP API, as far as the page needs it. Every failure is a Problem with a stable code.

import { memory } from "./memory.js";

const kept = memory("sessionStorage", "objectcut.key");

export class Problem extends Error {
  constructor(code, { detail = null, retryAfter = null } = {}) {
    super(code);
    Object.assign(this, { code, detail, retryAfter });
  }
}

// Kept for this tab alone: other people may use this browser, too.
export const key = {
  get: () => kept.get() ?? "",
  set: kept.set,
};

// What the service is told of the page's wishes: [name, value] each, defaults left out.
export function fields(wish, only = null) {
  const behind = backgroundOf(wish);
  const asked = {
    model: wish.model !== "lite" && wish.model,
    edges: wish.edges !== "soft" && wish.edges,
    background: { colour: wish.colour, blur: "blur" }[behind],
    blur: behind === "blur" && wish.blur !== 0.02 && wish.blur,
    crop: wish.crop && "true",
    crop_margin: wish.crop && wish.margin,
    format: wish.format,
  };
  return Object.entries(asked).filter(([name, value]) => value && (!only || only.includes(name)));
}

// source: {file} or {url}. The cutout as a PNG that keeps all of the picture: the rest is done here.
export async function cut(source, wish, options) {
  return (await post(source, [...fields(wish, ["model", "edges"]), ["format", "png"]], "image/png", options)).response;
}

// Stores the cutout as the wishes are, and gives {url, expires_at, …}.
export async function store(source, wish) {
  const named = fields(wish);
  if (hasPicture(wish)) named.push(["background_image", wish.picture]);
  return JSON.parse(await (await post(source, named, "application/json")).response.text());
}

// What stands behind the subject in the end: nothing in a ZIP, which holds colour and matte.
export const backgroundOf = (wish) =>
  wish.format === "zip" || (wish.background === "picture" && !wish.picture) ? "transparent" : wish.background;

export const hasPicture = (wish) => backgroundOf(wish) === "picture";

// What the clipboard and a phone's room take: a PNG, as the stage shows it.
export const asPng = (wish) => ({ ...wish, background: backgroundOf(wish), format: "png" });

// The photo itself as a PNG: for a URL, which a page may not read, and for files that only the service can.
// It is laid over itself, and the two show the same pixels.
export async function photo(source, wish, options) {
  const behind = source.url ? ["background_image_url", source.url] : ["background_image", source.file];
  const named = [...fields(wish, ["model"]), behind, ["decontaminate", "false"], ["format", "png"]];
  return (await post(source, named, "image/png", options)).response;
}

// The one subject of a photo, a PNG. By the first network that there is.
export async function cutSubject(file) {
  const model = (await models()).find(({ available }) => available)?.name ?? "lite";
  const named = [...fields({ model }), ["morphology", "keep_largest"], ["crop", "true"], ["format", "png"]];
  return (await post({ file }, named, "image/png")).response;
}

export const models = async () => (await (await ask("v1/models")).json()).models;

// Any other request; its answer. given: of fetch.
export async function ask(path, given = {}) {
  const answer = await fetch(path, { ...given, headers: key.get() ? { "X-Api-Key": key.get() } : {} }).catch(() => {
    throw new Problem("unreachable");
  });
  if (!answer.ok) throw await asProblem(await answer.text(), (name) => answer.headers.get(name));
  return answer;
}

// XMLHttpRequest, because fetch does not tell how much of an upload has left.
function post(source, named, accept, { signal, progress = () => {} } = {}) {
  const form = new FormData();
  if (source.url) form.append("image_url", source.url);
  else form.append("image", source.file);
  for (const [name, value] of named) form.append(name, value);
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Problem("aborted"));
    const request = new XMLHttpRequest();
    request.open("POST", "v1/cutouts");
    request.responseType = "blob";
    request.timeout = 120_000;
    request.setRequestHeader("Accept", accept);
    if (key.get()) request.setRequestHeader("X-Api-Key", key.get());
    request.upload.onprogress = ({ loaded, total }) => progress("sending", loaded / total);
    request.upload.onload = () => progress("cutting");
    request.onload = async () => {
      if (request.status < 300) resolve(request);
      else reject(await asProblem(await request.response.text(), (name) => request.getResponseHeader(name)));
    };
    request.onerror = request.ontimeout = () => reject(new Problem("unreachable"));
    request.onabort = () => reject(new Problem("aborted"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

async function asProblem(text, header) {
  const retryAfter = Number(header("Retry-After")) || null;
  try {
    const { code, detail } = JSON.parse(text);
    return new Problem(code ?? "internal_error", { detail, retryAfter });
  } catch {
    return new Problem("internal_error", { retryAfter }); // a proxy in between speaks for itself
  }
}
