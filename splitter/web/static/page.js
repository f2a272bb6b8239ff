"use strict";
// What a page does by itself: which wishes are fixed, cards in order, copying, and whether the server is there.
(() => {
  const form = () => document.getElementById("wishes");
  const controls = (name) => [...document.querySelectorAll(`#wishes [data-name="${name}"]`)];
  const tell = () => form() && form().dispatchEvent(new Event("wish", { bubbles: true }));

  function show(control, value) {
    control.value = value;
    const out = document.querySelector(`output[data-of="${control.id}"]`);
    if (out) out.textContent = `${Number(control.value).toLocaleString("en")} ${out.dataset.unit || ""}`.trim();
  }

  function fixed(name, yes) {
    for (const control of controls(name)) {
      if (yes) control.name = name; else control.removeAttribute("name");
      const box = control.closest(".control");
      if (box) box.classList.toggle("fixed", yes);
      const mark = box && box.querySelector(".mark-fixed");
      if (mark) mark.hidden = !yes;
    }
    if (!yes) document.querySelectorAll(`#wishes input.extra[name="${name}"]`).forEach((e) => e.remove());
  }

  function set(name, value) {
    if (value === "") { fixed(name, false); return; }
    const control = controls(name)[0];
    const takes = control && !(control.type === "range" && !/^\d+$/.test(value));
    if (takes) {
      show(control, value);
      fixed(name, true);
      arrange(name, value);
      return;
    }
    fixed(name, false);
    const extra = document.createElement("input");
    extra.type = "hidden"; extra.className = "extra"; extra.name = name; extra.value = value;
    form().append(extra);
  }

  function arrange(name, value) {  // cards and margins show what their hidden field holds
    if (name === "device_order") {
      const list = document.getElementById("cards");
      if (!list) return;
      const order = value.split(",").filter(Boolean);
      for (const id of [...order].reverse()) {
        const item = [...list.children].find((li) => li.dataset.id === id);
        if (item) list.prepend(item);
      }
      for (const li of list.children) li.querySelector("input").checked = order.includes(li.dataset.id);
    }
    if (name === "margin") {
      const parts = value.split(",");
      document.querySelectorAll("#margins input").forEach((input, i) => { if (parts[i]) input.value = parts[i]; });
    }
  }

  function gather(name) {
    const hidden = controls(name)[0];
    if (name === "device_order") {
      const used = [...document.querySelectorAll("#cards li")].filter((li) => li.querySelector("input").checked);
      if (!used.length) return false;
      hidden.value = used.map((li) => li.dataset.id).join(",");
    } else {
      hidden.value = [...document.querySelectorAll("#margins input")].map((i) => i.value || "0").join(",");
    }
    fixed(name, true);
    return true;
  }

  document.addEventListener("input", (event) => {
    const at = event.target;
    if (at.closest && at.closest("#cards")) {
      if (!gather("device_order")) at.checked = true;
      tell();
    } else if (at.closest && at.closest("#margins")) {
      gather("margin"); tell();
    } else if (at.dataset && at.dataset.name && form() && form().contains(at)) {
      if (at.value === "") fixed(at.dataset.name, false);
      else { document.querySelectorAll(`#wishes input.extra[name="${at.dataset.name}"]`).forEach((e) => e.remove());
             fixed(at.dataset.name, true); show(at, at.value); }
      tell();
    }
  });

  document.addEventListener("change", (event) => {
    const choice = event.target.closest && event.target.closest("#choice");
    if (choice && event.target.dataset.go !== "no") choice.requestSubmit();
  });

  document.addEventListener("click", (event) => {
    const at = event.target.closest("[data-free],[data-set],[data-copy],[data-move]");
    if (!at) return;
    if (at.dataset.free) { fixed(at.dataset.free, false); tell(); }
    if (at.dataset.set) {
      for (const [name, value] of Object.entries(JSON.parse(at.dataset.set))) set(name, value);
      tell();
    }
    if (at.dataset.copy) {
      const text = document.getElementById(at.dataset.copy).textContent;
      const said = () => { at.textContent = "Copied"; setTimeout(() => { at.textContent = "Copy"; }, 1500); };
      navigator.clipboard.writeText(text).then(said, () => {
        getSelection().selectAllChildren(document.getElementById(at.dataset.copy));
        document.execCommand("copy"); said();
      });
    }
    if (at.dataset.move) {
      const item = at.closest("li");
      const other = at.dataset.move === "up" ? item.previousElementSibling : item.nextElementSibling;
      if (!other) return;
      if (at.dataset.move === "up") other.before(item); else other.after(item);
      at.focus(); gather("device_order"); tell();
    }
  });

  let dragged = null;
  document.addEventListener("dragstart", (event) => { dragged = event.target.closest("#cards li"); });
  document.addEventListener("dragover", (event) => {
    const over = event.target.closest && event.target.closest("#cards li");
    if (!dragged || !over || over === dragged) return;
    event.preventDefault();
    const box = over.getBoundingClientRect();
    if (event.clientY < box.top + box.height / 2) over.before(dragged); else over.after(dragged);
  });
  document.addEventListener("dragend", () => { if (dragged) { dragged = null; gather("device_order"); tell(); } });

  // What was left free shows what the solver chose.
  document.addEventListener("htmx:afterSwap", () => {
    const plan = document.querySelector("#plan [data-solved]");
    if (!plan) return;
    const solved = JSON.parse(plan.dataset.solved);
    for (const [name, value] of Object.entries(solved)) {
      for (const control of controls(name)) {
        if (control.name || value === null || document.activeElement === control) continue;
        show(control, String(value)); arrange(name, String(value));
      }
    }
    for (const name of ["device_order", "ubatch_size"]) {
      const shown = document.getElementById(`shown_${name}`);
      if (shown && plan.dataset.whole) shown.value = solved[name];
    }
  });

  // A part is not replaced while a mouse button or a finger is down on it, for its click would be lost: afterwards it is.
  const later = new Map();
  function held(part, text) {
    const yes = Boolean(part.querySelector && part.querySelector(":active"));
    if (yes) later.set(part, text);
    return yes;
  }
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (held(event.target, event.detail.data)) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.shouldSwap && held(event.target, event.detail.serverResponse)) event.detail.shouldSwap = false;
  });
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => setTimeout(() => {
    for (const [part, text] of later) htmx.swap(part, text, { swapStyle: "innerHTML" });
    later.clear();
  }));

  // The server is asked whether it is there; while it is not, the page says so.
  const away = document.getElementById("away");
  let gone = false;
  async function look() {
    let said = "";
    try {
      const answer = await fetch("/alive", { cache: "no-store" });
      if (answer.status === 401) said = "This session has ended: open the address that splitter ui printed.";
    } catch { said = "splitter does not answer. Start `splitter ui` again; this page then goes on by itself."; }
    away.hidden = !said;
    if (said) away.textContent = said;
    if (gone && !said) location.reload();
    gone = Boolean(said);
  }
  if (away) setInterval(look, 2500);

  document.addEventListener("htmx:responseError", (event) => {
    const place = document.getElementById("trouble");
    if (place) { place.textContent = event.detail.xhr.responseText || "that did not work"; place.hidden = false; }
  });
})();
