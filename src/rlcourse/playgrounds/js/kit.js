// The kit of all playgrounds: elements, controls, theme, frame, mounting. No dependency, no network.
//
// To add a playground <topic>, write four files:
//   playgrounds/<topic>.py             a Playground: name, data(), fallback(), numbers from the package
//   playgrounds/js/<topic>.js          starts with one import from "./kit.js"; first pure functions (the
//                                      model), then mount(host, data, {onState}), last mountAll(name, mount)
//   tests/playgrounds/test_<topic>.py  parity of the model with the package, mutants, prompts, copied code
//   tests/playgrounds/test_<topic>_page.py  the figure in a browser; what holds for all is in test_every_*.py
// bundle() joins kit and figure into one classic script, since browsers refuse modules from file://:
// so `export` stands before functions and constants only, and an import fits into one line. grid.js holds what
// figures of grid worlds share.
//
// mount builds its view with frame(), controls and prompts from here, draws the default state at once and
// returns {state(), set(change)}, the only hook. It may throw: the static fallback then stays in sight.
// Colours are the custom properties of CSS below (light, dark, print); never tell by colour alone.

/** An HTML element: h("p", {class: "x", onclick: f}, "text", child). */
export function h(tag, props = {}, ...kids) {
  return fill(document.createElement(tag), props, kids);
}

/** An SVG element, called like h. */
export function s(tag, props = {}, ...kids) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, kids);
}

const none = (x) => x === undefined || x === null || x === false;

function fill(el, props, kids) {
  for (const [key, value] of Object.entries(props)) {
    if (none(value)) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [name, x] of Object.entries(value)) el.style.setProperty(name, x);
    else el.setAttribute(key, value === true ? "" : value);
  }
  el.append(...kids.flat(Infinity).filter((kid) => !none(kid)));
  return el;
}

/** A symbol: "r_boundary" is an italic r with a subscript. */
export function math(text) {
  const [base, sub] = text.split("_");
  return h("span", { class: "math" }, h("i", {}, base), sub && h("sub", {}, sub));
}

/** A number with a real minus sign, so that columns align and screen readers say "minus". */
export function num(x, digits = 2) {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : x < 0 ? "−∞" : "NaN";
  const text = Math.abs(x).toFixed(digits);
  return (x < 0 && Number(text) !== 0 ? "−" : "") + text;
}

/** An integer in small raised digits: -6 is ⁻⁶. */
export function raised(n) {
  return String(n).replace("-", "⁻").replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]);
}

/** A positive number: "0.125", "1.2 × 10⁻⁴". */
export function sci(x) {
  return x < 1e-12 ? "0" : x >= 0.01 ? num(x, 3) : x.toExponential(1).replace(/e(.*)/, (_, e) => `\u00a0×\u00a010${raised(Number(e))}`);
}

export const copyOf = (x) => JSON.parse(JSON.stringify(x));
export const many = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** A sum that breaks between its parts only. */
export const lines = (...parts) => h("p", {}, parts.map((part) => h("span", { class: "part" }, part)));

/** A sample of the line of CSS class `kind`, and one with its meaning for a legend. */
export const stroke = (kind, d = "M1 5H25") => s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, s("path", { class: kind, d }));
export const key = (kind, words, d) => h("span", {}, stroke(kind, d), ` ${words}`);

export function button(text, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, text);
}

/** A labelled range input. oninput(x, fresh): fresh is true for the first move of a drag.
 *  set(x, max) moves it in silence and prints x exactly, also between two steps. */
export function slider({ label, name, min, max, step, value, format = num, oninput }) {
  const out = h("output", { "aria-hidden": "true" });
  const input = h("input", { type: "range", min, max, step, "aria-label": name });
  let fresh = true;
  const print = (x) => {
    out.textContent = format(x);
    input.setAttribute("aria-valuetext", format(x));
    input.style.setProperty("--fill", `${(100 * (x - input.min)) / (input.max - input.min || 1)}%`);
  };
  const set = (x, top = input.max) => {
    input.max = top;
    input.value = x;
    print(x);
  };
  input.addEventListener("input", () => {
    print(Number(input.value));
    oninput(Number(input.value), fresh);
    fresh = false;
  });
  input.addEventListener("change", () => {
    fresh = true;
  });
  set(value);
  return { el: h("label", { class: "slider" }, h("span", {}, label), input, out), set };
}

/** Exclusive choices [value, text] with the keyboard behaviour of radio buttons. */
export function choice({ label, name, options, value, onpick }) {
  const buttons = options.map(([x, text], i) =>
    button(text, () => onpick(x), { role: "radio", onkeydown: (event) => turn(event, i) }),
  );
  function turn(event, i) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = (i + by + options.length) % options.length;
    onpick(options[next][0]);
    buttons[next].focus();
  }
  const set = (value) =>
    buttons.forEach((b, i) => {
      b.setAttribute("aria-checked", String(options[i][0] === value));
      b.tabIndex = options[i][0] === value ? 0 : -1;
    });
  set(value);
  const group = h("span", { class: "seg", role: "radiogroup", "aria-label": name }, buttons);
  return { el: h("div", { class: "choice" }, h("span", {}, label), group), set };
}

