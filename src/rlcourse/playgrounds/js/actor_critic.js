// Actor-critic: lambda between the bias of a wrong critic and the noise of a walk.
import { button, choice, copyButton, copyOf, frame, h, key, lines, many, math, mountAll, num, prompts, s, slider } from "./kit.js";
import { uniforms } from "./random.js";

// ------------------------------------------------------------------ model: as rlcourse.playgrounds.actor_critic
const [CELLS, MIDDLE] = [7, 3];
const [UPDATES, AVERAGED] = [200, [1, 4, 16, 64]];

/** 64 walks for each of 200 updates. Walk k of update b is entry 64 b + k: the cells at[start[entry]] to at[start[entry + 1] - 1]. */
export function walks() {
  const most = AVERAGED.at(-1);
  const [start, right] = [new Int32Array(UPDATES * most + 1), new Uint8Array(UPDATES * most)];
  const at = new Uint8Array(1 << 19);
  let size = 0;
  for (let entry = 0, next; entry < right.length; entry += 1) {
    if (entry % most === 0) next = uniforms(1 + entry / most);
    let i = MIDDLE;
    for (; i >= 0 && i < CELLS; i += next() < 0.5 ? -1 : 1) {
      at[size] = i;
      size += 1;
    }
    right[entry] = i > 0 ? 1 : 0;
    start[entry + 1] = size;
  }
  return { at: at.slice(0, size), start, right, most };
}

/** The y of y[i] = x[i] + c (y[i - 1] + y[i + 1]) / 2, with 0 outside: a tridiagonal system. */
export function settled(c, x) {
  const [y, up] = [Float64Array.from(x), new Float64Array(x.length)];
  for (let i = 0; i < x.length; i += 1) {
    const pivot = i ? 1 - (c / 2) * up[i - 1] : 1;
    y[i] = (y[i] + (i ? (c / 2) * y[i - 1] : 0)) / pivot;
    up[i] = c / 2 / pivot;
  }
  for (let i = x.length - 2; i >= 0; i -= 1) y[i] += up[i] * y[i + 1];
  return y;
}

/** The values of the cells under the policy that goes left or right by chance, and what the critic takes for them. */
export const values = (gamma) => settled(gamma, Array.from({ length: CELLS }, (_, i) => (i === CELLS - 1 ? 0.5 : 0)));
export const critic = ({ gamma, error }) => values(gamma).map((v, i) => v + error[i]);

/** r + gamma v(s') - v(s) of each step: entry 2 i is that from cell i to the left, 2 i + 1 to the right. */
export const errors = (v, gamma) => Float64Array.from({ length: 2 * CELLS }, (_, j) => (j === 2 * CELLS - 1 ? 1 : 0) + gamma * after(v, j) - v[j >> 1]);
const after = (x, j) => x[(j >> 1) + 2 * (j & 1) - 1] ?? 0;

/** What one walk says of going right in the middle: what is exact, its mean, its variance. */
export function moments({ gamma, error }, lam) {
  const c = gamma * lam;
  const v = values(gamma);
  const td = errors(critic({ gamma, error }), gamma);
  const each = (of) => v.map((_, i) => of(2 * i, 2 * i + 1));
  const ahead = settled(c, each((a, b) => (td[a] + td[b]) / 2));
  const m = td.map((x, j) => x + c * after(ahead, j));
  const spread = settled(c * c, each((a, b) => ((m[b] - m[a]) / 2) ** 2));
  const [a, b] = [2 * MIDDLE, 2 * MIDDLE + 1];
  const second = (m[a] ** 2 + m[b] ** 2 + c * c * (after(spread, a) + after(spread, b))) / 2;
  const mean = (m[b] - m[a]) / 2;
  return { exact: (gamma * (v[MIDDLE + 1] - v[MIDDLE - 1])) / 2, mean, variance: second - mean * mean };
}

/** Bias², variance and their sum, of an update. */
export function off(w, lam) {
  const { exact, mean, variance } = moments(w, lam);
  return [(mean - exact) ** 2, variance / w.n, (mean - exact) ** 2 + variance / w.n];
}

