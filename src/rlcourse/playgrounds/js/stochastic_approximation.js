// Stochastic approximation: 200 runs under one noise, and the size of their steps.
import { button, choice, copyButton, copyOf, frame, h, key, lines, math, mountAll, num, prompts, raised, s, slider } from "./kit.js";
import { uniforms } from "./random.js";

// ------------------------------------------------------------------ model: as rlcourse.tabular.stochastic_approximation
export const RUNS = 200;
export const STEPS = 200;
export const LIMIT = 1e12; // beyond it a run is lost
const NEAR = 0.25; // runs that end farther off than this have not arrived
const READ = { cubic: (x) => x * x * x - 5, tanh: (x) => Math.tanh(x - 1) };
const ROOT = { cubic: Math.cbrt(5), tanh: 1 };
const NAMES = { cubic: "w³ − 5", tanh: "tanh(w − 1)" };
export const printed = (w) => ({ ...w, c: 1, p: 1, offset: 0 });

/** Standard normal numbers, those of run b in step k at [(k - 1) RUNS + b]: by Box and Muller. */
export function normals(seed) {
  const uniform = uniforms(seed);
  return Float64Array.from({ length: STEPS * RUNS }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return radius * Math.cos(2 * Math.PI * uniform());
  });
}

export const size = ({ c, p, offset }, k) => c / (k + offset) ** p;

/** w_k of run b at [(k - 1) RUNS + b], k = 1 .. STEPS + 1; NaN once a run is lost. */
export function runs(w, noise) {
  const path = new Float64Array((STEPS + 1) * RUNS).fill(w.w1, 0, RUNS);
  const read = READ[w.g];
  for (let k = 1; k <= STEPS; k += 1) {
    const a = size(w, k);
    for (let i = (k - 1) * RUNS; i < k * RUNS; i += 1) {
      const next = path[i] - a * (read(path[i]) + w.sigma * noise[i]);
      path[i + RUNS] = Math.abs(next) <= LIMIT ? next : NaN;
    }
  }
  return path;
}

/** How many runs are lost, and the root mean square distance of the others from the root (null: all are lost). */
export function ends(w, path) {
  const on = [...path.subarray(STEPS * RUNS)].filter((x) => x === x);
  const square = on.reduce((sum, x) => sum + (x - ROOT[w.g]) ** 2, 0);
  return { lost: RUNS - on.length, off: on.length ? Math.sqrt(square / on.length) : null };
}

/** Where a step without noise leads nearer to the root: [low, high], null where it nowhere does. It does where the
 *  chord of g from the root has a slope below 2 / a; no chord of tanh is steeper than 1, and a is at most 2. */
export function safe(w, k) {
  if (w.g === "tanh") return [-Infinity, Infinity];
  const square = 2 / size(w, k) - 0.75 * ROOT.cubic ** 2;
  return square > 0 ? [-1, 1].map((side) => -ROOT.cubic / 2 + side * Math.sqrt(square)) : null;
}