/** "Predict, then try": the question is on the chip; pressing it applies the change, then answers. */
export function prompts(items, apply, say) {
  const answer = h("p", { class: "answer" });
  const press = (pressed) => {
    chips.forEach((chip, i) => chip.setAttribute("aria-pressed", String(items[i] === pressed)));
    answer.textContent = pressed ? pressed.answer : "";
    if (pressed) say(pressed.answer);
  };
  const chips = items.map((item) =>
    button(item.ask.replace(/ = /g, "\u00a0=\u00a0"), () => (apply(item.set), press(item)), { class: "chip", "aria-pressed": "false" }),
  );
  const caption = h("p", { class: "cap" }, "Predict, then try");
  const el = items.length ? h("div", { class: "prompts" }, caption, h("div", { class: "chips" }, chips), answer) : "";
  return { el, clear: () => press(null) };
}

/** A Run button that calls tick() until it returns false, delay() milliseconds apart. */
export function player(tick, delay) {
  let timer = 0;
  const el = button("▶ Run", () => (timer ? stop() : (tick(true), next())), { class: "primary" });
  const next = () => {
    el.textContent = "❚❚ Pause";
    timer = setTimeout(() => (el.isConnected && tick(false) ? next() : stop()), delay());
  };
  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    el.textContent = "▶ Run";
  };
  return { el, stop };
}

/** Copies text() and shows it too, since some hosts forbid the clipboard. */
export function copyButton(label, text) {
  const shown = h("pre", { class: "copied", tabindex: "0", role: "region", "aria-label": "Python code" });
  shown.hidden = true;
  const copy = async () => {
    shown.textContent = text();
    shown.hidden = false;
    try {
      await navigator.clipboard.writeText(text());
      el.textContent = "Copied";
      setTimeout(() => (el.textContent = label), 1200);
    } catch {
      el.textContent = "Select and copy the code below";
    }
  };
  const el = button(label, copy, { class: "quiet" });
  return { el, shown, clear: () => ((shown.hidden = true), (el.textContent = label)) };
}

function isDark(host) {
  const { documentElement: html, body } = document;
  const told = html.dataset.theme || html.getAttribute("theme"); // Jupyter Book; Colab
  if (told) return told === "dark";
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false"; // JupyterLab
  if (/\bvscode-(dark|high-contrast)\b(?!-light)/.test(body.className)) return true;
  for (let el = host.parentElement; el; el = el.parentElement) {
    const rgb = getComputedStyle(el).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [];
    const seen = rgb.length === 3 || rgb[3] > 0.5;
    if (seen) return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] < 110;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function followTheme(host, card) {
  const apply = () => {
    card.dataset.theme = isDark(host) ? "dark" : "light";
  };
  apply();
  const watch = new MutationObserver(apply);
  const attributes = { attributeFilter: ["class", "data-theme", "theme", "data-jp-theme-light"] };
  watch.observe(document.documentElement, attributes);
  watch.observe(document.body, attributes);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
}

/** The card of a figure in a shadow root of the host, which hides the static fallback.
 *  body: append the view to it; say(text): tell screen readers. */
export function frame(host, { title, lead, css }) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const body = h("div", { class: "body" });
  const status = h("div", { class: "sr", role: "status" });
  const head = [h("p", { class: "title" }, title), h("p", { class: "lead" }, lead)];
  const card = h("section", { class: "card", "aria-label": title }, head, body, status);
  root.replaceChildren(h("style", {}, CSS + css), card);
  host.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab: keys typed here are ours
  host.addEventListener("keydown", (event) => event.stopPropagation());
  followTheme(host, card);
  return { body, say: (text) => (status.textContent = text) };
}

