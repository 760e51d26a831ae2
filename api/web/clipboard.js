// Copying, also where the browser does not let a page copy: then the text is shown, ready to be copied by hand.

const dialog = document.getElementById("text-dialog");

// text: a promise, as some browsers copy only what was asked for within the click. Whether it was copied.
export async function copyText(text) {
  try {
    const blob = text.then((each) => new Blob([each], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch {
    const field = document.getElementById("text");
    field.value = await text; // its own failure is the caller's business
    dialog.showModal();
    field.select();
    return false;
  }
}

// png: a promise of a Blob. Whether it was copied.
export async function copyPicture(png) {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    return true;
  } catch {
    await png;
    return false;
  }
}