/** The same for lambda 0, 0.01 ... 1, and the place of the least sum. */
export function curves(w) {
  const rows = Array.from({ length: 101 }, (_, i) => off(w, i / 100));
  const [bias, noise, sum] = [0, 1, 2].map((k) => rows.map((row) => row[k]));
  return { bias, noise, sum, best: sum.indexOf(Math.min(...sum)) };
}

/** TD errors and advantages of a walk; which way each step goes: 1 for right. */
export function follow({ gamma, error, lam }, { path, right }) {
  const td = errors(critic({ gamma, error }), gamma);
  const way = path.map((at, t) => ((path[t + 1] ?? (right ? CELLS : -1)) > at ? 1 : 0));
  const delta = path.map((at, t) => td[2 * at + way[t]]);
  const A = delta.slice();
  for (let t = A.length - 2; t >= 0; t -= 1) A[t] += gamma * lam * A[t + 1];
  return { way, delta, A };
}

/** What each of 200 updates says of going right in the middle: the mean of n walks. */
export function updates({ at, start, right, most }, { gamma, error, n }, lam) {
  const td = errors(critic({ gamma, error }), gamma);
  const found = new Float64Array(UPDATES);
  for (let b = 0; b < UPDATES; b += 1) {
    for (let entry = b * most; entry < b * most + n; entry += 1) {
      let A = 0;
      let next = right[entry] ? CELLS : -1;
      for (let i = start[entry + 1] - 1; i >= start[entry]; i -= 1) {
        A = td[2 * at[i] + (next > at[i] ? 1 : 0)] + gamma * lam * A;
        next = at[i];
      }
      found[b] += at[start[entry] + 1] > MIDDLE ? A / n : -A / n;
    }
  }
  return found;
}