export function python({ g, c, p, offset, sigma, w1, seed }) {
  return `import numpy as np
from rlcourse.playgrounds.stochastic_approximation import normals
from rlcourse.tabular import stochastic_approximation as sa

a = sa.step_sizes(${STEPS}, c=${c}, p=${p}, offset=${offset})
eta = ${sigma} * normals(${seed}, ${STEPS}, ${RUNS})
w = np.full(${RUNS}, ${num(w1, 1).replace("−", "-")})
runs = sa.robbins_monro(sa.noisy(sa.${g === "cubic" ? "cubic" : "squashed"}), w, a, eta)
print(runs.diverged.sum(), "of ${RUNS} runs are lost")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.sa, .even { display: grid; gap: 1rem; } .sa > *, .even > * { min-width: 0; }
.head .cap { margin: .1rem 0 .3rem; font-weight: 500; }
.count { font-size: 1.2rem; } .sa .note { margin-top: .7rem; font-size: .92rem; } .legend path.on, .legend path.lost { stroke-width: 1.6; opacity: 1; } .even .legend { margin-top: .1rem; } .told { margin-top: .3rem; }
.chart { cursor: crosshair; } path.on { stroke: var(--accent); stroke-width: .7; opacity: .5; } path.lost { stroke: var(--warm); stroke-width: .8; opacity: .55; }
path.mine { stroke: var(--ink); stroke-width: 2.2; stroke-linejoin: round; } .chart .zone, .legend .zone { fill: rgb(var(--pos) / .15); stroke: none; }
.chart path.root, .legend path.root { stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 5 3; } .chart .x { stroke: var(--warm); stroke-width: 1.6; opacity: .8; }
.chart path.curve { stroke: var(--mut); stroke-width: 2.4; } path.own { stroke: var(--accent); stroke-width: 2.6; } path.old { stroke: var(--warm); stroke-width: 2.2; stroke-dasharray: 6 4; }
path.noise { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 1 3; stroke-linecap: round; } .chart .dot { fill: var(--accent); } .chart .was { fill: var(--card); stroke: var(--warm); stroke-width: 2.5; }
.chart text.big { font-size: 12px; font-weight: 650; fill: var(--ink); }
.pair { align-items: end; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } }
`;

const [W, H, L, R, T, B] = [320, 214, 26, 8, 8, 22];
const [LOW, HIGH] = [-4, 4];
const KS = [...new Set(Array.from({ length: 36 }, (_, i) => Math.round((STEPS + 1) ** (i / 35))))]; // evenly spaced on a log axis
const x = (k) => L + ((W - L - R) * Math.log(k)) / Math.log(STEPS + 1);
const y = (v) => T + ((H - T - B) * (HIGH - Math.max(LOW - 0.3, Math.min(HIGH + 0.3, v)))) / (HIGH - LOW);
const XS = KS.map((k) => Math.round(10 * x(k)) / 10);
const sub = (n) => String(n).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);
const inSum = (v, digits = 2) => (Math.abs(v) >= 1e4 ? `${num(v / 10 ** Math.floor(Math.log10(Math.abs(v))), 1)} × 10${raised(Math.floor(Math.log10(Math.abs(v))))}` : num(v, digits));
const formula = ({ c, p, offset }) => `${num(c, 1)}/${offset ? `(k + ${num(offset, 1)})` : "k"}${p === 1 ? "" : `^${num(p, 2)}`}`.replace(/\.0(?=\D|$)/g, "");
const curve = (kind, d) => s("path", { class: kind, d });