/** Mount each host of this figure that isn't yet, in the page or the script's shadow tree. */
export function mountAll(name, mount) {
  const scope = document.currentScript?.getRootNode() ?? document;
  const find = () => {
    for (const host of scope.querySelectorAll(`[data-rlc-playground="${name}"]:not([data-rlc-ready])`)) {
      host.dataset.rlcReady = "";
      try {
        host.playground = mount(host, JSON.parse(host.querySelector("script").textContent));
      } catch (error) {
        console.error(`playground ${name}:`, error);
        host.dataset.rlcReady = "failed";
        host.shadowRoot?.replaceChildren(h("slot")); // shows the static fallback again
      }
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", find);
  else find();
}

const LIGHT = `--ink:#1a2230; --mut:#505b6b; --line:#d5dbe3; --edge:#8a94a2; --card:#fff; --panel:#f4f6f9; --accent:#0067a5;
  --on-accent:#fff; --warm:#a84a00; --pos:0 114 178; --neg:213 94 0; --hair:#e3e8ee; --route:#eda81c;`;

export const CSS = `
:host { display: block; container-type: inline-size; margin: 1.2rem 0; }
.card { ${LIGHT} color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1rem;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
.card[data-theme=dark] { --ink:#e9edf3; --mut:#aeb8c5; --line:#3a4452; --edge:#76828f; --card:#14181e; --panel:#1d232b; --accent:#6bb8f2;
  --on-accent:#0c1116; --warm:#f5a662; --pos:86 180 233; --neg:240 140 60; --hair:#323b47; --route:#a56a05; }
*, *::before, *::after { box-sizing: border-box; }
p { margin: 0; }
.title { font-size: 1.16rem; font-weight: 700; letter-spacing: -.01em; line-height: 1.25; text-wrap: balance; }
.lead { margin: .25rem 0 .9rem; color: var(--mut); max-width: 66ch; }
.cap { margin: 0 0 .45rem; font-size: .82rem; font-weight: 650; color: var(--mut); }
.math i { font-family: "STIX Two Text", "Latin Modern Roman", Georgia, "Times New Roman", serif; font-size: 1.08em; }
.math sub { font-size: .75em; line-height: 0; margin-left: 1px; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.panel { background: var(--panel); border-radius: 10px; padding: .75rem .85rem; }
.row { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; } .row button { padding-inline: .42rem; }
button { font: inherit; font-size: .88rem; line-height: 1.25; color: var(--ink); background: var(--card); border: 1px solid var(--edge);
  border-radius: 8px; padding: .34rem .6rem; min-height: 36px; min-width: 44px; cursor: pointer; }
button:hover { border-color: var(--accent); }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; min-width: 4.7em; padding-inline: .5rem; }
button.quiet { background: none; border-color: transparent; color: var(--mut); padding-inline: .2rem; margin-right: .6rem;
  text-decoration: underline; text-underline-offset: 3px; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 8px; }
.slider, .choice { display: grid; grid-template-columns: 5.2rem 1fr 2.9rem; align-items: center; gap: .6rem; min-height: 38px; }
.choice { grid-template-columns: 5.2rem 1fr; }
.slider output { text-align: right; font-weight: 600; }
input[type=range] { appearance: none; width: 100%; height: 36px; margin: 0; background: none; cursor: pointer; }
input[type=range]::-webkit-slider-runnable-track { height: 5px; border-radius: 3px;
  background: linear-gradient(90deg, var(--accent) var(--fill), var(--edge) var(--fill)); }
input[type=range]::-moz-range-track { height: 5px; border-radius: 3px;
  background: linear-gradient(90deg, var(--accent) var(--fill), var(--edge) var(--fill)); }
input[type=range]::-webkit-slider-thumb { appearance: none; width: 20px; height: 20px; margin-top: -7.5px; border-radius: 50%;
  background: var(--card); border: 4px solid var(--accent); }
input[type=range]::-moz-range-thumb { width: 12px; height: 12px; border-radius: 50%; background: var(--card); border: 4px solid var(--accent); }
.seg { display: inline-flex; border: 1px solid var(--edge); border-radius: 8px; overflow: hidden; justify-self: start; }
.seg button { border: 0; border-radius: 0; }
.seg button[aria-checked=true] { background: var(--accent); color: var(--on-accent); font-weight: 600; }
.seg button:focus-visible { outline-offset: -4px; outline-color: currentColor; }
.chips { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .5rem; }
.chip { border-radius: 12px; text-align: left; padding: .5rem .8rem; }
.chip[aria-pressed=true] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); font-weight: 600; }
.answer { margin-top: .6rem; padding-left: .7rem; border-left: 3px solid var(--accent); max-width: 72ch; }
.answer:empty { display: none; }
.copied { font-size: .78rem; background: var(--panel); border-radius: 8px; padding: .6rem .7rem; margin: .5rem 0 0; overflow-x: auto; }
.copied[hidden] { display: none; }
.legend { font-size: .82rem; color: var(--mut); display: flex; flex-wrap: wrap; gap: .1rem .9rem; }
.legend b { color: var(--ink); } .legend svg { display: inline-block; width: 1.8em; height: .7em; } .legend path { fill: none; }
.count { font-size: 1.45rem; font-weight: 700; letter-spacing: -.02em; line-height: 1.15; }
.note { font-size: .86rem; color: var(--mut); } .bad { font-size: .86rem; color: var(--warm); font-weight: 600; }
.part { display: inline-block; margin-right: .35em; } .sum { margin-top: .6rem; font-size: .9rem; } .sum p + p { margin-top: .15rem; }
.chart { cursor: ew-resize; touch-action: pan-y; margin-bottom: .3rem; } .chart text { font-size: 11px; fill: var(--mut); }
.chart path { fill: none; } path.grid { stroke: var(--line); } .now { fill: var(--card); stroke: var(--accent); stroke-width: 3.5; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--ink); font-family: inherit; }
@container (max-width: 559px) { button, .seg button { min-height: 44px; } .slider, .choice { min-height: 44px; }
  input[type=range] { height: 44px; } }
@media (pointer: coarse) { button, input[type=range], .slider, .choice { min-height: 44px; } }
@media print { .card, .card[data-theme] { ${LIGHT} break-inside: avoid; print-color-adjust: exact; }
  .slider { grid-template-columns: 5.2rem auto; justify-content: start; min-height: 0; }
  .noprint, .prompts, .slider input, button:not([aria-checked=true]) { display: none !important; } }
`;
