// Decoding: what reshapes the next token's distribution, what cuts it, in which order, and what a uniform number draws.
import { button, choice, copyButton, copyOf, frame, h, key, lines, math, mountAll, num, prompts, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.language.sampling
const ROWS = 12; // tokens with a row of their own
const CUT = -Infinity;

/** The logits of the whole vocabulary, about the largest first. */
export function unpack({ top, others: [start, ...counts] }) {
  let level = 2 * top[0];
  const named = top.map((step) => (level -= step) / 100);
  return [...named, ...counts.flatMap((count, i) => Array(count).fill((start - i) / 10))];
}

export function softmax(z) {
  const most = z.reduce((a, b) => Math.max(a, b), CUT);
  const e = z.map((x) => Math.exp(x - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}

export const withTemperature = (z, T) => z.map((x) => x / T);

export function penalise(z, seen, c) {
  const out = [...z];
  for (const i of seen) out[i] = z[i] > 0 ? z[i] / c : z[i] * c;
  return out;
}

const keep = (z, kept) => z.map((x, i) => (kept(x, i) ? x : CUT));

export function keepTopK(z, k) {
  const least = [...z].sort((a, b) => b - a)[Math.min(k, z.length) - 1];
  return keep(z, (x) => x >= least);
}

export function keepTopP(z, p) {
  const share = softmax(z);
  const kept = new Set();
  let sum = 0;
  for (const i of [...z.keys()].sort((a, b) => (z[a] === z[b] ? a - b : z[b] - z[a]))) {
    sum += share[i];
    if (sum - share[i] < p) kept.add(i);
  }
  return keep(z, (_, i) => kept.has(i));
}

export function keepMinP(z, p) {
  const share = softmax(z);
  const least = p * share.reduce((a, b) => Math.max(a, b));
  return keep(z, (_, i) => share[i] >= least);
}

/** The logits with those that were moved by hand. */
export function moved(z, pairs) {
  const out = [...z];
  for (const [i, x] of pairs) out[i] = x;
  return out;
}

/** The logits that are drawn from, -∞ where nothing can be drawn. A step that does nothing is left out. */
export function process(z, seen, w, first = w.first) {
  let out = w.penalty > 1 ? penalise(z, seen, w.penalty) : z;
  const heat = () => (w.temperature > 0 ? (out = withTemperature(out, w.temperature)) : 0);
  if (first === "temperature") heat();
  if (w.top_k) out = keepTopK(out, w.top_k);
  if (w.top_p < 1) out = keepTopP(out, w.top_p);
  if (w.min_p) out = keepMinP(out, w.min_p);
  if (first === "cuts") heat();
  return out;
}

/** What is drawn from: with temperature 0 the likeliest token alone. */
export function drawnFrom(z, T) {
  const best = z.indexOf(z.reduce((a, b) => Math.max(a, b)));
  return T > 0 ? softmax(z) : z.map((_, i) => Number(i === best));
}

/** The first token at which the running sum exceeds u, the sum scaled to end at 1. */
export function choose(p, u) {
  let sum = 0;
  const running = p.map((x) => (sum += x));
  return running.findIndex((x) => x / sum > u);
}

/** exp(entropy): among how many equally likely tokens the choice would be as uncertain. */
export const choices = (p) => Math.exp(-p.reduce((sum, x) => (x > 0 ? sum + x * Math.log(x) : sum), 0));

export const count = (z) => z.filter((x) => x > CUT).length;

/** All that the figure shows of one setting. */
export function solve(context, w) {
  const [z, other] = [unpack(context), w.first === "cuts" ? "temperature" : "cuts"];
  const free = moved(z, w.moved);
  const penalised = w.penalty > 1 ? penalise(free, context.seen, w.penalty) : free;
  const out = process(free, context.seen, w);
  const p = drawnFrom(out, w.temperature);
  const before = w.temperature > 0 ? softmax(withTemperature(penalised, w.temperature)) : p;
  return { z, free, penalised, before, p, own: softmax(z), kept: out.map((x) => x > CUT), count: count(out), otherwise: count(process(free, context.seen, w, other)), token: choose(p, w.u) };
}

export function python(w) {
  const order = w.first === "cuts" ? ["top_k", "top_p", "min_p", "temperature"] : ["temperature", "top_k", "top_p", "min_p"];
  const given = [`temperature=${w.temperature}`, w.top_k && `top_k=${w.top_k}`, w.top_p < 1 && `top_p=${w.top_p}`, w.min_p && `min_p=${w.min_p}`, w.penalty > 1 && `repetition_penalty=${w.penalty}`];
  return `import torch
from rlcourse.language.sampling import Sampling, draw, process
from rlcourse.playgrounds.decoding import logits, named, seen

z, tokens = torch.tensor(logits(${w.context})), torch.tensor(seen(${w.context}))
${w.moved.map(([i, x]) => `z[${i}] = ${x}\n`).join("")}sampling = Sampling(${given.filter(Boolean).join(", ")})
order = (${["repetition_penalty", ...order].map((name) => `"${name}"`).join(", ")})
z = process(z[None], tokens[None], sampling, order=order)[0]
print(f"{z.isfinite().sum()} of {len(z)} tokens are kept")
u = ${w.temperature > 0 ? `torch.tensor(${w.u}, dtype=z.dtype)` : "None"}
token, log_p = draw(z, u)
print(f"token {token}, {named(${w.context}, int(token))!r}, is drawn: log-probability {log_p:.4f}")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.dec, .even { display: grid; gap: .9rem; } .dec > *, .even > * { min-width: 0; } .even { align-items: start; }
.story { font-weight: 650; font-size: 1.02rem; min-height: 2.9em; } .stage { position: relative; } .drag { position: absolute; inset: 0; cursor: ew-resize; touch-action: pan-y; }
.text { font: 1.2rem/1.45 "STIX Two Text", "Latin Modern Roman", Georgia, "Times New Roman", serif; border-left: 3px solid var(--line); padding-left: .7rem; margin: .5rem 0 .55rem; }
.text mark { background: none; color: var(--accent); border-bottom: 2.5px solid var(--accent); white-space: pre; } .roots .seg { flex-wrap: wrap; } .roots .choice { grid-template-columns: 1fr; min-height: 0; }
.rows, .strip { border-radius: 8px; } .rows text, .strip text { font-size: 12px; fill: var(--mut); } .rows path, .strip path { fill: none; }
.rows text.name { font-size: 13.5px; fill: var(--ink); } .rows text.cut { fill: var(--mut); text-decoration: line-through; } .rows text.p { font-size: 13px; font-weight: 650; fill: var(--ink); } .rows text.p.cut { font-weight: 400; text-decoration: none; }
.rows text.head { font-weight: 650; } .rows text.line, .strip text.u { fill: var(--warm); font-weight: 700; font-size: 13px; }
.rows text.line { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.band { fill: var(--panel); } .band.picked { stroke: var(--ink); stroke-width: 1.5; } .hatch { stroke: var(--mut); stroke-width: 1.3; opacity: .75; } .base { stroke: var(--edge); } .rule { stroke: var(--line); }
.own { fill: var(--mut); fill-opacity: .42; } .lost, .strip .lost { stroke: var(--edge); stroke-width: 1; } .bar { fill: rgb(var(--pos)); transition: width .2s; }
.knob { fill: rgb(var(--pos)); stroke: rgb(var(--pos)); stroke-width: 2; } .knob.off { fill: var(--card); stroke: var(--mut); } path.x { stroke: var(--mut); stroke-width: 1.6; } path.pull { stroke: var(--mut); stroke-width: 1.6; } .from { fill: var(--card); stroke: var(--edge); stroke-dasharray: 2 2; }
path.limit, .legend path.limit { stroke: var(--warm); stroke-width: 2.2; stroke-dasharray: 5 3; } .hill { fill: rgb(var(--pos)); fill-opacity: .75; }
.part0 { fill: rgb(var(--pos) / .2); stroke: var(--card); stroke-width: 1.5; } .part0.odd { fill: rgb(var(--pos) / .34); } .part0.hit { fill: rgb(var(--pos)); fill-opacity: .95; } .strip text.in { fill: var(--ink); } .strip text.in.hit { fill: var(--on-accent); font-weight: 700; } .rest { stroke: var(--edge); stroke-width: 1; }
path.u { stroke: var(--warm); stroke-width: 2.6; } .drop { fill: var(--warm); } .dec .sum { margin: 0; } .dec .sum p + p { margin-top: .4rem; }
.dec .row { gap: .5rem; } .dec button:disabled { color: var(--mut); border-style: dashed; cursor: default; } .legend rect { stroke-width: 1; } .dec .legend { margin-top: .3rem; }
@container (max-width: 559px) { .story { min-height: 4.3em; } }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; gap: .9rem 1.4rem; } }
@media (prefers-reduced-motion: reduce) { .bar { transition: none; } }
`;

const [HEAD, ROW, HILL] = [40, 25, 58]; // heights of the picture: above the rows, a row, that of the others
const BOTTOM = HEAD + ROWS * ROW + HILL;
const [STRIP, STOP] = [64, 20]; // height of the strip; where its parts begin
const show = (svg, ...kids) => svg.replaceChildren(s("g", {}, kids));
const path = (kind, d) => s("path", { class: kind, d });
const label = (kind, x, y, words, anchor = "middle") => s("text", { class: kind, x, y, "text-anchor": anchor }, words);
const hatch = (id) => s("defs", {}, s("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("path", { class: "hatch", d: "M0 0V6" })));
const cross = (x, y, r) => `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
const total = (xs, from = 0) => xs.slice(from).reduce((a, b) => a + b, 0);
const share = (x) => (x > 0 && x < 0.001 ? "< 0.001" : num(x, 3));
const whole = (x) => (x < 10 ? num(x, 1) : num(x, 0));
const seenAs = (name) => (name === "<end>" ? "⟨end⟩" : name.replace(/^ /, "·"));

export function mount(host, data, { onState = () => {} } = {}) {
  const w = copyOf(data.settings);
  const { contexts, golden, roots } = data;
  const tokens = data.names.split("|");
  let now; // what solve() found
  let picked = 0; // the row of which the numbers are shown
  let W = 640; // width of the pictures in CSS pixels, so that their text keeps its size
  let scale; // of the logits: {lo, hi}
  const here = () => contexts[w.context];
  const names = () => here().names.map((i) => tokens[i]);
  const V = unpack(here()).length;
  compute();
  const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
  const mine = [...now.own.slice(0, ROWS), ...now.p.slice(0, ROWS), now.count, now.otherwise, now.token];
  const theirs = [...golden.own, ...golden.p, golden.kept, golden.otherwise, golden.token];
  if (!theirs.every((x, i) => near(mine[i], x))) throw new Error("values differ from the package's");

  function compute() {
    now = solve(here(), w);
    scale = { lo: Math.floor(now.z[Math.floor(0.93 * V)]) - 1, hi: Math.ceil(now.z[0]) + 1 };
  }

  const ui = frame(host, {
    title: data.title ?? "Which tokens may come next, and which comes?",
    lead: [`After a text, a small model that learned from verses gives each of ${V} tokens a logit `, math("z"), ". A temperature ", math("T"), " reshapes them, cuts throw tokens out, and a uniform number ", math("u"), " draws one. Drag a row sideways to move its logit, and ", math("u"), " below."],
    css: STYLE,
  });

  // --- controls
  const control = (field, words, name, [min, max, step], format) => slider({ label: words, name, min, max, step, value: w[field], format, oninput: (x) => change({ [field]: x }) });
  const off = (none, digits) => (x) => (x === none ? "off" : num(x, digits));
  const controls = {
    temperature: control("temperature", math("T"), "temperature T", [0, 2.5, 0.05], (x) => num(x)),
    penalty: control("penalty", "repetition", "repetition penalty", [1, 2, 0.05], off(1, 2)),
    top_k: control("top_k", "top-k", "top-k", [0, 40, 1], off(0, 0)),
    top_p: control("top_p", "top-p", "top-p", [0.05, 1, 0.01], off(1, 2)),
    min_p: control("min_p", "min-p", "min-p", [0, 0.5, 0.01], off(0, 2)),
    first: choice({ label: "first", name: "what acts first", value: w.first, options: [["temperature", "temperature"], ["cuts", "cuts"]], onpick: (first) => change({ first }) }),
  };
  const root = choice({ label: "", name: "text", value: 0, options: roots.map(([name, , first]) => [first, name]), onpick: (context) => change({ context, moved: [] }) });
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const [story, words] = ["story", "text"].map((kind) => h("p", { class: kind }));
  const sums = h("div", { class: "sum" });
  const rows = s("svg", { class: "rows", tabindex: 0, role: "slider", "aria-orientation": "vertical", onkeydown: turn });
  const strip = s("svg", { class: "strip", tabindex: 0, role: "slider", onkeydown: nudge });
  const draw = button("Draw", () => change({ u: Math.floor(1000 * Math.random()) / 1000 }), { class: "primary" });
  const add = button("Append", () => change({ context: next(), moved: [] }));
  const back = button("Back", () => change({ context: here().parent, moved: [] }));

  const over = (shape, start, move) => {
    let from;
    const at = (event) => [event.clientX - shape.getBoundingClientRect().left, event.clientY - shape.getBoundingClientRect().top];
    const grab = (event) => {
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      shape.focus({ preventScroll: true });
      from = start(...at(event));
    };
    return h("div", { class: "stage" }, shape, h("div", { class: "drag", onpointerdown: grab, onpointermove: (event) => event.buttons && move(from, ...at(event)) })); // of HTML: within SVG a finger would scroll
  };
  const lane = () => { // where the logits and the probabilities are
    const left = W < 420 ? 78 : 104;
    const middle = left + (W - left - 52) * 0.52;
    return { left, right: middle - 8, from: middle + 12, to: W - 52 };
  };
  const x = (z) => lane().left + ((lane().right - lane().left) * (Math.max(scale.lo, Math.min(scale.hi, z)) - scale.lo)) / (scale.hi - scale.lo);
  const pull = (i, z) => change({ moved: [...w.moved.filter(([j]) => j !== i), [i, Math.round(10 * Math.max(scale.lo, Math.min(scale.hi, z))) / 10]].sort((a, b) => a[0] - b[0]) });
  const setU = (u) => change({ u: Math.round(1000 * Math.max(0, Math.min(0.999, u))) / 1000 });
  function pick(i) {
    picked = Math.max(0, Math.min(ROWS - 1, i));
    drawAll();
    onState(state());
  }
  function turn(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const z = { ArrowRight: 0.1, ArrowLeft: -0.1, PageUp: 1, PageDown: -1 }[event.key];
    if (!by && !z) return;
    event.preventDefault();
    if (by) pick(picked + by);
    else pull(picked, now.free[picked] + z);
  }
  function nudge(event) {
    const by = { ArrowRight: 0.01, ArrowUp: 0.01, ArrowLeft: -0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1, Home: -1, End: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    setU(w.u + by);
  }
  const next = () => {
    const found = contexts.findIndex(({ parent, chosen }) => parent === w.context && chosen === now.token);
    return found < 0 ? null : found;
  };
  new ResizeObserver(() => {
    const wide = Math.round(Math.max(260, Math.min(900, rows.getBoundingClientRect().width)));
    if (wide !== W) drawAll((W = wide));
  }).observe(rows);

  const sample = (kind, ...kids) => s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, kids, s("rect", { class: kind, y: 1.5, width: 26, height: 7, ...(kind === "lost" ? { fill: "url(#d3)" } : {}) }));
  ui.body.append(
    h("div", { class: "dec" },
      h("div", { class: "roots" }, root.el, words, h("div", { class: "row noprint" }, draw, add, back)),
      story,
      h("div", {},
        over(rows, (px, py) => (pick(Math.floor((py - HEAD) / ROW)), [px, now.free[picked], picked]), ([px, z, i], to) => Math.abs(to - px) > 3 && pull(i, z + ((to - px) * (scale.hi - scale.lo)) / (lane().right - lane().left))),
        h("p", { class: "legend" }, h("span", {}, sample("own"), " the model’s own"), h("span", {}, sample("lost", hatch("d3")), " of it, cut"), h("span", {}, sample("bar"), " drawn from"), key("limit", "where the cut lies"), h("span", {}, `All ${V} tokens count, also those without a row.`)),
      ),
      over(strip, (px) => setU(px / W), (_, px) => setU(px / W)),
      h("div", { class: "even" },
        h("div", {}, controls.temperature.el, controls.first.el, controls.penalty.el),
        h("div", {}, controls.top_k.el, controls.top_p.el, controls.min_p.el),
      ),
      h("div", { class: "panel" }, h("p", { class: "cap" }, "In numbers, for the chosen row"), sums),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields) {
    ask.clear();
    copy.clear();
    Object.assign(w, copyOf(fields));
    compute();
    for (const [field, part] of Object.entries(controls)) part.set(w[field]);
    drawAll();
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    picked = 0;
    change({ ...data.settings, ...fields });
  }

  // --- drawing
  function written(i) {
    const { parent, chosen } = contexts[i];
    return parent === null ? roots.find(([, , first]) => first === i)[1] : written(parent) + tokens[contexts[parent].names[chosen]];
  }

  function origin(i) {
    return contexts[i].parent === null ? i : origin(contexts[i].parent);
  }

  function drawAll() {
    root.set(origin(w.context));
    tell();
    drawRows();
    drawStrip();
    drawSums();
  }

  function tell() {
    const name = names()[now.token] ?? null;
    const end = name === "<end>";
    words.replaceChildren(h("span", { class: "note" }, "⟨end⟩ "), written(w.context), h("mark", {}, name === null ? " …" : end ? " ⟨end⟩" : name));
    add.disabled = next() === null;
    add.textContent = add.disabled ? (end ? "The verse ends" : "No text recorded here") : `Append “${name.trim()}”`;
    back.disabled = here().parent === null;
    const cuts = [w.top_k && "top-k", w.top_p < 1 && "top-p", w.min_p && "min-p"].filter(Boolean);
    const all = cuts.length > 1 ? `${cuts.slice(0, -1).join(", ")} and ${cuts.at(-1)}` : cuts[0];
    const verb = cuts.length > 1 ? "keep" : "keeps";
    const T = `T\u00a0=\u00a0${num(w.temperature)}`;
    const same = now.count === now.otherwise;
    story.textContent =
      w.temperature === 0 ? "Temperature 0 takes the likeliest token, whatever the cuts keep besides."
      : !cuts.length ? `Nothing is cut: all ${V} tokens may come, as uncertain as ${whole(choices(now.p))} equal choices (the model’s own: ${whole(choices(now.own))}).`
      : same ? `${all[0].toUpperCase()}${all.slice(1)} ${verb} ${now.count} of ${V} tokens, and as many in the other order.`
      : w.first === "temperature" ? `After ${T}, ${all} ${verb} ${now.count} of ${V} tokens. Before it, on the model’s own probabilities: ${now.otherwise}.`
      : `Before the temperature, ${all} ${verb} ${now.count} of ${V} tokens. After ${T}: ${now.otherwise}.`;
  }

  /** Between the least logit that is kept and the largest that is cut; null where nothing is cut. */
  function cutAt() {
    if (now.count === V) return null;
    const of = (kept) => now.penalised.filter((_, i) => now.kept[i] === kept);
    return (of(true).reduce((a, b) => Math.min(a, b)) + of(false).reduce((a, b) => Math.max(a, b))) / 2;
  }

  function drawRows() {
    const { left, right, from, to } = lane();
    const tail = { own: total(now.own, ROWS), p: total(now.p, ROWS), lost: total(now.own.map((p, i) => (now.kept[i] ? 0 : p)), ROWS) };
    const most = Math.max(tail.own, tail.p, ...now.own.slice(0, ROWS), ...now.p.slice(0, ROWS));
    const top = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1].find((t) => t >= most - 1e-9) ?? 1;
    const wide = (p) => ((to - from) * p) / top;
    const limit = cutAt();
    const rect = (kind, x0, y, width, height, extra = {}) => s("rect", { class: kind, x: x0, y, width: Math.max(0, width), height, ...extra });
    const bars = (y, own, lost, p) => [
      rect("own", from, y, wide(own - lost), 7),
      lost > 0 && rect("lost", from + wide(own - lost), y, wide(lost), 7, { fill: "url(#d1)" }),
      rect("bar", from, y + 8, wide(p), 9),
    ];
    const row = (name, i) => {
      const [y, middle, kept] = [HEAD + i * ROW, HEAD + i * ROW + ROW / 2 - 1, now.kept[i]];
      const [at, was] = [x(now.penalised[i]), x(now.z[i])];
      return [
        rect(`band ${i === picked ? "picked" : ""}`, 1, y, W - 2, ROW - 3, { rx: 4 }),
        label(`name ${kept ? "" : "cut"}`, left - 8, middle + 4, seenAs(name), "end"),
        Math.abs(at - was) > 1 && [path("pull", `M${was} ${middle}H${at}`), s("circle", { class: "from", cx: was, cy: middle, r: 5 })],
        s("circle", { class: `knob ${kept ? "" : "off"}`, cx: at, cy: middle, r: 5.5 }),
        !kept && path("x", cross(at, middle, 2.3)),
        bars(y + 2, now.own[i], kept ? 0 : now.own[i], now.p[i]),
        label(`p ${kept ? "" : "cut"}`, W - 6, middle + 4, kept ? share(now.p[i]) : "cut", "end"),
      ];
    };
    const y = HEAD + ROWS * ROW;
    const floor = y + HILL - 6;
    const bin = (scale.hi - scale.lo) / 60;
    const [on, gone] = [Array(60).fill(0), Array(60).fill(0)];
    now.penalised.forEach((z, i) => i >= ROWS && ((now.kept[i] ? on : gone)[Math.max(0, Math.min(59, Math.floor((z - scale.lo) / bin)))] += 1));
    const high = Math.max(...on.map((n, b) => n + gone[b]));
    const step = (right - left) / 60;
    const tower = (n, under, b, kind, extra) => n > 0 && rect(kind, left + b * step, floor - ((HILL - 16) * (n + under)) / high, step - 0.4, ((HILL - 16) * n) / high, extra);
    const lost = now.kept.filter((kept, i) => !kept && i >= ROWS).length;
    const rowsName = names()[picked];
    rows.setAttribute("viewBox", `0 0 ${W} ${BOTTOM}`);
    Object.assign(rows, { ariaLabel: "token of the chosen row", ariaValueMin: 1, ariaValueMax: ROWS, ariaValueNow: picked + 1, ariaValueText: `${seenAs(rowsName)}: logit ${num(now.free[picked])}, probability ${share(now.p[picked])}` });
    show(rows,
      hatch("d1"),
      label("head", left - 8, 14, "token", "end"),
      label("head", left, 14, W < 420 ? "logit z" : "its logit z", "start"),
      label("head", from, 14, "probability", "start"),
      label("", W - 6, 14, W < 420 ? "" : "drawn from", "end"),
      [scale.lo, scale.hi].map((t, i) => label("", i ? right : left, HEAD - 7, num(t, 0), i ? "end" : "start")),
      [0, top].map((t, i) => label("", i ? to : from, HEAD - 7, num(t, i), i ? "end" : "start")),
      names().slice(0, ROWS).map(row),
      rect("band", 1, y, W - 2, HILL - 3, { rx: 4 }),
      label("name", left - 8, y + 23, `${V - ROWS}`, "end"),
      label("", left - 8, y + 39, "others", "end"),
      on.map((n, b) => [tower(n, 0, b, "hill"), tower(gone[b], n, b, "lost", { fill: "url(#d1)" })]),
      path("base", `M${left} ${floor}H${right}`),
      bars(y + 14, tail.own, tail.lost, tail.p),
      label("p", W - 6, y + 25, share(tail.p), "end"),
      label("", W - 6, y + 42, `${lost} cut`, "end"),
      path("rule", `M${from} ${HEAD - 3}V${BOTTOM - 3}`),
      limit !== null && [path("limit", `M${x(limit)} ${HEAD - 2}V${BOTTOM - 4}`), label("line", x(limit), HEAD - 7, "cut")],
    );
  }

  function drawStrip() {
    const parts = [...now.p.slice(0, ROWS), total(now.p, ROWS)];
    const hit = Math.min(now.token, ROWS);
    const u = W * w.u;
    let from = 0;
    strip.setAttribute("viewBox", `0 0 ${W} ${STRIP}`);
    const name = names()[now.token];
    Object.assign(strip, { ariaLabel: "uniform number u", ariaValueMin: 0, ariaValueMax: 1, ariaValueNow: w.u, ariaValueText: `u ${num(w.u, 3)} draws ${name ? seenAs(name) : "one of the others"}` });
    show(strip,
      hatch("d2"),
      parts.map((p, i) => {
        const [start, wide] = [from * W, p * W];
        from += p;
        const words = i < ROWS ? seenAs(names()[i]) : `${V - ROWS} others`;
        const mineToo = i === hit;
        return p > 0 && [
          s("rect", { class: `part0 ${i % 2 ? "odd" : ""} ${mineToo ? "hit" : ""}`, x: start, y: STOP, width: wide, height: 28 }),
          7.2 * words.length + 6 < wide && label(`in ${mineToo ? "hit" : ""}`, start + wide / 2, STOP + 18, words),
        ];
      }),
      path("u", `M${u} 14V${STOP + 7}`),
      s("circle", { class: "drop", cx: u, cy: 12, r: 7 }),
      label("u", u + (w.u > 0.5 ? -12 : 12), 14, `u = ${num(w.u, 3)}: ${name ? seenAs(name) : "one of the others"}`, w.u > 0.5 ? "end" : "start"),
      [0, 0.5, 1].map((t) => label("", t * W, STRIP - 2, num(t, t === 0.5 ? 1 : 0), ["start", "middle", "end"][2 * t])),
    );
  }

  function drawSums() {
    const i = picked;
    const [raw, z, T] = [now.free[i], now.penalised[i], w.temperature];
    const held = total(now.before.filter((_, j) => now.kept[j]));
    const told = here().seen.includes(i) && w.penalty > 1;
    const left = now.count === 1 ? "1 token" : `${now.count} tokens`;
    sums.replaceChildren(
      lines(`“${seenAs(names()[i])}”: z = ${num(raw)}${told || !T ? "" : ","}`, told && (raw > 0 ? `/ ${num(w.penalty)} = ${num(z)}` : `× ${num(w.penalty)} = ${num(z)}`), told && `since it stood before${T ? ";" : ""}`, T > 0 && `z/T = ${num(z)}/${num(T)} = ${num(z / T)}`),
      ...(T > 0
        ? [
            lines(`exp(z/T)/Σ = ${num(now.before[i], 4)}`, `with Σ over all ${V}`),
            lines(`kept: ${left}`, `that hold ${num(held, 4)}`),
            lines(now.kept[i] ? `drawn with ${num(now.before[i], 4)}/${num(held, 4)} = ${num(now.p[i], 4)}` : "cut: drawn never"),
          ]
        : [lines("T = 0: the largest z is taken for certain,", now.p[i] ? "and it is this one" : "and it isn’t this one")]),
      lines(`as uncertain as ${whole(choices(now.p))} equal choices;`, `the model’s own: ${whole(choices(now.own))}`),
    );
  }

  const state = () => ({ settings: copyOf(w), picked, p: now.p.slice(0, ROWS), kept: now.count, otherwise: now.otherwise, token: now.token, next: next() });
  drawAll();
  return { state, set: change };
}

mountAll("decoding", mount);
