// Online softmax: a query meets its keys tile by tile, and keeps m, l and o alone.
import { button, choice, copyButton, copyOf, frame, h, key, lines, many, math, mountAll, num, player, prompts, raised, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.systems.online_softmax
const EMPTY = { m: -Infinity, l: 0, o: [0, 0] };
const LIMIT = 4; // of a score, before the shift
const TOP = { float16: 65504, float32: 3.4028234663852886e38 };

/** m, l and o of some keys; o is not normalised. */
export function summarize(scores, values) {
  const m = Math.max(...scores);
  const p = scores.map((x) => Math.exp(x - m));
  const sum = (of) => p.reduce((total, w, i) => total + w * of(i), 0);
  return { m, l: sum(() => 1), o: [0, 1].map((d) => sum((i) => values[i][d])) };
}

/** The summary of past and tile, and the factors that bring both to one maximum. The bug: the past keeps its weight. */
export function merge(past, tile, rescale = true) {
  const m = Math.max(past.m, tile.m);
  const alpha = rescale ? Math.exp(past.m - m) : 1;
  const beta = Math.exp(tile.m - m);
  return { m, l: alpha * past.l + beta * tile.l, o: past.o.map((x, d) => alpha * x + beta * tile.o[d]), alpha, beta };
}

export const finish = ({ l, o }) => o.map((x) => x / (l || 1));

/** The keys of each tile, in the order in which they are read. */
export function tiles({ scores, tile, order }) {
  const all = Array.from({ length: scores.length / tile }, (_, i) => Array.from({ length: tile }, (_, j) => i * tile + j));
  return order === "forwards" ? all : all.reverse();
}

/** What is kept after 0, 1, ... tiles: a summary, the weight of each key in it, and how it came about. */
export function trace(w, values) {
  const steps = [{ ...EMPTY, weights: w.scores.map(() => 0), read: [], keys: [], alpha: 1, beta: 1 }];
  for (const keys of tiles(w)) {
    const past = steps.at(-1);
    const tile = summarize(keys.map((i) => w.scores[i] + w.shift), keys.map((i) => values[i]));
    const now = merge(past, tile, w.rescale);
    const weights = past.weights.map((x) => now.alpha * x);
    for (const i of keys) weights[i] = Math.exp(w.scores[i] + w.shift - now.m);
    steps.push({ ...now, weights, past, tile, keys, read: [...past.read, ...keys] });
  }
  return steps;
}

/** All keys at once: their weights relative to the largest, and the output. */
export function exact(w, values) {
  const all = summarize(w.scores, values);
  return { weights: w.scores.map((x) => Math.exp(x - all.m)), output: finish(all) };
}

/** Σ exp(x) without a maximum, over the keys that are read. */
export const naive = (w, read) => read.reduce((sum, i) => sum + Math.exp(w.scores[i] + w.shift), 0);

export function python({ scores, tile, order, rescale, shift }) {
  const starts = order === "forwards" ? `range(0, ${scores.length}, ${tile})` : `range(${scores.length - tile}, -1, -${tile})`;
  const used = rescale ? "EMPTY, finish, merge, safe_softmax, summarize" : "EMPTY, Summary, finish, safe_softmax, summarize";
  const join = rescale
    ? "    x = merge(x, y)"
    : `    m = np.maximum(x.m, y.m)
    scale = np.exp(y.m - m)
    x = Summary(m, x.l + scale * y.l, x.o + scale * y.o)  # a bug: the past is not rescaled`;
  return `import numpy as np
from rlcourse.playgrounds.online_softmax import VALUES
from rlcourse.systems.online_softmax import ${used}

scores = np.array([${scores.join(", ")}]) + ${shift}
x = EMPTY
for start in ${starts}:
    tile = slice(start, start + ${tile})
    y = summarize(scores[tile], VALUES[tile])
${join}
print("tile by tile", finish(x))
print("all at once ", safe_softmax(scores) @ VALUES)
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.os, .even { display: grid; gap: .9rem; } .os > *, .even > * { min-width: 0; } .even { align-items: start; }
.story { font-weight: 650; font-size: 1.02rem; min-height: 2.9em; } .story.bad { font-size: 1.02rem; }
.keys { border-radius: 8px; } .stage { position: relative; } .drag { position: absolute; inset: 0; cursor: ns-resize; touch-action: none; }
.lane { fill: var(--panel); } .lane.tile { fill: rgb(var(--neg) / .13); stroke: var(--warm); stroke-width: 1.5; }
.stem { stroke: var(--mut); stroke-width: 2; } .knob { fill: var(--card); stroke: var(--ink); stroke-width: 2.5; } .later { opacity: .42; }
.knob.picked { fill: var(--ink); } .keys path.top { stroke: var(--warm); stroke-width: 2.5; } .keys .base { stroke: var(--mut); }
.keys text, .map text { font-size: 12.5px; fill: var(--mut); } .keys text { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-opacity: .75; } .keys text.top { fill: var(--warm); font-weight: 700; }
.w { fill: rgb(var(--pos)); transition: y .3s, height .3s; } .w.tile, .dot.tile { fill: rgb(var(--neg)); }
.ghost, .legend path.ghost { fill: none; stroke: var(--mut); stroke-dasharray: 3 3; } .end, .legend path.end { stroke: var(--ink); stroke-width: 2; }
.legend path.shade { stroke: rgb(var(--pos)); stroke-width: 8; } .legend path.tile { stroke: rgb(var(--neg)); stroke-width: 8; }
.map { width: 100%; } .dot { fill: rgb(var(--pos)); fill-opacity: .6; stroke: var(--card); } .dot.tile { stroke: var(--warm); stroke-width: 1.5; } .dot.picked { stroke: var(--ink); stroke-width: 2; } .dot.later { fill: none; stroke: var(--mut); }
.map text.who { fill: var(--ink); font-size: 11px; text-anchor: middle; } .map path { fill: none; }
.map path.way, .legend path.way { stroke: var(--ink); stroke-width: 2; stroke-linejoin: round; } .map .stop { fill: var(--ink); }
.map path.exact, .legend path.exact { stroke: var(--ink); stroke-width: 2; } .map path.gap { stroke: var(--warm); stroke-width: 2; stroke-dasharray: 4 3; }
.os .sum { margin: 0; } .os .sum .part { margin-right: .3em; } .os .sum i { font-family: Georgia, serif; } .os .sum p + p { margin-top: .4rem; }
.tight .choice { margin-bottom: .3rem; } .time .slider { grid-template-columns: 5.2rem 1fr 3.4rem; } .time output { white-space: nowrap; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } .even.tight { grid-template-columns: 1.15fr 1fr; } }
@media (prefers-reduced-motion: reduce) { .w { transition: none; } }
`;

const [L, HIGH, MID, BASE, H] = [6, 26, 152, 290, 310]; // heights: a score of 4, of -4, no weight; all
const FULL = BASE - MID - 42; // of a bar of weight 1
const y = (x) => HIGH + ((LIMIT - x) / (2 * LIMIT)) * (MID - HIGH);
const [MW, MH] = [320, 232]; // the map of the values
const at = ([a, b]) => [MW / 2 + 138 * a, MH / 2 - 102 * b];
const line = (kind, d) => s("path", { class: kind, d });
const cross = ([a, b], r) => `M${a - r} ${b}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0M${a - r - 5} ${b}h9M${a + r - 4} ${b}h9M${a} ${b - r - 5}v9M${a} ${b + r - 4}v9`;
const power = (x) => (x < 1e5 ? num(x, 2) : x.toExponential(1).replace(/e\+(.*)/, (_, e) => ` × 10${raised(e)}`));
const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

export function mount(host, data, { onState = () => {} } = {}) {
  const { values } = data;
  const w = copyOf(data.settings);
  const N = w.scores.length;
  let steps, goal; // what is kept after each tile; all keys at once
  let picked = 7; // the key that the arrow keys move
  let W = 640; // width of the picture in CSS pixels, so that its text keeps its size
  solve();
  const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
  const mine = steps.slice(1).flatMap(({ m, l, o }) => [m, l, ...o]);
  if (!data.golden.flat().every((x, i) => near(mine[i], x))) throw new Error("values differ from the package's");

  function solve() {
    steps = trace(w, values);
    goal = exact(w, values);
    w.step = Math.max(0, Math.min(steps.length - 1, w.step));
  }

  const ui = frame(host, {
    title: data.title ?? "The largest score comes late. How can one pass still be exact?",
    lead: [`A query meets ${N} keys, a tile at a time, and keeps three things: the largest score `, math("m"), ", the sum of weights ", math("l"), " and the weighted sum of values ", math("o"), ". Drag any score."],
    css: STYLE,
  });

  // --- controls
  const pick = (field, label, name, options) => choice({ label, name, options, value: w[field], onpick: (x) => change({ [field]: x, step: field === "tile" ? Math.ceil((w.step * w.tile) / x) : w.step }) });
  const controls = {
    tile: pick("tile", "keys a tile", "keys in a tile", [1, 2, 4, 8, 16].map((n) => [n, n])),
    order: pick("order", "order", "order in which the tiles are read", [["forwards", "1 → 16"], ["backwards", "16 → 1"]]),
    rescale: pick("rescale", "the past", "whether the past is rescaled", [[true, "rescaled"], [false, "not: a bug"]]),
    shift: slider({ label: "add to all", name: "shift, added to every score", min: 0, max: 100, step: 1, value: w.shift, format: (x) => num(x, 0), oninput: (shift) => change({ shift }) }),
  };
  const scrub = slider({ label: "tiles read", name: "tiles read so far", min: 0, max: steps.length - 1, step: 1, value: w.step, format: (x) => `${x} of ${steps.length - 1}`, oninput: (x) => go(x) });
  const runner = player((first) => (seek(first && w.step === steps.length - 1 ? 0 : w.step + 1), w.step < steps.length - 1), () => 900);
  const back = button("Back", () => go(w.step - 1));
  const next = button("Next tile", () => go(w.step + 1));
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const story = h("p", { class: "story" });
  const [sums, without, mapBox] = ["sum", "note", ""].map((kind) => h("div", { class: kind }));

  // --- the picture: scores above, weights below
  const [lanes, over] = [s("g"), s("g")];
  const bars = w.scores.map(() => s("rect", { rx: 2 }));
  const area = h("div", { class: "drag", style: { height: `${(100 * (MID + 8)) / H}%` }, onpointerdown: grab, onpointermove: drag }); // of HTML: within SVG a finger would scroll
  const picture = s("svg", { class: "keys", tabindex: 0, role: "slider", "aria-orientation": "vertical", onkeydown: keys }, lanes, bars, over);
  const width = () => (W - 2 * L) / N;
  const x = (i) => L + width() * i;
  new ResizeObserver(() => {
    const now = Math.round(Math.max(260, Math.min(900, picture.getBoundingClientRect().width)));
    if (now !== W) draw((W = now));
  }).observe(picture);

  function grab(event) {
    event.preventDefault();
    picture.focus({ preventScroll: true });
    area.setPointerCapture(event.pointerId);
    const box = picture.getBoundingClientRect();
    picked = Math.max(0, Math.min(N - 1, Math.floor(((event.clientX - box.left) / box.width * W - L) / width())));
    drag(event);
  }
  function drag(event) {
    if (!event.buttons) return;
    const box = picture.getBoundingClientRect();
    const up = ((event.clientY - box.top) / box.height) * H;
    setScore(LIMIT - ((up - HIGH) / (MID - HIGH)) * 2 * LIMIT);
  }
  function keys(event) {
    const to = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const by = { ArrowUp: 0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 }[event.key];
    if (!to && !by) return;
    event.preventDefault();
    if (by) return setScore(w.scores[picked] + by);
    picked = (picked + to + N) % N;
    draw();
  }
  function setScore(value) {
    const score = Math.round(10 * Math.max(-LIMIT, Math.min(LIMIT, value))) / 10;
    change({ scores: w.scores.map((old, i) => (i === picked ? score : old)) });
  }

  ui.body.append(
    h("div", { class: "os" },
      story,
      h("div", { class: "stage" }, picture, area),
      h("p", { class: "legend" }, key("shade", "weight of a key read"), key("tile", "of this tile"), key("ghost", "before this tile", "M6 0.5h14v9h-14Z"), key("end", "exact: its weight in the end")),
      h("div", { class: "noprint time" }, scrub.el, h("div", { class: "row" }, back, next, runner.el)),
      h("div", { class: "even" },
        h("div", { class: "panel" }, sums),
        mapBox,
      ),
      h("div", { class: "even tight" },
        h("div", {}, controls.tile.el, controls.order.el, controls.rescale.el),
        h("div", {}, controls.shift.el, without),
      ),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields) {
    runner.stop();
    ask.clear();
    copy.clear();
    Object.assign(w, copyOf(fields));
    solve();
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    draw();
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    picked = 7;
    change({ ...data.settings, ...fields });
  }

  function go(step) {
    runner.stop();
    seek(step);
  }

  function seek(step) {
    w.step = Math.max(0, Math.min(steps.length - 1, step));
    draw();
    ui.say(story.textContent);
    onState(state());
  }

  // --- drawing
  function draw() {
    const now = steps[w.step];
    back.disabled = w.step === 0;
    next.disabled = w.step === steps.length - 1;
    scrub.set(w.step, steps.length - 1);
    drawKeys(now);
    drawMap(now);
    tell(now);
    drawSums(now);
    drawWithout(now);
  }

  function drawKeys({ m, weights, past, keys: tile, read, alpha }) {
    const seen = (i) => read.includes(i);
    const r = width() < 26 ? 5.5 : 7;
    picture.setAttribute("viewBox", `0 0 ${W} ${H}`);
    const score = w.scores[picked] + w.shift;
    Object.assign(picture, {
      ariaLabel: `score of key ${picked + 1}; left and right take another key`, ariaValueMin: w.shift - LIMIT, ariaValueMax: w.shift + LIMIT, ariaValueNow: score,
      ariaValueText: `${num(score, 1)}, ${seen(picked) ? `weight ${num(weights[picked])}` : "not read yet"}`,
    });
    const each = (of) => w.scores.map((_, i) => of(i));
    const lane = (keys) => s("rect", { class: `lane ${keys === tile ? "tile" : ""}`, x: x(Math.min(...keys)) + 1.5, width: width() * keys.length - 3, y: 2, height: BASE - 2, rx: 6 });
    const shown = steps.slice(1).map((step) => step.keys);
    lanes.replaceChildren(...shown.map(lane));
    const [thin, wide] = [x(0) + width() * 0.5, width() * 0.64];
    const left = (i) => x(i) + width() * 0.18;
    const tall = (weight) => FULL * Math.min(weight, 1.25);
    bars.forEach((bar, i) => {
      bar.setAttribute("class", tile.includes(i) ? "w tile" : "w");
      for (const [name, value] of Object.entries({ x: left(i), width: wide, y: BASE - tall(weights[i]), height: tall(weights[i]) })) bar.setAttribute(name, value);
    });
    const middle = (i) => thin + width() * i;
    const moved = past?.l > 0 && alpha < 1;
    const from = read.length ? x(Math.min(...read)) : 0;
    const top = read.find((i) => w.scores[i] + w.shift === m);
    const free = middle(top) < from + 60 ? middle(top) + 12 : from + 4; // beside the knob at the line
    const until = read.length ? x(Math.max(...read) + 1) : 0;
    over.replaceChildren(
      line("base", `M${L} ${BASE}H${W - L}`),
      ...each((i) => s("line", { class: `stem ${seen(i) ? "" : "later"}`, x1: middle(i), x2: middle(i), y1: y(w.scores[i]), y2: MID + 6 })),
      ...(moved ? past.read.map((i) => s("rect", { class: "ghost", x: left(i), width: wide, y: BASE - tall(past.weights[i]), height: tall(past.weights[i]), rx: 2 })) : []),
      ...each((i) => line("end", `M${left(i) - 2} ${BASE - tall(goal.weights[i])}h${wide + 4}`)),
      ...(read.length ? [line("top", `M${from} ${y(m - w.shift)}H${until}`), s("text", { class: "top", x: free, y: y(m - w.shift) - 7 }, `m = ${num(m, 1)}`)] : []),
      ...each((i) => s("circle", { class: `knob ${seen(i) ? "" : "later"} ${i === picked ? "picked" : ""}`, cx: middle(i), cy: y(w.scores[i]), r })),
      s("text", { x: L + 5, y: MID + 26 }, read.length ? "weights exp(x − m) of the keys read" : "no key read yet"),
      s("text", { x: L, y: H - 3 }, "key 1"),
      s("text", { x: W - L, y: H - 3, "text-anchor": "end" }, `key ${N}`),
    );
  }

  /** The output as a place: the mean of the values, weighted. */
  function drawMap({ weights, keys: tile, read, l }) {
    const share = (i) => (l ? weights[i] / l : 0);
    const ways = steps.slice(1, w.step + 1).map((step) => at(finish(step)));
    const end = at(goal.output);
    const dot = (value, i) => {
      const [cx, cy] = at(value);
      const r = 3 + 26 * Math.sqrt(share(i));
      return [s("circle", { class: `dot ${tile.includes(i) ? "tile" : read.includes(i) ? "" : "later"} ${i === picked ? "picked" : ""}`, cx, cy, r }), share(i) > 0.04 && s("text", { class: "who", x: cx, y: cy + 4 }, i + 1)];
    };
    const stops = ways.map(([cx, cy], i) => s("circle", { class: i === ways.length - 1 ? "now" : "stop", cx, cy, r: i === ways.length - 1 ? 5 : 3 }));
    const label = `Output ${read.length ? finish(steps[w.step]).map((v) => num(v)).join(", ") : "none"}; exact ${goal.output.map((v) => num(v)).join(", ")}`;
    mapBox.replaceChildren(
      h("p", { class: "cap" }, "Output ", math("o"), "/", math("l"), ": the mean of the values, by weight"),
      s("svg", { class: "map", viewBox: `0 0 ${MW} ${MH}`, role: "img", "aria-label": label },
        values.map(dot).flat(),
        ways.length && w.step === steps.length - 1 && apart(ways.at(-1), end) > 1 && line("gap", `M${ways.at(-1).join(" ")}L${end.join(" ")}`),
        line("way", ways.length > 1 ? `M${ways.map((p) => p.join(" ")).join("L")}` : ""),
        line("exact", cross(end, 9)),
        stops,
      ),
      h("p", { class: "legend" }, key("way", "after each tile"), h("span", {}, s("svg", { viewBox: "0 0 28 28", "aria-hidden": "true", style: { height: "1.2em", width: "1.2em", "vertical-align": "-.25em" } }, line("exact", cross([14, 14], 8))), " exact: all keys at once")),
    );
  }

  function tell({ m, alpha, past, read }) {
    const last = w.step === steps.length - 1;
    const off = apart(finish(steps[w.step]), goal.output);
    const moved = past?.l > 0 && m > past.m;
    const wrong = !w.rescale && steps.slice(0, w.step + 1).some((step) => step.past?.l > 0 && step.m > step.past.m);
    const before = moved && `A larger score, ${num(m, 1)}: ${w.rescale ? `all that is kept shrinks to ${num(100 * alpha, 0)} %` : "the past should shrink, and does not"}.`;
    const kept = wrong ? "The past did not shrink when a larger score came." : w.step === 1 ? "The first tile: its own maximum is all there is." : "No larger score: the past keeps its weight.";
    const after = last
      ? wrong ? `All keys read: ${num(off)} away from the exact output.` : "All keys read, each once: exactly the softmax of all."
      : wrong ? "From here on the output is wrong." : "Exact for the keys read; none is read again.";
    story.className = wrong ? "story bad" : "story";
    story.textContent = read.length ? `${wrong ? "✕ " : ""}${before || kept} ${after}` : "Nothing is read: m = −∞, l = 0. The first tile will need no case of its own, since exp(−∞) = 0.";
  }

  function drawSums({ m, l, o, past, tile, alpha, beta }) {
    const caption = h("p", { class: "cap" }, w.step ? `Tile ${w.step}: bring both to one maximum, then add` : "Before the first tile");
    if (!past) return sums.replaceChildren(caption, lines("m = −∞"), lines("l = 0"), lines("o = (0, 0)"));
    const [a, b] = [num(alpha, 3), num(beta, 3)];
    const sum = (name, x, y, total) => lines(`${name} = ${a} × ${x < 0 ? `(${num(x)})` : num(x)} +`, `${b} × ${y < 0 ? `(${num(y)})` : num(y)}`, `= ${num(total)}`);
    const [out, end] = [finish({ l, o }), goal.output].map((pair) => `(${pair.map((v) => num(v)).join(", ")})`);
    sums.replaceChildren(
      caption,
      lines(`m = max(${num(past.m, 1)}, ${num(tile.m, 1)})`, `= ${num(m, 1)}`),
      lines(...(w.rescale ? ["past: factor", `exp(${num(past.m, 1)} − ${num(m, 1)})`, `= ${a}`] : ["past: factor 1.000, where", `exp(${num(past.m, 1)} − ${num(m, 1)}) = ${num(Math.exp(past.m - m), 3)}`, "is right"])),
      lines("tile: factor", `exp(${num(tile.m, 1)} − ${num(m, 1)})`, `= ${b}`),
      sum("l", past.l, tile.l, l),
      sum("o₁", past.o[0], tile.o[0], o[0]),
      sum("o₂", past.o[1], tile.o[1], o[1]),
      lines(`o/l = ${out};`, `exact ${end}`),
    );
  }

  /** Why there is a maximum at all. */
  function drawWithout({ read }) {
    const total = naive(w, read);
    const over = Object.keys(TOP).filter((type) => total > TOP[type]);
    if (!read.length) return without.replaceChildren("Without m, Σ exp(x) would grow with each key.");
    without.replaceChildren(
      h("p", {}, `Without m, Σ exp(x) of the ${many(read.length, "key")} read would be ${power(total)}.`),
      h("p", { class: over.length ? "bad" : "note" }, over.length ? `✕ That is ∞ in ${over.join(" and in ")}.` : "It fits, with float16 ending at 65504. Add more to the scores."),
    );
  }

  const state = () => ({ settings: copyOf(w), m: steps[w.step].m, l: steps[w.step].l, output: finish(steps[w.step]), exact: goal.output, key: picked });
  draw();
  return { state, set: change };
}

mountAll("online_softmax", mount);