export function python({ lam, gamma, error, n, walk, t }) {
  return `from rlcourse.playgrounds.actor_critic import Settings, advantages, best, moments, updates, walks

w = Settings(lam=${lam}, gamma=${gamma}, error=(${error.join(", ")}), n=${n}, walk=${walk}, t=${t})
for lam in (0, w.lam, 1):
    exact, mean, variance = moments(w, lam)
    print(f"lambda {lam:g}: bias² {(mean - exact) ** 2:.4f} + variance {variance / w.n:.4f}")
print(f"least at lambda {best(w):g}")
said = updates(w)  # what 200 updates say, each from n walks
print(f"sampled: mean {said.mean():.3f}, variance {said.var():.4f}")
A = advantages(w, walks(w.walk))[:, 0]  # of each step of one walk
print(f"A of step {w.t}: {A[w.t]:.3f}")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.ac, .even { display: grid; gap: 1rem; } .ac > *, .even > * { min-width: 0; } .even { align-items: start; }
.story { font-weight: 650; font-size: 1.02rem; } .stage { position: relative; } .drag { position: absolute; inset: 0; cursor: ns-resize; touch-action: none; }
.ac svg text { font-size: 11.5px; fill: var(--mut); paint-order: stroke; stroke: var(--back, var(--card)); stroke-width: 3px; } .ac svg text.strong { fill: var(--ink); font-weight: 650; }
.ac .panel, .here { --back: var(--panel); } .ac svg path { fill: none; } path.grid { stroke: var(--line); } path.at { stroke: var(--edge); }
.critic { border-radius: 8px; } .value { fill: rgb(var(--pos) / .2); } .value.picked { fill: rgb(var(--pos) / .38); } .box { fill: none; stroke: var(--edge); }
.knob { fill: var(--card); stroke: var(--accent); stroke-width: 3; } .knob.picked { fill: var(--accent); }
.ac path.true { stroke: var(--ink); stroke-width: 3; } .ac path.off { stroke: var(--warm); stroke-width: 2; stroke-dasharray: 3 2; }
.ac path.bias { stroke: var(--warm); stroke-width: 2; stroke-dasharray: 7 3; } .ac path.noise { stroke: var(--accent); stroke-width: 2; }
.ac path.both { stroke: var(--ink); stroke-width: 4; stroke-linejoin: round; } .ac path.was { stroke: var(--mut); stroke-width: 2; stroke-dasharray: 1 4; stroke-linecap: round; }
.chart .now { stroke: var(--ink); stroke-width: 3; } .chart .now.bias { stroke: var(--warm); } .chart .now.noise { stroke: var(--accent); }
.ac path.best { fill: var(--ink); } .ac path.drop { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 2 2; }
.bin { fill: rgb(var(--pos) / .5); } .strip .here { fill: var(--panel); } .ac path.exact { stroke: var(--ink); stroke-width: 1.6; stroke-dasharray: 4 3; }
.ac path.sd { stroke: var(--accent); stroke-width: 4; } .ac path.shift { stroke: var(--warm); stroke-width: 4; } .mean { fill: var(--card); stroke: var(--accent); stroke-width: 2.5; }
.walk { touch-action: pan-y; cursor: pointer; } .ac path.way { stroke: var(--ink); stroke-width: 1.8; stroke-linejoin: round; } .walk .stop { fill: var(--ink); } .me { fill: var(--card); stroke: var(--accent); stroke-width: 3; }
.weight { fill: var(--mut); } .hull { fill: none; stroke: var(--edge); } .up { fill: rgb(var(--pos)); } .down { fill: rgb(var(--neg)); } .passed { opacity: .4; } .ac path.far { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; }
.even .slider { grid-template-columns: 7.4rem 1fr 2.9rem; } .even .choice { grid-template-columns: 7.4rem 1fr; } .time .slider { grid-template-columns: 3.2rem 1fr 4.4rem; } .time output { white-space: nowrap; } .told .note { margin-top: .5rem; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } }
`;
const [CW, CH, LEFT] = [320, 216, 66]; // of the two upper pictures; of the walk's, beside its columns
const rms = (list) => Math.sqrt(list.reduce((sum, x) => sum + x * x, 0) / list.length);
const exactly = (x) => Math.round(1000 * x) / 1000;
const between = (low, x, high) => Math.max(low, Math.min(high, x));
const line = (kind, d) => s("path", { class: kind, d });
const text = (x, y, words, anchor = "start", kind) => s("text", { x, y, "text-anchor": anchor, class: kind }, words);
const low = (t) => String(t).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);
const signed = (x) => (x < 0 ? `(${num(x)})` : num(x));
const lambda = (x) => `λ = ${num(x, x % 1 ? 2 : 0)}`.replace(/ /g, "\u00a0");
const show = (svg, parts) => svg.replaceChildren(...parts.flat(5).filter(Boolean));

/** Where an event lies in a picture, in its own units. */
function place(event, picture, width) {
  const box = picture.getBoundingClientRect();
  return ["X", "Y"].map((d, i) => ((event[`client${d}`] - [box.left, box.top][i]) * width) / box.width);
}