export function mount(host, data, { onState = () => {} } = {}) {
  const start = copyOf(data.settings);
  const w = copyOf(start);
  let seed, noise, own, old;
  let [k, b] = [1, 0]; // the step and the run that are looked into
  solve();
  const near = (got, want) => got.lost === want.lost && (got.off === want.off || Math.abs(got.off - want.off) <= 1e-7 * want.off);
  if (!near(own.ends, data.golden.own) || !near(old.ends, data.golden.printed)) throw new Error("values differ from the package's");

  function solve() {
    if (seed !== w.seed) noise = normals((seed = w.seed));
    const each = (settings) => {
      const path = runs(settings, noise);
      return { w: settings, path, ends: ends(settings, path) };
    };
    own = each(copyOf(w));
    old = each(printed(w));
  }

  const ui = frame(host, {
    title: data.title ?? "The same noise, the same equation: why do these runs explode and those arrive?",
    lead: [`${RUNS} runs look for the root of `, math("g"), ", which they can only read with noise: ", math("w"), " ← ", math("w"), " − ", math("a_k"), " (", math("g"), "(", math("w"), ") + noise). Once with the steps that a textbook prints for this, 1/k; once with yours."],
    css: STYLE,
  });

  // --- controls
  const rate = (field, label, name, [min, max, step, digits]) => {
    const oninput = (value) => change({ [field]: value });
    return slider({ label, name, min, max, step, value: w[field], format: (v) => num(v, digits), oninput });
  };
  const controls = {
    offset: rate("offset", "offset", "offset, added to k in the step size", [0, 10, 0.5, 1]),
    p: rate("p", math("p"), "p, power of the step size", [0, 1.5, 0.05, 2]),
    c: rate("c", math("c"), "c, factor of the step size", [0.1, 2, 0.1, 1]),
    sigma: rate("sigma", "noise σ", "sigma, standard deviation of the noise", [0, 3, 0.1, 1]),
    w1: rate("w1", math("w_1"), "w1, where every run begins", [-3, 3, 0.1, 1]),
    g: choice({ label: math("g"), name: "g, the equation", options: [["cubic", NAMES.cubic], ["tanh", NAMES.tanh]], value: w.g, onpick: (g) => change({ g }) }),
  };
  const look = (field) => ({ oninput: (v) => ((field === "k" ? (k = v) : (b = v - 1)), show()) });
  const scrub = slider({ label: ["step ", math("k")], name: "k, the step that is looked into", min: 1, max: STEPS, step: 1, value: k, format: String, ...look("k") });
  const which = slider({ label: "run", name: "run that is looked into", min: 1, max: RUNS, step: 1, value: b + 1, format: String, ...look("b") });
  const steps = [button("Back", () => ((k = Math.max(1, k - 1)), show())), button("Step", () => ((k = Math.min(STEPS, k + 1)), show()))];
  const fresh = button("New noise", () => change({ seed: w.seed + 1 }));
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const restore = button("Restore", () => reset({}), { class: "quiet" });
  const [left, right, picture, sums] = ["", "", "", "told"].map((kind) => h("div", { class: kind }));
  const story = h("p", { class: "note" });
  ui.body.append(
    h("div", { class: "sa" },
      h("div", { class: "even pair" }, left, right),
      legend(),
      h("div", { class: "even" },
        h("div", {}, Object.values(controls).map((control) => control.el), h("div", { class: "row noprint" }, fresh), story),
        h("div", { class: "panel" }, picture, sums, h("div", { class: "noprint" }, scrub.el, which.el, h("div", { class: "row" }, steps))),
      ),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, restore, copy.el), copy.shown),
    ),
  );

  function legend() {
    const zone = s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, s("path", { class: "zone", d: "M0 0H26V10H0Z" }));
    return h("p", { class: "legend" }, key("on", "runs not lost"), key("lost", "runs lost"), key("root", "the root"), key("mine", "the run below"), h("span", {}, zone, " from here a step leads nearer"));
  }

  // --- changes
  function change(fields) {
    ask.clear();
    copy.clear();
    Object.assign(w, fields);
    solve();
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    show();
    ui.say(tell(own) + within(own.ends));
    onState(state());
  }

  function reset(fields) {
    [k, b] = [1, 0];
    change({ ...copyOf(start), ...fields });
  }

  function show() {
    scrub.set(k);
    which.set(b + 1);
    drawRuns(left, old, "as printed");
    drawRuns(right, own, "your steps");
    drawStep();
  }

  const tell = ({ ends: { lost, off } }) => (lost === RUNS ? `All ${RUNS} are lost` : `${RUNS - lost} of ${RUNS} ${off <= NEAR ? "arrive" : "are not lost"}`);
  const within = ({ off }) => (off === null ? "" : `; ±${num(off, 3)} at the end`);

  // --- drawing
  function drawRuns(place, each, words) {
    const { path, w: settings } = each;
    const paths = { on: "", lost: "" };
    const gone = [];
    const line = (run) => {
      let [d, out] = ["", null];
      for (let i = 0; i < KS.length; i += 1) {
        const v = path[(KS[i] - 1) * RUNS + run];
        if (v !== v) break;
        d += `${d ? "L" : "M"}${XS[i]} ${Math.round(10 * y(v)) / 10}`;
        if (Math.abs(v) > 4.3 && Number.isNaN(path[STEPS * RUNS + run])) {
          out = [XS[i], y(v)];
          break;
        }
      }
      if (out) gone.push(out);
      return d;
    };
    for (let run = 0; run < RUNS; run += 1) paths[Number.isNaN(path[STEPS * RUNS + run]) ? "lost" : "on"] += line(run);
    const now = path[(k - 1) * RUNS + b];
    const text = (px, py, label, anchor) => s("text", { x: px, y: py, "text-anchor": anchor }, label);
    const level = (v) => [curve("grid", `M${L} ${y(v)}H${W - R}`), text(L - 5, y(v) + 4, num(v, 0), "end")];
    const zone = KS.map((i) => [i, safe(settings, i)]).filter(([, band]) => band);
    const edge = (side) => zone.map(([i, band]) => `${x(i).toFixed(1)} ${y(band[side]).toFixed(1)}`);
    const area = zone.length > 1 && `M${[...edge(1), ...edge(0).reverse()].join("L")}Z`;
    const cross = ([px, py]) => `M${px - 3} ${py - 3}l6 6m0 -6l-6 6`;
    const props = { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": `${words}: ${tell(each)}${within(each.ends)}`, onpointerdown: drag, onpointermove: drag };
    place.replaceChildren(
      h("div", { class: "head" }, h("p", { class: "count" }, tell(each)), h("p", { class: "cap" }, `${words}: `, math("a_k"), ` = ${formula(settings)}${within(each.ends)}`)),
      s("svg", props,
        area && curve("zone", area),
        [-4, -2, 0, 2, 4].map(level),
        [1, 3, 10, 30].map((i) => text(x(i), H - 5, String(i), "middle")),
        text(W - R, H - 5, "step k", "end"),
        curve("on", paths.on),
        curve("lost", paths.lost),
        curve("root", `M${L} ${y(ROOT[settings.g])}H${W - R}`),
        curve("mine", line(b)),
        curve("x", gone.map(cross).join("")),
        now === now && Math.abs(now) < 4.3 && s("circle", { class: "now", cx: x(k), cy: y(now), r: 5.5 }),
      ),
    );
    function drag(event) {
      if (!event.buttons) return;
      const box = event.currentTarget.getBoundingClientRect();
      const at = (((event.clientX - box.left) / box.width) * W - L) / (W - L - R);
      const v = HIGH - ((((event.clientY - box.top) / box.height) * H - T) * (HIGH - LOW)) / (H - T - B);
      k = Math.max(1, Math.min(STEPS, Math.round((STEPS + 1) ** at)));
      if (event.type === "pointerdown") b = closest(path, v);
      show();
    }
  }

  /** The run that is nearest to v at step k. */
  function closest(path, v) {
    const gap = (run) => Math.abs(path[(k - 1) * RUNS + run] - v);
    let best = b;
    for (let run = 0; run < RUNS; run += 1) if (gap(run) < gap(best) || Number.isNaN(gap(best))) best = run;
    return best;
  }

  /** The step as a picture: from the reading down a line of slope 1/a to where it meets zero. */
  function drawStep() {
    const read = READ[w.g];
    const [lo, hi, low, high] = w.g === "cubic" ? [-3, 6.5, -14, 22] : [-3, 6.5, -4, 4];
    const px = (v) => 8 + (304 * (v - lo)) / (hi - lo);
    const py = (v) => 8 + (150 * (high - v)) / (high - low);
    const inside = (v) => v > lo && v < hi;
    const dots = Array.from({ length: 96 }, (_, i) => lo + (i * (hi - lo)) / 95).filter((v) => read(v) > low && read(v) < high);
    const at = (v, g) => `${px(v).toFixed(1)} ${py(g).toFixed(1)}`;
    const step = (each) => {
      const now = each.path[(k - 1) * RUNS + b];
      const eta = w.sigma * noise[(k - 1) * RUNS + b];
      const a = size(each.w, k);
      return { now, eta, a, g: read(now), next: now - a * (read(now) + eta), after: each.path[k * RUNS + b] };
    };
    const draw = ({ now, eta, g, next }, kind, dot) =>
      inside(now) && [curve(kind, `M${at(now, g + eta)}L${at(next, 0)}`), inside(next) && s("circle", { class: dot, cx: px(next), cy: py(0), r: 5 })];
    const [mine, theirs] = [step(own), step(old)];
    const clip = { viewBox: "0 0 320 172", class: "chart", role: "img", "aria-label": `Step ${k} of run ${b + 1}`, style: { overflow: "hidden", cursor: "default" } };
    picture.replaceChildren(
      h("p", { class: "cap" }, `Step ${k} of run ${b + 1}: read g at w, then follow a line of slope 1/a to zero`),
      s("svg", clip,
        curve("grid", `M8 ${py(0)}H312`),
        [-2, 0, 2, 4, 6].map((v) => s("text", { x: px(v), y: 170, "text-anchor": "middle" }, num(v, 0))),
        curve("curve", `M${dots.map((v) => at(v, read(v))).join("L")}`),
        curve("root", `M${px(ROOT[w.g])} ${py(0) - 9}V${py(0) + 9}`),
        draw(theirs, "old", "was"),
        draw(mine, "own", "dot"),
        inside(mine.now) && [curve("noise", `M${at(mine.now, mine.g)}L${at(mine.now, mine.g + mine.eta)}`), s("circle", { class: "now", cx: px(mine.now), cy: py(mine.g), r: 5 })],
      ),
    );
    const sum = ({ now, eta, a, g, next, after }, words) =>
      now !== now
        ? lines(`${words}:`, "lost before this step")
        : lines(`${words}: w${sub(k + 1)} = ${inSum(now)} − ${num(a, 3)} ×`, `(${inSum(g)} ${eta < 0 ? "−" : "+"} ${num(Math.abs(eta))})`, `= ${inSum(next)}${after !== after ? ": lost" : ""}`);
    sums.replaceChildren(sum(mine, "yours"), sum(theirs, "printed"), h("p", { class: "legend" }, key("own", "your step"), key("old", "the printed step"), key("noise", "noise")));
    const band = safe(w, k);
    const zone = !band ? "from nowhere" : band[1] === Infinity ? "from everywhere" : `from ${num(band[0])} to ${num(band[1])}`;
    story.textContent = `The root of ${NAMES[w.g]} is ${num(ROOT[w.g], 3)}. At k = ${k} your step is ${num(size(w, k), 3)}, and without noise it leads nearer ${zone}.`;
  }

  const state = () => ({ settings: copyOf(w), step: k, run: b, own: own.ends, printed: old.ends });
  show();
  return { state, set: (fields) => change(copyOf(fields)) };
}

mountAll("stochastic_approximation", mount);
