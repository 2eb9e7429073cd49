// PPO: the clipped surrogate of one sample, the policy behind it, and a batch that is used ten times.
import { button, copyButton, copyOf, frame, h, key, lines, math, mountAll, num, player, prompts, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.deep.ppo_losses, and the playground's ascent
const FARTHEST = 2.2; // ratio that the picture shows
const CERTAIN = 0.99; // the likeliest that an action becomes
const EPOCHS = 10;

/** The largest ratio that can be set for an action of probability old. */
export const reach = (old) => Math.min(FARTHEST, Math.floor((100 * CERTAIN) / old) / 100);

export const clipped = ({ low, high }, ratio) => Math.max(1 - low, Math.min(1 + high, ratio));
export const surrogate = (w, ratio, a) => Math.min(ratio * a, clipped(w, ratio) * a);

/** Whether there is a gradient: not where the ratio is beyond the clip on the side to which A pushes. */
export const pushes = ({ low, high }, ratio, a) => !(a > 0 ? ratio > 1 + high : ratio < 1 - low);
export const slope = (w, ratio, a) => (pushes(w, ratio, a) ? a : 0);

/** dL/dz of the action's logit, since dρ/dz = ρ (1 - π). */
export const logitSlope = (w, ratio, a, old) => slope(w, ratio, a) * ratio * (1 - ratio * old);

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const dot = (x, y) => x.reduce((sum, v, d) => sum + v * y[d], 0);

/** The batch before each of ten steps up its mean surrogate, and after the last: ratios, and whose gradient is there. */
export function ascend(w, { features, advantages, weights }, clip = true) {
  const old = features.map((x) => sigmoid(dot(x, weights)));
  const steps = [];
  let theta = weights;
  for (let epoch = 0; epoch <= EPOCHS; epoch += 1) {
    const pi = features.map((x) => sigmoid(dot(x, theta)));
    const ratios = pi.map((p, i) => p / old[i]);
    const alive = ratios.map((ratio, i) => !clip || pushes(w, ratio, advantages[i]));
    const push = ratios.map((ratio, i) => (alive[i] ? advantages[i] * ratio * (1 - pi[i]) : 0));
    theta = theta.map((t, d) => t + (w.rate * dot(push, features.map((x) => x[d]))) / old.length);
    steps.push({ ratios, alive, push });
  }
  return { old, steps };
}

/** The share of samples whose ratio is beyond 1 ± ε, as trainers log it. */
export const clipFraction = ({ low, high }, ratios) => ratios.filter((ratio) => ratio > 1 + high || ratio < 1 - low).length / ratios.length;

/** The epochs in which a sample has no gradient. */
export const still = ({ steps }, i) => steps.flatMap(({ alive }, epoch) => (alive[i] ? [] : [epoch]));

export function python({ ratio, advantage, old, low, high, rate }) {
  return `import torch
from rlcourse.deep.ppo_losses import clipped_surrogate
from rlcourse.playgrounds.ppo import Settings, ascend

ratio = torch.tensor(${ratio}, dtype=torch.float64)
log_ratio = ratio.log().requires_grad_()
advantage = torch.tensor(${advantage}, dtype=torch.float64)
surrogate = clipped_surrogate(log_ratio, advantage, ${low}, ${high})
surrogate.backward()
slope = log_ratio.grad / ratio  # since d log ρ = dρ / ρ
print(f"L = {surrogate:.4f}, dL/dρ = {slope:.4f}")
print(f"dL/dz = {log_ratio.grad * (1 - ratio * ${old}):.4f}")

batch = ascend(Settings(low=${low}, high=${high}, rate=${rate}))
for epoch, alive in enumerate(batch.alive):
    print(f"epoch {epoch}: {(~alive).sum()} of {len(alive)} without gradient")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.ppo, .even { display: grid; gap: .9rem; } .ppo > *, .even > * { min-width: 0; } .even { align-items: start; }
.story { font-weight: 650; font-size: 1.02rem; min-height: 2.9em; } .stage { position: relative; } .drag { position: absolute; inset: 0; cursor: ew-resize; touch-action: pan-y; } .drag.tap { cursor: pointer; touch-action: auto; } .drag.up { cursor: ns-resize; touch-action: none; }
.curve, .batch { border-radius: 8px; } .head { margin-bottom: .5rem; } .curve text, .bars text, .batch text { font-size: 12px; fill: var(--mut); } .curve path, .bars path, .batch path { fill: none; }
.curve text, .bars text { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.curve text.strong, .bars text.strong { font-weight: 700; fill: var(--ink); font-size: 13px; } .curve text.push, .bars text.push { fill: var(--warm); font-weight: 700; font-size: 14px; }
.inside { fill: rgb(var(--pos) / .09); } .hatch { stroke: var(--mut); stroke-width: 1.3; opacity: .62; } .edge { stroke: var(--mut); stroke-dasharray: 4 3; } .base { stroke: var(--edge); }
path.L { stroke: rgb(var(--pos)); stroke-width: 3.5; stroke-linejoin: round; stroke-linecap: round; } path.raw, .legend path.raw { stroke: var(--mut); stroke-width: 1.8; stroke-dasharray: 3 4; }
path.stem { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 2 3; } path.lost { stroke: var(--warm); stroke-width: 2.2; stroke-dasharray: 2 2.5; }
path.push, .legend path.push { stroke: var(--warm); stroke-width: 3.2; stroke-linecap: round; stroke-linejoin: round; } .knob { fill: var(--card); stroke: var(--ink); stroke-width: 3.5; }
.zone { fill: var(--panel); stroke: var(--line); } .curve .zone.mine { stroke: var(--ink); stroke-width: 1.6; fill: none; } .curve text.in { stroke: var(--panel); } .own text.in { fill: var(--ink); font-weight: 600; }
.bar { fill: rgb(var(--pos)); fill-opacity: .75; transition: y .2s, height .2s; } .bar.rest { fill: var(--mut); fill-opacity: .55; } .ghost, .legend path.ghost { fill: none; stroke: var(--ink); stroke-dasharray: 4 3; stroke-width: 1.5; }
.limit, .legend path.limit { stroke: var(--ink); stroke-width: 2.5; } .bars { max-width: 380px; }
.ppo .sum { margin: 0; } .ppo .sum p + p { margin-top: .4rem; } .ppo .sum .part { margin-right: .3em; } .ppo .legend { margin-top: .25rem; }
.row0 { fill: var(--panel); } .row0.picked { stroke: var(--ink); stroke-width: 2; } .way { stroke-width: 2; opacity: .5; } .was { opacity: .5; } .good { stroke: rgb(var(--pos)); } .poor { stroke: rgb(var(--neg)); } circle.good { fill: rgb(var(--pos)); } circle.poor { fill: rgb(var(--neg)); }
circle.dead { fill: var(--card); stroke-width: 2; } path.x { stroke: var(--ink); stroke-width: 1.8; } path.free, .legend path.free { stroke: var(--mut); stroke-width: 1.6; } path.arrow { stroke-width: 2.4; stroke-linecap: round; stroke-linejoin: round; }
.batch text.right { text-anchor: end; } .batch text.ink { fill: var(--ink); font-weight: 650; } .legend circle { stroke-width: 2; } .head { display: grid; gap: .1rem; } .time .slider { grid-template-columns: 5.2rem 1fr 3.9rem; } .time output { white-space: nowrap; }
@container (max-width: 559px) { .story { min-height: 5.6em; } }
.split { border-top: 1px solid var(--line); padding-top: .9rem; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; gap: .9rem 1.4rem; } .even.mid { align-items: center; } }
@media (prefers-reduced-motion: reduce) { .bar { transition: none; } }
`;

const [L, R] = [44, 30]; // margins of both pictures, which share their axis
const [TOP, FLOOR, STRIP, H] = [24, 206, 26, 290]; // of the curve, in pixels
const [ROW, ROWS] = [24, 20]; // height of a row of the batch; where the first begins
const [BW, BH, BFLOOR, BFULL] = [320, 224, 178, 150];
const show = (svg, ...kids) => svg.replaceChildren(s("g", {}, kids));
const path = (kind, d) => s("path", { class: kind, d });
const label = (kind, x, y, words, anchor = "middle") => s("text", { class: kind, x, y, "text-anchor": anchor }, words);
const hatch = (id) => s("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("path", { class: "hatch", d: "M0 0V6" }));
const cross = (x, y, r) => `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
const plus = (x, digits = 2) => (x > 0 ? "+" : "") + num(x, digits);
const short = (x) => num(x, Math.abs(100 * x - Math.round(100 * x)) < 1e-6 ? 2 : 3); // a ratio of the batch has more digits
const arrow = (x, y, dx, dy, head = 8) => {
  const size = Math.hypot(dx, dy) || 1;
  const [u, v] = [(dx / size) * head, (dy / size) * head];
  return `M${x} ${y}l${dx} ${dy}m${-u - 0.6 * v} ${-v + 0.6 * u}l${u + 0.6 * v} ${v - 0.6 * u}l${-u + 0.6 * v} ${-v - 0.6 * u}`;
};

export function mount(host, data, { onState = () => {} } = {}) {
  const w = copyOf(data.settings);
  const { advantages, golden } = data;
  const N = advantages.length;
  let run, free; // the batch with and without the clip
  let picked = null; // the sample of the batch that the curve shows
  let W = 640; // width of the pictures in CSS pixels, so that their text keeps its size
  solve();
  const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
  const mine = [surrogate(w, w.ratio, w.advantage), slope(w, w.ratio, w.advantage), ...run.steps.at(-1).ratios, ...run.steps.map(({ alive }) => alive.filter(Boolean).length), ...free.steps.at(-1).ratios];
  const theirs = [golden.surrogate, golden.slope, ...golden.ratios, ...golden.alive, ...golden.unclipped];
  if (!theirs.every((x, i) => near(mine[i], x))) throw new Error("values differ from the package's");

  function solve() {
    run = ascend(w, data);
    free = ascend(w, data, false);
    if (picked !== null) Object.assign(w, { ratio: run.steps[w.epoch].ratios[picked], advantage: advantages[picked], old: run.old[picked] });
  }

  const ui = frame(host, {
    title: data.title ?? "Where does PPO stop pushing?",
    lead: ["A sample's surrogate is ", math("L"), " = min(", math("ρ"), math("A"), ", clip(", math("ρ"), ", 1\u00a0−\u00a0ε, 1\u00a0+\u00a0ε)\u00a0", math("A"), "), where the ratio ", math("ρ"), " is the new probability of its action over the old one. Drag the point, or the bar."],
    css: STYLE,
  });

  // --- controls
  const rate = (field, words, name, [min, max, step, digits]) => slider({ label: words, name, min, max, step, value: w[field], format: (x) => num(x, digits), oninput: (x) => change({ [field]: x }) });
  const controls = {
    advantage: rate("advantage", math("A"), "advantage A of the sample", [-2, 2, 0.1, 1]),
    old: rate("old", math("π_old"), "old probability of the action", [0.05, 0.95, 0.05, 2]),
    high: rate("high", "ε above", "epsilon above 1", [0, 0.5, 0.01, 2]),
    low: rate("low", "ε below", "epsilon below 1", [0, 0.5, 0.01, 2]),
    rate: rate("rate", "step size", "step size of the ascent on the batch", [0.25, 2, 0.25, 2]),
  };
  const scrub = slider({ label: "steps done", name: "steps done on the batch", min: 0, max: EPOCHS, step: 1, value: w.epoch, format: (x) => `${x} of ${EPOCHS}`, oninput: (epoch) => change({ epoch }) });
  const runner = player((first) => (apply({ epoch: first && w.epoch === EPOCHS ? 0 : Math.min(EPOCHS, w.epoch + 1) }), w.epoch < EPOCHS), () => 700);
  const back = button("Back", () => change({ epoch: Math.max(0, w.epoch - 1) }));
  const next = button("Next step", () => change({ epoch: Math.min(EPOCHS, w.epoch + 1) }));
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const story = h("p", { class: "story" });
  const [sums, told] = ["sum", "head"].map((kind) => h("div", { class: kind }));
  const curve = s("svg", { class: "curve", tabindex: 0, role: "slider", onkeydown: turn });
  const bars = s("svg", { class: "bars", viewBox: `0 0 ${BW} ${BH}`, role: "img" });
  const batch = s("svg", { class: "batch", tabindex: 0, role: "slider", "aria-orientation": "vertical", onkeydown: choose });
  const x = (ratio) => L + ((W - L - R) * ratio) / FARTHEST;

  const over = (shape, move, kind = "drag") => {
    const grab = (event) => {
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      curve.focus({ preventScroll: true });
      follow(event);
    };
    const follow = (event) => {
      const box = shape.getBoundingClientRect();
      if (event.buttons) move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    return h("div", { class: "stage" }, shape, h("div", { class: kind, onpointerdown: grab, onpointermove: follow })); // of HTML: within SVG a finger would scroll
  };
  const setRatio = (ratio) => change({ ratio: Math.round(100 * Math.max(0.05, Math.min(reach(w.old), ratio))) / 100 });
  const pick = (i) => {
    picked = Math.max(0, Math.min(N - 1, i));
    change({});
  };
  function turn(event) {
    const by = { ArrowRight: 0.05, ArrowUp: 0.05, ArrowLeft: -0.05, ArrowDown: -0.05, PageUp: 0.25, PageDown: -0.25 }[event.key];
    if (!by) return;
    event.preventDefault();
    setRatio(w.ratio + by);
  }
  function choose(event) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    pick(picked === null ? (by > 0 ? 0 : N - 1) : picked + by);
  }
  new ResizeObserver(() => {
    const now = Math.round(Math.max(260, Math.min(900, curve.getBoundingClientRect().width)));
    if (now !== W) draw((W = now));
  }).observe(curve);

  const circle = (kind, dead) => s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, s("circle", { class: kind, cx: 13, cy: 5, r: 5 }), dead && path("x", cross(13, 5, 2)));
  const hatched = s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, s("defs", {}, hatch("h3")), s("rect", { width: 26, height: 10, fill: "url(#h3)" }));
  ui.body.append(
    h("div", { class: "ppo" },
      story,
      h("div", {},
        over(curve, (across) => setRatio(((across * W - L) / (W - L - R)) * FARTHEST)),
        h("p", { class: "legend" }, key("L", "surrogate L"), key("raw", "unclipped ρA"), key("push", "push: uphill"), h("span", {}, hatched, " slope 0: no push")),
      ),
      h("div", { class: "even" },
        h("div", {}, controls.advantage.el, controls.old.el),
        h("div", {}, controls.high.el, controls.low.el),
      ),
      h("div", { class: "even mid" },
        h("div", {},
          h("p", { class: "cap" }, "The policy: what this ratio means"),
          over(bars, (_, down) => setRatio((BFLOOR - down * BH) / BFULL / w.old), "drag up"),
          h("p", { class: "legend" }, key("ghost", "old policy", "M6 0.5h14v9h-14Z"), key("limit", "(1 ± ε) of the old")),
        ),
        h("div", { class: "panel" }, h("p", { class: "cap" }, "In numbers"), sums),
      ),
      h("div", { class: "split" },
        told,
        h("div", { class: "stage" }, batch, h("div", { class: "drag tap", onclick: (event) => (batch.focus({ preventScroll: true }), pick(Math.floor((event.offsetY - ROWS) / ROW))) })),
        h("p", { class: "legend" }, h("span", {}, circle("good"), " A > 0"), h("span", {}, circle("poor"), " A < 0"), h("span", {}, circle("dead good", true), " no gradient now"), key("free", "without the clip", "M13 0l5 5l-5 5l-5 -5Z"), h("span", {}, "first ✕: steps until its gradient was gone")),
      ),
      h("div", { class: "even noprint time" },
        h("div", {}, scrub.el, h("div", { class: "row" }, back, next, runner.el)),
        controls.rate.el,
      ),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields) {
    runner.stop();
    apply(fields);
  }

  function apply(fields) {
    ask.clear();
    copy.clear();
    if (["ratio", "advantage", "old"].some((field) => field in fields)) picked = null;
    Object.assign(w, copyOf(fields));
    solve();
    if (picked === null) w.ratio = Math.min(w.ratio, reach(w.old));
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    scrub.set(w.epoch);
    draw();
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    picked = null;
    change({ ...data.settings, ...fields });
  }

  // --- drawing
  function draw() {
    back.disabled = w.epoch === 0;
    next.disabled = w.epoch === EPOCHS;
    tell();
    drawCurve();
    drawBars();
    drawSums();
    drawBatch();
  }

  function above() {
    return w.ratio > 1 + w.high;
  }

  function below() {
    return w.ratio < 1 - w.low;
  }

  function tell() {
    const [up, down] = [`1\u00a0+\u00a0ε\u00a0=\u00a0${num(1 + w.high)}`, `1\u00a0−\u00a0ε\u00a0=\u00a0${num(1 - w.low)}`];
    const rho = `ρ\u00a0=\u00a0${short(w.ratio)}`;
    const who = picked === null ? "" : `Sample ${picked + 1}: `;
    const words =
      w.advantage === 0 ? "A = 0: no better and no worse than expected. There is nothing to push."
      : w.advantage > 0
        ? above() ? `${rho} is beyond ${up}: the slope is 0. A step further would pay nothing, so nothing pushes it further.`
          : below() ? `${rho} is below ${down}, and yet the slope is full: a good action became rarer, and PPO pushes it back up.`
            : `Within the clip the slope is A: a good action, pushed up until ${up}.`
        : below() ? `${rho} is below ${down}: the slope is 0. The bad action is rare enough, so nothing pushes it further.`
          : above() ? `${rho} is beyond ${up}, and yet the slope is full: a bad action became likelier, and PPO pushes it back down.`
            : `Within the clip the slope is A: a bad action, pushed down until ${down}.`;
    story.textContent = who + words;
  }

  function drawCurve() {
    const sign = w.advantage < 0 ? -1 : 1;
    const unit = Math.abs(w.advantage) || 1; // the picture is the same for all A of one sign
    const y = (v) => (sign > 0 ? FLOOR : TOP) - ((FLOOR - TOP) * v) / unit / FARTHEST;
    const [lo, hi, end] = [1 - w.low, 1 + w.high, FARTHEST];
    const value = surrogate(w, w.ratio, w.advantage);
    const g = slope(w, w.ratio, w.advantage);
    const [px, py, raw] = [x(w.ratio), y(value), y(w.ratio * w.advantage)];
    const bend = [0, sign > 0 ? hi : lo, end].map((ratio) => `${x(ratio)} ${y(surrogate(w, ratio, w.advantage))}`);
    const flat = sign > 0 ? [hi, end] : [0, lo];
    const box = (kind, from, to, top, tall, extra = {}) => s("rect", { class: kind, x: x(from), width: Math.max(0, x(to) - x(from)), y: top, height: tall, ...extra });
    const k = (FLOOR - TOP) / (W - L - R); // of a line of slope 1, on the screen
    const long = 54 / Math.hypot(1, k);
    const left = sign > 0 ? w.ratio > 1.55 : g ? w.ratio > 1.55 : px > L + 64; // the side of the label
    const wall = 1 / w.old;
    const ticks = [0, 0.5, 1, 1.5, 2].filter((t) => Math.abs(x(t) - px) > 42);
    const strip = (positive, top) => {
      const parts = positive ? [["slope A: back up", 0, lo], ["slope A", lo, hi], ["slope 0: enough", hi, end]] : [["slope 0: enough", 0, lo], ["slope A", lo, hi], ["slope A: back down", hi, end]];
      const dead = positive ? 2 : 0;
      const own = w.advantage !== 0 && positive === w.advantage > 0;
      const fits = (words, room) => [words, words.split(":")[0], words[6]].find((text) => 6.6 * text.length + 8 < room);
      return s("g", { class: own ? "own" : "" },
        label(own ? "strong" : "", L - 6, top + 15, positive ? "A > 0" : "A < 0", "end"),
        parts.map(([words, from, to], i) => [
          box("zone", from, to, top, STRIP - 4),
          i === dead && box("", from, to, top, STRIP - 4, { fill: "url(#h1)" }),
          fits(words, x(to) - x(from)) && label("in", (x(from) + x(to)) / 2, top + 15, fits(words, x(to) - x(from))),
          own && (i === 0 ? below() : i === 2 ? above() : !above() && !below()) && box("zone mine", from, to, top, STRIP - 4),
        ]),
      );
    };
    curve.setAttribute("viewBox", `0 0 ${W} ${H}`);
    Object.assign(curve, { ariaLabel: "ratio ρ of the sample", ariaValueMin: 0.05, ariaValueMax: reach(w.old), ariaValueNow: w.ratio, ariaValueText: `ratio ${short(w.ratio)}, surrogate ${num(value)}, slope ${num(g)}` });
    const at = FLOOR + 34;
    show(curve,
      s("defs", {}, hatch("h1")),
      box("inside", lo, hi, TOP, FLOOR - TOP),
      w.advantage !== 0 && box("", ...flat, TOP, FLOOR - TOP, { fill: "url(#h1)", opacity: 0.45 }),
      path("edge", `M${x(lo)} ${TOP - 6}V${FLOOR}M${x(hi)} ${TOP - 6}V${FLOOR}`),
      label("", x(lo) + 4, 12, `1 − ε = ${num(lo)}`, "end"),
      label("", x(hi) - 4, 12, `1 + ε = ${num(hi)}`, "start"),
      path("base", `M${L} ${y(0)}H${W - R}`),
      label("", L - 6, y(0) + 4, "0", "end"),
      label("", L - 6, y(sign * unit) + 4, num(sign * unit, 1), "end"),
      path("grid", `M${L} ${y(sign * unit)}H${W - R}`),
      wall < end && [s("rect", { x: x(wall), y: TOP, width: x(end) - x(wall), height: FLOOR - TOP, fill: "var(--panel)", stroke: "var(--edge)" }), x(end) - x(wall) > 100 && label("", (x(wall) + x(end)) / 2, (TOP + FLOOR) / 2, "no such ratio: π > 1")],
      path("raw", `M${x(0)} ${y(0)}L${x(Math.min(end, wall))} ${y(Math.min(end, wall) * w.advantage)}`),
      path("L", wall < end ? `M${[0, Math.min(wall, sign > 0 ? hi : lo), wall].map((ratio) => `${x(ratio)} ${y(surrogate(w, ratio, w.advantage))}`).join("L")}` : `M${bend.join("L")}`),
      path("stem", `M${px} ${py}V${H - 4}`),
      Math.abs(raw - py) > 1 && path("lost", `M${px} ${py}V${raw}`),
      ticks.map((t) => label("", x(t), FLOOR + 17, num(t, 1))),
      strip(true, at),
      strip(false, at + STRIP),
      g !== 0 && path("push", arrow(px, py, sign * long, -k * long)),
      s("circle", { class: "knob", cx: px, cy: py, r: 9 }),
      g === 0 && path("push", cross(px, py, 3)),
      label("push", px + (left ? -14 : 14), py + (sign > 0 || !g ? 25 : -14), g === 0 ? "slope 0" : `slope ${plus(g, 1)}`, left ? "end" : "start"),
      label("strong", px, FLOOR + 18, `ρ = ${short(w.ratio)}`),
    );
  }

  function drawBars() {
    const now = w.ratio * w.old;
    const g = logitSlope(w, w.ratio, w.advantage, w.old);
    const y = (p) => BFLOOR - BFULL * p;
    const wide = 76;
    const digits = (p) => num(p, p < 0.1 ? 3 : 2);
    const bar = (middle, kind, p, old, name, push) => {
      const left = middle - wide / 2;
      const tip = middle + wide / 2 + 20;
      const long = Math.sign(push) * Math.min(64, Math.max(12, 70 * Math.abs(push / (w.advantage || 1))));
      return [
        s("rect", { class: `bar ${kind}`, x: left, width: wide, y: y(p), height: BFULL * p, rx: 2 }),
        s("rect", { class: "ghost", x: left, width: wide, y: y(old), height: BFULL * old, rx: 2 }),
        label("strong", middle, y(Math.max(p, old)) - 7, digits(p)),
        label("", middle, BFLOOR + 17, name),
        push ? path("push", arrow(tip, Math.min(y(p) + (long > 0 ? 20 : 0), BFLOOR + Math.min(0, long)), 0, -long)) : path("push", cross(tip, y(Math.max(p, 0.12)) + 8, 4)),
        label("push", middle, BFLOOR + 36, `∂L/∂z = ${push ? plus(push) : "0"}`),
      ];
    };
    const mine = 92;
    const limits = [1 + w.high, 1 - w.low].map((ratio) => ratio * w.old);
    bars.ariaLabel = `Probability of the action ${num(now)}, before ${num(w.old)}; gradient of its logit ${num(g)}`;
    show(bars,
      bar(mine, "", now, w.old, "this action", g),
      bar(234, "rest", 1 - now, 1 - w.old, "all others", -g),
      path("base", `M30 ${BFLOOR}H${BW - 6}`),
      path("grid", `M30 ${y(1)}H${BW - 6}`),
      [0, 1].map((p) => Math.min(...limits.map((q) => Math.abs(q - p))) > 0.09 && label("", 24, y(p) + 4, p, "end")),
      limits.map((p, i) => p < 1 && [path("limit", `M${mine - wide / 2 - 8} ${y(p)}h13m${wide - 10} 0h13`), (i === 0 || y(p) - y(limits[0]) > 12) && label("", mine - wide / 2 - 11, y(p) + 4, digits(p), "end")]),
    );
  }

  function drawSums() {
    const [a, rho, pi] = [w.advantage, short(w.ratio), w.ratio * w.old];
    const A = a < 0 ? `(${num(a, 1)})` : num(a, 1);
    const cut = clipped(w, w.ratio);
    const g = slope(w, w.ratio, a);
    const of = (v) => (v ? num(v, 1) : "0");
    const [raw, kept] = [w.ratio * a, cut * a];
    const why = !a ? "as A = 0" : !g ? "min takes the clipped one, a constant" : cut === w.ratio ? "L = ρA here" : "min takes ρA";
    sums.replaceChildren(
      lines(["ρ = π/", math("π_old")], `= ${num(pi, 3)}/${num(w.old, 3)}`, `= ${rho}`),
      lines("unclipped:", `ρA = ${rho} × ${A}`, `= ${num(raw)}`),
      lines("clipped:", `clip(ρ, ${num(1 - w.low)}, ${num(1 + w.high)}) A`, `= ${short(cut)} × ${A} = ${num(kept)}`),
      lines(`L = min(${num(raw)}, ${num(kept)})`, `= ${num(Math.min(raw, kept))}`),
      lines(`dL/dρ ${g ? "= A " : ""}= ${of(g)}:`, why),
      lines("∂L/∂z = dL/dρ · ρ(1 − π)", `= ${g < 0 ? `(${of(g)})` : of(g)} × ${rho} × ${num(1 - pi)}`, `= ${num(logitSlope(w, w.ratio, a, w.old))}`),
    );
  }

  function drawBatch() {
    const { ratios, alive, push } = run.steps[w.epoch];
    const dead = alive.filter((on) => !on).length;
    const share = clipFraction(w, ratios);
    const [lo, hi] = [1 - w.low, 1 + w.high];
    const first = w.epoch === 0 && "Every ratio is 1: the first step is a plain policy gradient.";
    told.replaceChildren(
      h("p", { class: "cap" }, `One batch, used ten times: ${N} samples, one policy`),
      h("p", { class: "count" }, `${dead} of ${N} have no gradient left`),
      h("p", { class: "note" }, first || `${Math.round(N * share)} are outside ${num(lo)} to ${num(hi)}: a clip fraction of ${num(share)}. Choose a sample to follow it on the curve.`),
    );
    const bottom = ROWS + N * ROW;
    batch.setAttribute("viewBox", `0 0 ${W} ${bottom + 22}`);
    const spoken = picked === null ? "none chosen" : `sample ${picked + 1}, A ${num(advantages[picked], 1)}, ratio ${short(ratios[picked])}, ${alive[picked] ? "with gradient" : "no gradient"}`;
    Object.assign(batch, { ariaLabel: "sample of the batch that the curve shows", ariaValueMin: 0, ariaValueMax: N, ariaValueNow: picked === null ? 0 : picked + 1, ariaValueText: spoken });
    const rect = (kind, from, to, top, extra) => s("rect", { class: kind, x: x(from), width: Math.max(0, x(to) - x(from)), y: top, height: ROW - 4, ...extra });
    const row = (a, i) => {
      const [top, middle] = [ROWS + i * ROW, ROWS + i * ROW + ROW / 2 - 2];
      const kind = a > 0 ? "good" : "poor";
      const px = x(ratios[i]);
      const seen = run.steps.slice(0, w.epoch).map((step) => x(step.ratios[i]));
      const gone = still(run, i).filter((epoch) => epoch <= w.epoch);
      const loose = x(free.steps[w.epoch].ratios[i]);
      const far = Math.sign(a) * (12 + 26 * Math.min(1, Math.abs(push[i])));
      return [
        rect(`row0 ${i === picked ? "picked" : ""}`, 0, FARTHEST, top, { rx: 4 }),
        rect("", ...(a > 0 ? [hi, FARTHEST] : [0, lo]), top, { fill: "url(#h2)", opacity: 0.7 }),
        label("right", L - 6, middle + 4, plus(a, 1), "end"),
        seen.length > 0 && path(`way ${kind}`, `M${Math.min(px, ...seen)} ${middle}H${Math.max(px, ...seen)}`),
        seen.map((cx) => s("circle", { class: `was ${kind}`, cx, cy: middle, r: 2.4 })),
        path("free", `M${loose} ${middle - 5}l5 5l-5 5l-5 -5Z`),
        alive[i] && path(`arrow ${kind}`, arrow(px, middle, far, 0, 6)),
        s("circle", { class: `${kind} ${alive[i] ? "" : "dead"}`, cx: px, cy: middle, r: 6 }),
        !alive[i] && path("x", cross(px, middle, 2.4)),
        label(gone.length ? "ink" : "", W - R + 14, middle + 4, gone.length ? gone[0] : "–"),
      ];
    };
    show(batch,
      s("defs", {}, hatch("h2")),
      label("", L - 6, 12, "A", "end"),
      label("", W, 12, "first ✕", "end"),
      label("", x(1), 12, "ratio ρ"),
      advantages.map(row),
      path("edge", `M${x(lo)} ${ROWS - 3}V${bottom}M${x(hi)} ${ROWS - 3}V${bottom}`),
      [0, 0.5, 1, 1.5, 2].map((t) => label("", x(t), bottom + 13, num(t, 1))),
    );
  }

  const state = () => ({ settings: copyOf(w), surrogate: surrogate(w, w.ratio, w.advantage), slope: slope(w, w.ratio, w.advantage), logit: logitSlope(w, w.ratio, w.advantage, w.old), sample: picked, ratios: [...run.steps[w.epoch].ratios], alive: [...run.steps[w.epoch].alive] });
  draw();
  return { state, set: change };
}

mountAll("ppo", mount);