export function mount(host, data, { onState = () => {} } = {}) {
  const start = copyOf(data.settings);
  const w = copyOf(start);
  const sampled = walks();
  let shape = w.error; // of the critic's error, which the slider stretches
  let picked = 4; // the cell whose value the arrow keys move
  let W = 640; // width of the walk's picture in CSS pixels, so that its text keeps its size
  let found, before, one; // the curves; their sum before the last change; the walk that is looked into
  solve();
  const rows = data.golden.mean.map((_, i) => moments(w, i / 10));
  const mine = { exact: [rows[0].exact], mean: rows.map((row) => row.mean), variance: rows.map((row) => row.variance), advantages: one.A };
  const near = (x, y) => Math.abs(x - y) <= 1e-9 * Math.max(1, Math.abs(y));
  if (!Object.entries(mine).every(([name, list]) => list.every((x, i) => near(x, data.golden[name][i])))) throw new Error("values differ from the package's");

  function solve() {
    found = curves(w);
    const entry = (w.walk - 1) * sampled.most;
    const walk = { path: Array.from(sampled.at.subarray(sampled.start[entry], sampled.start[entry + 1])), right: sampled.right[entry] };
    one = { ...walk, ...follow(w, walk) };
    w.t = between(0, w.t, walk.path.length - 1);
  }

  const ui = frame(host, {
    title: data.title ?? "How far should an advantage look before it trusts the critic?",
    lead: "An actor goes left or right by chance; leaving the row on the right earns 1, on the left 0. Is right the better step in cell 4? GAE adds up the TD errors of a walk, with weights (γλ)ˡ.",
    css: STYLE,
  });

  // --- controls
  const set = (field) => (x, fresh) => change({ [field]: x }, fresh);
  const controls = {
    lam: slider({ label: math("λ"), name: "lambda", min: 0, max: 1, step: 0.01, value: w.lam, oninput: set("lam") }),
    gamma: slider({ label: ["discount ", math("γ")], name: "gamma, the discount", min: 0.8, max: 1, step: 0.01, value: w.gamma, oninput: set("gamma") }),
    n: choice({ label: "walks averaged", name: "walks that an update averages", options: AVERAGED.map((n) => [n, n]), value: w.n, onpick: set("n") }),
  };
  const size = slider({ label: "critic’s error", name: "error of the critic, root mean square", min: 0, max: 1, step: 0.01, value: 0, oninput: (to, fresh) => change({ error: shape.map((x) => exactly((to * x) / (rms(shape) || 1))) }, fresh, shape) });
  const scrub = slider({ label: "step", name: "step whose advantage is formed", min: 0, max: 1, step: 1, value: 0, format: (t) => `${t} of ${one.path.length - 1}`, oninput: seek });
  const go = [button("Back", () => seek(w.t - 1)), button("Step", () => seek(w.t + 1)), button("Other walk", () => change({ walk: (w.walk % UPDATES) + 1, t: 0 }))];
  const reset = (fields) => ((picked = 4), change({ ...start, ...fields }));
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const [story, head, heading, legend] = ["story", "cap", "cap", "legend"].map((kind) => h("p", { class: kind }));
  const [strips, told, sums] = ["", "told", "sum"].map((kind) => h("div", { class: kind }));
  const picture = s("svg", { class: "critic", viewBox: `0 0 ${CW} ${CH}`, tabindex: 0, role: "slider", "aria-orientation": "vertical", onkeydown: turn });
  const area = h("div", { class: "drag", onpointerdown: grab, onpointermove: drag }); // of HTML: within SVG a finger would scroll
  const slide = (event) => {
    if (event.type === "pointerdown") chartBox.setPointerCapture(event.pointerId);
    if (event.buttons) change({ lam: Math.round(100 * between(0, (place(event, chartBox, CW)[0] - L) / (CW - L - R), 1)) / 100 }, event.type === "pointerdown");
  };
  const [L, R] = [34, 10]; // what the chart leaves free on both sides
  const chartBox = s("svg", { viewBox: `0 0 ${CW} ${CH}`, class: "chart", role: "img", onpointerdown: slide, onpointermove: slide });
  const column = () => Math.min(44, (W - LEFT - 4) / one.path.length);
  const press = (event) => event.buttons && seek(Math.floor((place(event, walkBox, W)[0] - LEFT) / column()));
  const walkBox = s("svg", { class: "walk", role: "img", onpointerdown: press, onpointermove: press });
  new ResizeObserver(() => {
    const now = Math.round(between(260, walkBox.getBoundingClientRect().width, 900));
    if (now !== W) drawWalk((W = now));
  }).observe(walkBox);

  ui.body.append(
    h("div", { class: "ac" },
      story,
      h("div", { class: "even" },
        h("div", {},
          h("p", { class: "cap" }, "What the critic believes: drag it"),
          h("div", { class: "stage" }, picture, area),
          h("p", { class: "legend" }, key("true", "exact"), key("off", "its error")),
        ),
        h("div", {}, heading, chartBox, legend),
      ),
      h("div", { class: "even" }, h("div", {}, controls.lam.el, controls.gamma.el, size.el, controls.n.el, told), strips),
      h("div", { class: "panel" }, head, walkBox, h("div", { class: "noprint time" }, scrub.el, h("div", { class: "row" }, go)), sums),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields, fresh = true, kept = null) {
    for (const each of [ask, copy]) each.clear();
    if (fresh) before = found.sum;
    Object.assign(w, copyOf(fields));
    if (fields.error) shape = kept ?? (rms(w.error) ? w.error : shape);
    solve();
    draw();
    ui.say(story.textContent);
    onState(state());
  }
  function seek(t) {
    w.t = between(0, t, one.path.length - 1);
    drawWalk();
    ui.say(head.textContent);
    onState(state());
  }

  // --- dragging the critic
  const lane = CW / (CELLS + 2);
  const [TOP, FOOT] = [8, 38];
  const range = () => critic(w).reduce(([a, b], x) => [Math.min(a, Math.floor(4 * x) / 4), Math.max(b, Math.ceil(4 * x) / 4)], [-0.25, 1.25]);
  function grab(event) {
    event.preventDefault();
    picture.focus({ preventScroll: true });
    area.setPointerCapture(event.pointerId);
    picked = between(0, Math.floor(place(event, picture, CW)[0] / lane) - 1, CELLS - 1);
    drag(event);
  }
  function drag(event) {
    const [low, high] = range();
    if (event.buttons) believe(high - ((place(event, picture, CW)[1] - TOP) / (CH - TOP - FOOT)) * (high - low), event.type === "pointerdown");
  }
  function turn(event) {
    const to = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const by = { ArrowUp: 0.05, ArrowDown: -0.05, PageUp: 0.25, PageDown: -0.25 }[event.key];
    if (!to && !by) return;
    event.preventDefault();
    if (by) return believe(critic(w)[picked] + by, true);
    picked = (picked + to + CELLS) % CELLS;
    drawCritic();
  }
  function believe(value, fresh) {
    const error = exactly(between(range()[0], value, range()[1]) - values(w.gamma)[picked]);
    change({ error: w.error.map((x, i) => (i === picked ? error : x)) }, fresh);
  }

  // --- drawing
  function draw() {
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    size.set(rms(w.error), Math.max(1, Math.ceil(rms(w.error))));
    drawCritic();
    tell();
    drawChart();
    drawStrips();
    drawWalk();
  }

  function drawCritic() {
    const [v, v_hat, [low, high]] = [values(w.gamma), critic(w), range()];
    const y = (e) => TOP + ((high - e) / (high - low)) * (CH - TOP - FOOT);
    const x = (i) => lane * (i + 1.5);
    const named = `${num(v_hat[picked])}, exact ${num(v[picked])}`;
    Object.assign(picture, { ariaLabel: `what the critic believes of cell ${picked + 1}; left and right take another cell`, ariaValueMin: low, ariaValueMax: high, ariaValueNow: v_hat[picked], ariaValueText: named });
    const cell = (i) => {
      const mine = i === picked ? "picked" : "";
      return [
        s("rect", { class: `value ${mine}`, x: x(i) - lane * 0.36, width: lane * 0.72, y: Math.min(y(0), y(v_hat[i])), height: Math.abs(y(v_hat[i]) - y(0)), rx: 2 }),
        Math.abs(y(v[i]) - y(v_hat[i])) > 9 && line("off", `M${x(i)} ${y(v[i])}V${y(v_hat[i])}`),
        line("true", `M${x(i) - lane * 0.42} ${y(v[i])}h${lane * 0.84}`),
        s("circle", { class: `knob ${mine}`, cx: x(i), cy: y(v_hat[i]), r: 6.5 }),
        text(x(i), CH - 17, i + 1, "middle", i === MIDDLE ? "strong" : null),
      ];
    };
    show(picture, [
      (high - low < 3 ? [0, 0.5, 1] : [Math.ceil(low), 0, Math.floor(high)]).map((e) => [line("grid", `M26 ${y(e)}H${CW}`), text(0, y(e) + 4, num(e, 1))]),
      [[-1, 0], [CELLS, 1]].map(([i, r]) => [s("rect", { class: "box", x: x(i) - 11, y: CH - 31, width: 22, height: 20, rx: 4 }), text(x(i), CH - 17, r, "middle", "strong")]),
      Array.from(v, (_, i) => cell(i)),
      text(x(MIDDLE), CH - 2, "walks begin here", "middle"),
    ]);
  }

  function drawChart() {
    const [T, B] = [22, 24];
    const { bias, noise, sum, best } = found;
    const top = Math.max(...sum, ...(before ?? []), 0.005) * 1.04;
    const x = (lam) => L + (CW - L - R) * lam;
    const y = (e) => T + (CH - T - B) * (1 - e / top);
    const curve = (kind, list) => line(kind, `M${list.map((e, i) => `${x(i / 100).toFixed(1)} ${y(e).toFixed(1)}`).join("L")}`);
    const step = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((e) => top / e <= 5) ?? 50;
    const levels = Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
    const [bx, by] = [x(best / 100), y(sum[best])];
    show(chartBox, [
      levels.map((e) => [line("grid", `M${L} ${y(e)}H${CW - R}`), text(L - 5, y(e) + 4, num(e, Math.max(0, -Math.floor(Math.log10(step)))), "end")]),
      [0, 0.25, 0.5, 0.75, 1].map((lam) => text(x(lam), CH - 7, lam ? lam : "λ = 0", "middle")),
      line("at", `M${x(w.lam)} ${T}V${CH - B}`),
      before && curve("was", before),
      curve("both", sum),
      curve("bias", bias),
      curve("noise", noise),
      line("drop", `M${bx} 16V${by - 8}`),
      line("best", `M${bx} ${by - 5}l-5 -9h10Z`),
      off(w, w.lam).map((e, i) => s("circle", { class: `now ${["bias", "noise", ""][i]}`, cx: x(w.lam), cy: y(e), r: 4.5 })),
      text(between(L + 50, bx, CW - 64), 11, `least at ${lambda(best / 100)}`, "middle", "strong"),
    ]);
    chartBox.setAttribute("aria-label", `Squared error over lambda. ${story.textContent}`);
    heading.textContent = `Squared error of an update of ${many(w.n, "walk")}`;
    legend.replaceChildren(key("bias", "bias²"), key("noise", "variance"), key("both", "sum"), before ? key("was", "before") : "");
  }

  /** What 200 updates say with lambda 0, the reader's, and 1. */
  function drawStrips() {
    const [ROW, T, N] = [72, 20, 61];
    const rows = [0, w.lam, 1].map((lam) => ({ lam, said: updates(sampled, w, lam), ...moments(w, lam) }));
    const { exact } = rows[0];
    const reach = Math.max(exact, ...rows.flatMap(({ said, mean, variance }) => [Math.max(...said), -Math.min(...said), Math.abs(mean) + Math.sqrt(Math.max(0, variance) / w.n)]));
    const end = [0.2, 0.4, 0.6, 0.8, 1, 1.4, 2, 3, 4, 6, 8].find((e) => e >= reach) ?? 16;
    const x = (e) => CW / 2 + (CW / 2 - 6) * (e / end);
    const H = T + 3 * ROW + 20;
    const strip = ({ lam, said, mean, variance }, row) => {
      const base = T + (row + 1) * ROW - 17;
      const bins = new Array(N).fill(0);
      for (const e of said) bins[Math.min(N - 1, Math.floor((N * (e + end)) / (2 * end)))] += 1;
      const unit = 28 / Math.max(...bins);
      const wide = (CW - 12) / N;
      const sd = Math.sqrt(Math.max(0, variance) / w.n);
      return [
        row === 1 && s("rect", { class: "here", x: 0, y: base - ROW + 20, width: CW, height: ROW - 3, rx: 6 }),
        bins.map((count, i) => count && s("rect", { class: "bin", x: 6 + i * wide + 0.4, width: wide - 0.8, y: base - count * unit, height: count * unit })),
        line("grid", `M0 ${base}H${CW}`),
        line("shift", `M${x(exact)} ${base + 5}H${x(mean)}`),
        line("sd", `M${x(mean - sd)} ${base + 11}H${x(mean + sd)}`),
        s("circle", { class: "mean", cx: x(mean), cy: base + 8, r: 4 }),
        text(4, base - ROW + 34, [`${lambda(0)}: trust at once`, `${lambda(lam)}: yours`, `${lambda(1)}: never trust`][row], "start", "strong"),
        text(CW - 4, base - ROW + 34, `off by ${num(Math.hypot(mean - exact, sd), 3)}`, "end", "strong"),
      ];
    };
    const label = rows.map(({ lam, mean, variance }) => `lambda ${num(lam)}: mean ${num(mean)}, variance ${num(variance / w.n, 4)}`).join("; ");
    const svg = s("svg", { class: "strip", viewBox: `0 0 ${CW} ${H}`, role: "img", "aria-label": `${label}; exact ${num(exact)}` });
    show(svg, [
      rows.map(strip),
      line("at", `M${x(0)} ${T - 4}V${H - 18}`),
      line("exact", `M${x(exact)} ${T - 4}V${H - 18}`),
      text(x(exact) + 4, 11, `exact ${num(exact)}`, "start", "strong"),
      text(x(0) - 4, 11, "← left seems better", "end"),
      [-1, -0.5, 0, 0.5, 1].map((e) => text(x(e * end), H - 4, num(e * end, e && 1), { "-1": "start", 1: "end" }[e] ?? "middle")),
    ]);
    strips.replaceChildren(h("p", { class: "cap" }, `What ${UPDATES} updates say of going right`), svg, h("p", { class: "legend" }, key("shift", "bias"), key("sd", "mean ± standard deviation")));
  }

  function drawWalk() {
    const [{ path, right, delta, A }, { t }] = [one, w];
    const [c, T, wide, zero, tall, base, high, H] = [w.gamma * w.lam, path.length, column(), 134, 42, 248, 42, 266];
    const x = (i) => LEFT + wide * (i + 0.5);
    const lift = (i) => 6 + ((CELLS - i) / (CELLS + 1)) * 62; // of cells 0 to 6, and of leaving at -1 and 7
    const most = Math.max(0.2, ...delta.map(Math.abs));
    const bar = between(2, wide * 0.7, 26);
    const weight = (i) => (i < t ? 0 : c ** (i - t));
    const rect = (kind, i, from, to) => s("rect", { class: kind, x: x(i) - bar / 2, width: bar, y: Math.min(from, to), height: Math.abs(to - from), rx: 1 });
    const places = [...path, right ? CELLS : -1].map((at, i) => `${(x(i) - wide / 2).toFixed(1)} ${lift(at).toFixed(1)}`);
    const edge = LEFT + wide * (t + 1 / (1 - c));
    const seen = edge < LEFT + wide * T;
    const horizon = `horizon 1/(1 − γλ) = ${c < 1 ? num(1 / (1 - c), 1) : "∞"}`;
    walkBox.setAttribute("viewBox", `0 0 ${W} ${H}`);
    walkBox.setAttribute("aria-label", `A walk of ${T} steps that leaves on the ${right ? "right" : "left"}; the advantage of step ${t} is ${num(A[t])}`);
    show(walkBox, [
      [["right: 1", lift(CELLS) + 5], ["cell 4", lift(MIDDLE) + 4], ["left: 0", lift(-1) + 4]].map(([words, y]) => text(0, y, words)),
      [["TD error", zero - 2], ["weight", base - 20]].map(([words, y]) => text(0, y, words, "start", "strong")),
      [["δ, taken", zero + 12], ["(γλ)ˡ", base - 6]].map(([words, y]) => text(0, y, words)),
      [lift(-1), lift(CELLS), zero, base].map((y) => line("grid", `M${LEFT} ${y}H${W}`)),
      line("way", `M${places.join("L")}`),
      path.map((at, i) => s("circle", { class: i === t ? "me" : i < t ? "stop passed" : "stop", cx: x(i) - wide / 2, cy: lift(at), r: i === t ? 5.5 : Math.min(3, wide / 3) })),
      delta.map((d, i) => [rect(i < t ? "hull passed" : "hull", i, zero, zero - (d / most) * tall), i >= t && rect(d < 0 ? "down" : "up", i, zero, zero - ((weight(i) * d) / most) * tall)]),
      path.map((_, i) => i >= t && rect("weight", i, base, base - weight(i) * high)),
      seen && line("far", `M${edge} ${base - high - 16}V${base}`),
      seen && edge < W - 150 ? text(edge + 5, base - high - 8, horizon) : text(seen ? edge - 5 : W, base - high - 8, seen ? horizon : `${horizon} →`, "end"),
      [0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100].filter((i) => i < T).map((i) => text(x(i), H - 5, i, "middle")),
      text(0, H - 5, "step"),
    ]);
    head.textContent = `One walk: the parts taken of its TD errors add up to A${low(t)} = ${num(A[t])}`;
    scrub.set(t, T - 1);
    [0, T - 1].forEach((end, i) => (go[i].disabled = t === end));
    drawSums();
  }

  function drawSums() {
    const [{ path, right, way, delta, A }, { t }] = [one, w];
    const v_hat = critic(w);
    const [at, next, last] = [path[t], path[t + 1], t + 1 === path.length];
    const exact = errors(values(w.gamma), w.gamma)[2 * at + way[t]];
    sums.replaceChildren(
      lines(`δ${low(t)} = r + γ v̂(${last ? "end" : next + 1}) − v̂(${at + 1})`, `= ${last ? right : 0} + ${num(w.gamma)} × ${signed(last ? 0 : v_hat[next])} − ${signed(v_hat[at])}`, `= ${num(delta[t])}`),
      last ? lines(`A${low(t)} = δ${low(t)} = ${num(A[t])}:`, "nothing comes after it") : lines(`A${low(t)} = δ${low(t)} + γλ A${low(t + 1)}`, `= ${num(delta[t])} + ${num(w.gamma * w.lam, 3)} × ${signed(A[t + 1])}`, `= ${num(A[t])}`),
      lines(`exact, for going ${way[t] ? "right" : "left"} from cell ${at + 1}:`, num(exact)),
    );
  }

  function tell() {
    const { bias, noise, sum, best } = found;
    const by = (i) => num(Math.sqrt(sum[i]), 3);
    const share = (x) => (x > 0.995 ? ", all " : x > 0.9 ? ", nearly all " : ", mostly ");
    const kind = (i) => (sum[i] < 1e-5 ? "" : share(Math.max(bias[i], noise[i]) / sum[i]) + (bias[i] > noise[i] ? "bias" : "noise"));
    const end = best % 100 ? `The least, ${by(best)}, is at ${lambda(best / 100)}.` : `Nothing is better than ${lambda(best / 100)}.`;
    story.textContent = `At ${lambda(0)} an update is off by ${by(0)}${kind(0)}; at ${lambda(1)} by ${by(100)}${kind(100)}. ${end}`;
    const [own, spread, all] = off(w, w.lam);
    told.replaceChildren(
      h("div", { class: "sum" }, lines(`${lambda(w.lam)}:`, `bias² ${num(own, 4)}`, `+ variance ${num(spread * w.n, 4)} / ${w.n}`, `= ${num(all, 4)} = ${num(Math.sqrt(all), 3)}²`)),
      h("p", { class: "note" }, "A walk says ", math("A_0"), " if it began to the right, and −", math("A_0"), " if to the left: that is how far it moves the preference for right. So the critic misleads where it errs differently on the two sides."),
    );
  }

  const state = () => ({ ...copyOf(w), best: found.best / 100, off: off(w, w.lam), A: one.A.slice(), cell: picked });
  draw();
  return { state, set: (fields) => change(copyOf(fields)) };
}

mountAll("actor_critic", mount);
