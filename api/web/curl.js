// The command that asks the service for what the page shows.

import { fields, hasPicture, key } from "./service.js";

const TYPES = { png: "image/png", webp: "image/webp", jpeg: "image/jpeg", zip: "application/zip" };

// item: {source, name}. file: what the answer is saved as. The key itself stays out of it.
export function curl(item, wish, file) {
  const { url, file: photo } = item.source;
  const sent = [url ? ["image_url", url] : ["image", `@"${(photo.name || item.name).replace(/["\\]/g, "\\$&")}"`], ...fields(wish)];
  if (hasPicture(wish)) sent.push(["background_image", `@"${wish.picture.name.replace(/["\\]/g, "\\$&")}"`]);
  const parts = [
    "curl --fail-with-body",
    ...(key.get() ? ['-H "X-Api-Key: $CUTOUTS_KEY"'] : []),
    `-H ${quoted(`Accept: ${TYPES[wish.format]}`)}`,
    // --form-string takes a value as it is: a URL may begin with what -F would read as a file's name.
    ...sent.map(([name, value]) => `${String(value).startsWith("@") ? "-F" : "--form-string"} ${quoted(`${name}=${value}`)}`),
    quoted(new URL("v1/cutouts", document.baseURI).href),
    `-o ${quoted(file)}`,
  ];
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
