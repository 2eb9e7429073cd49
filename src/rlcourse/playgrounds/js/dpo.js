// Direct preference optimisation: the implicit rewards of a pair, their margin, a loss of it, and what its push moves.
import { button, choice, copyButton, copyOf, frame, h, key, lines, math, mountAll, num, player, prompts, raised, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.alignment.dpo, and the playground's steps
const [LEAST, MOST] = [-60, -10]; // log-probabilities that the picture shows
const STEPS = 20; // of gradient ascent at a press
const RATE = 0.1; // nats by which the first step from the reference would move an answer by itself
const LONGER = 2; // the gradient of the rejected answer's log π, that of the chosen being 1
const NAMES = { dpo: "DPO", cdpo: "cDPO", ipo: "IPO", hinge: "hinge" };

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))); // -log σ(-x)
const epsilon = ({ loss, smoothing }) => (loss === "cdpo" ? smoothing : 0);

/** log π/π_ref of the chosen and of the rejected. */
export const logRatios = (w, [chosen, rejected]) => [w.chosen - chosen, w.rejected - rejected];

export const marginOf = (w, [chosen, rejected]) => w.chosen - w.rejected - (chosen - rejected);

/** The margin beyond which the loss doesn't push up any more; DPO has none. */
export function goal({ loss, beta, smoothing }) {
  return { ipo: 0.5, hinge: 1, cdpo: Math.log((1 - smoothing) / smoothing), dpo: Infinity }[loss] / beta;
}

export function lossOf(w, margin) {
  const x = w.beta * margin;
  if (w.loss === "ipo") return (margin - goal(w)) ** 2;
  if (w.loss === "hinge") return Math.max(0, 1 - x);
  return (1 - epsilon(w)) * softplus(-x) + epsilon(w) * softplus(x);
}

/** -dL/dh: the push on log π of the chosen, and its opposite that on the rejected. */
export function weightOf(w, margin) {
  const x = w.beta * margin;
  if (w.loss === "ipo") return -2 * (margin - goal(w));
  if (w.loss === "hinge") return x < 1 ? w.beta : 0;
  return w.beta * (sigmoid(-x) - epsilon(w));
}

/** How far a push of 1 on the chosen and of -1 on the rejected moves each, through the weights that they share. */
export const moves = ({ overlap }) => [1 - LONGER * overlap, LONGER * overlap - LONGER ** 2];

/** log π of both answers after 20 steps down the loss, or as many as stay within the picture. */
export function trained(w, reference) {
  const rate = RATE / weightOf(w, 0);
  let now = { ...w };
  for (let step = 0; step < STEPS; step += 1) {
    const push = rate * weightOf(now, marginOf(now, reference));
    const [chosen, rejected] = moves(w).map((by, i) => [now.chosen, now.rejected][i] + push * by);
    if (Math.min(chosen, rejected) < LEAST || Math.max(chosen, rejected) > MOST) break;
    now = { ...now, chosen, rejected };
  }
  return [now.chosen, now.rejected];
}

export function python({ chosen, rejected, beta, loss, smoothing, overlap }, reference) {
  const name = `${loss === "cdpo" ? "dpo" : loss}_loss`;
  const call = (margin) => `${name}(${margin}, ${beta}${loss === "cdpo" ? `, smoothing=${smoothing}` : ""})`;
  return `import torch
from rlcourse.alignment.dpo import ${name}, implicit_reward, preference_margin

log_prob = torch.tensor([${chosen}, ${rejected}], dtype=torch.float64, requires_grad=True)
log_prob_ref = torch.tensor([${reference}], dtype=torch.float64)
reward = implicit_reward(log_prob, log_prob_ref, ${beta})
margin = preference_margin(*log_prob, *log_prob_ref)
loss = ${call("margin")}
(push,) = torch.autograd.grad(-loss, log_prob)
print(f"rewards {reward[0]:.4f}, {reward[1]:.4f}")
print(f"h = {margin:.4f}, P = {torch.sigmoid(${beta} * margin):.6f}")
print(f"L = {loss:.6f}, pushes {push[0]:.6f}, {push[1]:.6f}")

# the products of both answers' gradients, through which the pushes act
products = torch.tensor([[1, ${LONGER * overlap}], [${LONGER * overlap}, ${LONGER ** 2}]], dtype=torch.float64)
moved = products @ push
print(f"moved as {moved[0]:.6f}, {moved[1]:.6f}")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.dpo, .even { display: grid; gap: .9rem; } .dpo > *, .even > * { min-width: 0; } .even { align-items: start; }
.story { font-weight: 650; font-size: 1.02rem; min-height: 4.3em; } .stage { position: relative; } .drag { position: absolute; inset: 0; cursor: ew-resize; touch-action: pan-y; } .stage + .stage { margin-top: .5rem; }
.lane { border-radius: 8px; } .lane text, .curve text, .odds text { font-size: 12px; fill: var(--mut); } .lane path, .curve path { fill: none; }
.lane text, .curve text { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; } .lane text { stroke: var(--panel); }
.lane text.strong, .curve text.strong { font-size: 13px; font-weight: 700; fill: var(--ink); } .lane text.head { font-size: 14px; font-weight: 700; fill: var(--ink); }
.back { fill: var(--panel); } path.rail { stroke: var(--edge); stroke-width: 1.5; } path.tick { stroke: var(--line); } .bar { transition: x .15s, width .15s; }
.bar.chosen { fill: rgb(var(--pos)); fill-opacity: .75; } .bar.rejected { fill: rgb(var(--neg)); fill-opacity: .8; } .hatch { stroke: var(--card); stroke-width: 2; opacity: .8; } .soft { stroke: var(--mut); stroke-width: 1.3; opacity: .5; }
path.ref, .legend path.ref { stroke: var(--ink); stroke-width: 3; } .knob { fill: var(--card); stroke: var(--ink); stroke-width: 3.5; } .was { fill: var(--ink); opacity: .45; }
path.push, .legend path.push { stroke: var(--ink); stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; } path.move, .legend path.move { stroke: var(--warm); stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; }
.lane text.push { fill: var(--ink); font-weight: 650; } .lane text.move { fill: var(--warm); font-weight: 700; }
path.curve0 { stroke: rgb(var(--pos)); stroke-width: 3.2; stroke-linejoin: round; stroke-linecap: round; } path.others { stroke: var(--line); } path.base { stroke: var(--edge); } path.stem { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 2 3; } path.goal { stroke: var(--warm); stroke-width: 2.2; stroke-dasharray: 5 3; }
.curve text.goal { fill: var(--warm); font-weight: 700; } .point { fill: var(--card); stroke: var(--ink); stroke-width: 3.2; } .curve text.title0 { font-weight: 650; fill: var(--ink); }
.odds text.in { fill: var(--ink); font-size: 13px; font-weight: 650; paint-order: stroke; stroke: var(--card); stroke-width: 4px; } .rest0 { fill: var(--panel); stroke: var(--edge); }
.dpo .sum { margin: 0; } .dpo .sum p + p { margin-top: .4rem; } .dpo .legend { margin-top: .3rem; } .slider[hidden] { display: none; } .dpo button:disabled { color: var(--mut); border-style: dashed; cursor: default; } .dpo .row { gap: .5rem; margin-top: .5rem; }
@container (max-width: 559px) { .story { min-height: 7.2em; } }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; gap: .9rem 1.4rem; } }
@media (prefers-reduced-motion: reduce) { .bar { transition: none; } }
`;

const [LANE, RAIL] = [100, 50]; // height of a lane; where its line is
const [TOP, MID, GAP, LOW, H] = [22, 150, 44, 290, 334]; // the loss from TOP to MID, its slope from MID + GAP to LOW
const [L, R] = [44, 14]; // margins of the curves
const [HMIN, HMAX] = [-54, 46]; // margins within the picture
const show = (svg, ...kids) => svg.replaceChildren(s("g", {}, kids));
const path = (kind, d) => s("path", { class: kind, d });
const label = (kind, x, y, words, anchor = "middle") => s("text", { class: kind, x, y, "text-anchor": anchor }, words);
const hatch = (id, kind) => s("defs", {}, s("pattern", { id, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("path", { class: kind, d: "M0 0V7" })));
const plus = (x, text) => (x > 0 ? "+" : "") + text;
const brief = (x) => { // with two digits or more
  const size = Math.abs(x);
  if (size < 1e-12) return "0";
  if (size >= 1) return num(x, size < 10 ? 2 : size < 100 ? 1 : 0);
  const digits = Math.min(9, 1 - Math.floor(Math.log10(size)));
  return num(x, Math.max(2, digits));
};
const share = (p) => num(p, p > 0.999 || p < 0.001 ? 6 : 3);
const times = (nats) => { // e^nats
  const x = Math.exp(nats);
  const power = Math.floor(Math.log10(x));
  return x < 9.95 ? num(x, 1) : x < 99950 ? String(Math.round(x)).replace(/(\d)(?=\d{3}$)/, "$1,") : `${num(x / 10 ** power, 1)} × 10${raised(power)}`;
};
const arrow = (x, y, dx, head = 7) => `M${x} ${y}h${dx}m${-head * Math.sign(dx)} ${-0.6 * head}l${head * Math.sign(dx)} ${0.6 * head}l${-head * Math.sign(dx)} ${0.6 * head}`;

export function mount(host, data, { onState = () => {} } = {}) {
  const w = copyOf(data.settings);
  const { golden, reference } = data;
  const WHO = ["chosen", "rejected"];
  let trail = []; // where training came from: [chosen, rejected] before each press
  let W = 640; // width of the pictures in CSS pixels, so that their text keeps its size
  const margin = () => marginOf(w, reference);
  const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
  const each = (f) => Object.keys(NAMES).map((loss) => f({ ...w, loss }, margin()));
  const mine = [margin(), ...each(lossOf), ...each(weightOf), ...trained(w, reference)];
  if (![golden.margin, ...golden.losses, ...golden.weights, ...golden.next].every((x, i) => near(mine[i], x))) throw new Error("values differ from the package's");

  const ui = frame(host, {
    title: data.title ?? "How can DPO be content when the chosen answer became rarer?",
    lead: ["The reward that a policy ", math("π"), " implies for an answer is ", math("β"), "\u00a0(log\u00a0", math("π"), " − log\u00a0", math("π"), " of the reference). A loss sees of two answers only the margin ", math("h"), ": how much more the chosen gained than the rejected. It pushes both with the same weight ", math("w"), "\u00a0=\u00a0−d", math("L"), "/d", math("h"), ". Drag the two points."],
    css: STYLE,
  });

  // --- controls
  const control = (field, words, name, [min, max, step]) => slider({ label: words, name, min, max, step, value: w[field], format: (x) => num(x), oninput: (x) => change({ [field]: x }) });
  const controls = {
    beta: control("beta", math("β"), "beta", [0.05, 0.5, 0.05]),
    overlap: control("overlap", "overlap c", "overlap of the two answers' gradients", [0, 1, 0.05]),
    smoothing: control("smoothing", "cDPO’s ε", "epsilon, the share of wrong labels", [0.01, 0.4, 0.01]),
    loss: choice({ label: "loss", name: "loss", value: w.loss, options: Object.entries(NAMES), onpick: (loss) => change({ loss }) }),
  };
  const press = () => {
    const [chosen, rejected] = trained(w, reference);
    const from = [w.chosen, w.rejected];
    const by = Math.max(...WHO.map((_, i) => Math.abs([chosen, rejected][i] - from[i])));
    if (by > 0) apply({ chosen, rejected }, [...trail, from]);
    return by > 0.05;
  };
  const train = button(`${STEPS} steps`, () => (runner.stop(), press()));
  const runner = player(press, () => 250);
  const home = button("To the reference", () => change({ chosen: reference[0], rejected: reference[1] }));
  const copy = copyButton("Copy as Python", () => python(w, reference));
  const ask = prompts(data.prompts, reset, ui.say);
  const story = h("p", { class: "story" });
  const sums = h("div", { class: "sum" });
  const lanes = WHO.map((who) => s("svg", { class: "lane", tabindex: 0, role: "slider", onkeydown: (event) => turn(event, who) }));
  const [odds, curve] = ["odds", "curve"].map((kind) => s("svg", { class: kind, role: "img" }));
  const x = (logProb) => 16 + ((W - 32) * (logProb - LEAST)) / (MOST - LEAST);
  const across = (margin) => L + ((W - L - R) * (margin - HMIN)) / (HMAX - HMIN);

  const setAnswer = (who, value) => change({ [who]: Math.round(10 * Math.max(LEAST, Math.min(MOST, value))) / 10 });
  function turn(event, who) {
    const by = { ArrowRight: 0.5, ArrowUp: 0.5, ArrowLeft: -0.5, ArrowDown: -0.5, PageUp: 5, PageDown: -5, Home: LEAST, End: -LEAST }[event.key];
    if (!by) return;
    event.preventDefault();
    setAnswer(who, w[who] + by);
  }
  const over = (shape, who) => {
    const follow = (event) => {
      const box = shape.getBoundingClientRect();
      if (event.buttons) setAnswer(who, LEAST + (((event.clientX - box.left) / box.width) * W - 16) / (W - 32) * (MOST - LEAST));
    };
    const grab = (event) => {
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      shape.focus({ preventScroll: true });
      follow(event);
    };
    return h("div", { class: "stage" }, shape, h("div", { class: "drag", onpointerdown: grab, onpointermove: follow })); // of HTML: within SVG a finger would scroll
  };
  new ResizeObserver(() => {
    const now = Math.round(Math.max(260, Math.min(900, lanes[0].getBoundingClientRect().width)));
    if (now !== W) draw((W = now));
  }).observe(lanes[0]);

  ui.body.append(
    h("div", { class: "dpo" },
      story,
      h("div", {},
        lanes.map((lane, i) => over(lane, WHO[i])),
        h("p", { class: "legend" }, key("ref", "reference", "M13 0V10"), key("push", "push of the loss", arrow(4, 5, 18, 5)), key("move", "what it moves, through shared weights", arrow(22, 5, -18, 5))),
      ),
      h("div", { class: "even" },
        h("div", {}, controls.loss.el, controls.beta.el, controls.smoothing.el),
        h("div", {}, controls.overlap.el, h("p", { class: "note" }, "c: cosine between the gradients of both log π; the rejected’s is twice as long."), h("div", { class: "row noprint" }, train, runner.el, home)),
      ),
      odds,
      curve,
      h("div", { class: "panel" }, h("p", { class: "cap" }, "In numbers"), sums),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields) {
    runner.stop();
    apply(fields);
  }

  function apply(fields, from = []) {
    ask.clear();
    copy.clear();
    trail = from;
    Object.assign(w, copyOf(fields));
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    draw();
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    change({ ...data.settings, ...fields });
  }

  // --- drawing
  function draw() {
    controls.smoothing.el.hidden = w.loss !== "cdpo";
    tell();
    lanes.forEach(drawLane);
    drawOdds();
    drawCurve();
    drawSums();
  }

  function tell() {
    const [up, down] = logRatios(w, reference);
    const [m, push] = [margin(), weightOf(w, margin())];
    const went = (nats) => (nats > 0 ? "gained" : nats < 0 ? "lost" : "stayed");
    const answers =
      !up && !down ? "The policy is the reference, and both implicit rewards are 0."
      : up < 0 && down < 0 ? `Both answers became rarer than under the reference, the chosen ${times(-up)} times.`
      : up > 0 && down > 0 ? `Both answers became likelier than under the reference, even the rejected, ${times(down)} times.`
      : `The chosen ${went(up)}, the rejected ${went(down)}: ${up > down ? "as one would wish" : "the wrong way round"}.`;
    const kept = push / weightOf(w, 0);
    const loss = ` ${w.loss === "hinge" ? "The hinge" : NAMES[w.loss]} sees only h\u00a0=\u00a0${num(m, 1)}, `;
    const seen =
      push < 0 ? `more than its goal ${num(goal(w), 1)}, and pulls back: the chosen down, the rejected up.`
      : push === 0 ? `${w.loss === "hinge" ? "which is enough" : "its goal"}: no push is left.`
      : m <= 0 ? `and pushes them apart with w\u00a0=\u00a0${brief(push)}.`
      : kept < 0.25 ? `is nearly content, and keeps ${kept < 0.01 ? "less than 1" : num(100 * kept, 0)}\u00a0% of its push at h\u00a0=\u00a00.`
      : `and keeps ${num(100 * kept, 0)}\u00a0% of its push at h\u00a0=\u00a00.`;
    story.textContent = answers + loss + seen;
  }

  /** Pixels of a push: the largest of the curve is long, the least can still be seen. */
  function pixels(push) {
    const most = Math.max(...[HMIN, HMAX].map((m) => Math.abs(weightOf(w, m))));
    return push ? Math.sign(push) * (10 + (24 * Math.abs(push)) / most) : 0;
  }

  function drawLane(svg, i) {
    const who = WHO[i];
    const [now, ref] = [w[who], reference[i]];
    const push = (i ? -1 : 1) * weightOf(w, margin());
    const moved = weightOf(w, margin()) * moves(w)[i];
    const [px, rx] = [x(now), x(ref)];
    const reward = w.beta * (now - ref);
    const [long, far] = [pixels(push), Math.abs(pixels(push)) * Math.abs(moves(w)[i]) * Math.sign(moved)];
    const words = `log π = ${num(now, 1)}`;
    svg.setAttribute("viewBox", `0 0 ${W} ${LANE}`);
    Object.assign(svg, { ariaLabel: `log-probability of the ${who} answer`, ariaValueMin: LEAST, ariaValueMax: MOST, ariaValueNow: now, ariaValueText: `log π ${num(now, 1)}, reward ${num(reward)}, push ${brief(push)}` });
    const edge = (at, half) => Math.max(half + 6, Math.min(W - half - 6, at));
    const beside = (y, kind, shift, text) => { // a label at the tip of an arrow, or on its other side at the border
      const wide = 7.6 * text.length + 12;
      const right = shift > 0 ? px + shift + wide < W : px + shift - wide < 0;
      const from = right ? px + Math.max(shift, 0) + 9 : px + Math.min(shift, 0) - 9;
      return label(kind, from, y, text, right ? "start" : "end");
    };
    const side = px > rx ? 1 : -1; // of the point, seen from the reference
    const close = Math.abs(px - rx) < 92;
    const middle = edge(px + (close ? 34 * side : 0), 50); // of the point's label
    const aside = close ? (side < 0 ? Math.max(rx - 10, middle + 54) : Math.min(rx + 10, middle - 54)) : edge(rx, 30);
    show(svg,
      i === 1 && hatch("p1", "hatch"),
      s("rect", { class: "back", width: W, height: LANE, rx: 8 }),
      label("head", 10, 18, who, "start"),
      label("strong", W - 10, 18, `reward ${plus(reward, num(reward))}`, "end"),
      [-50, -40, -30, -20].map((t) => path("tick", `M${x(t)} ${RAIL - 12}v24`)),
      path("rail", `M${x(LEAST)} ${RAIL}H${x(MOST)}`),
      s("rect", { class: `bar ${who}`, x: Math.min(px, rx), width: Math.abs(px - rx), y: RAIL - 7, height: 14, rx: 2 }),
      i === 1 && s("rect", { x: Math.min(px, rx), width: Math.abs(px - rx), y: RAIL - 7, height: 14, rx: 2, fill: "url(#p1)" }),
      trail.map((both) => s("circle", { class: "was", cx: x(both[i]), cy: RAIL, r: 2.6 })),
      path("ref", `M${rx} ${RAIL - 13}v26`),
      label("", aside, LANE - 7, `ref ${num(ref, 1)}`, !close ? "middle" : side < 0 ? "start" : "end"),
      s("circle", { class: "knob", cx: px, cy: RAIL, r: 9 }),
      label("strong", middle, LANE - 7, words),
      long !== 0 && path("push", arrow(px, RAIL - 18, long)),
      beside(RAIL - 14, "push", long, push ? plus(push, brief(push)) : "no push"),
      far !== 0 && path("move", arrow(px, RAIL + 20, far)),
      push !== 0 && beside(RAIL + 24, "move", far, far ? plus(moved, brief(moved)) : "stands still"),
    );
  }

  function drawOdds() {
    const p = sigmoid(w.beta * margin());
    const wide = (W - 2) * p;
    odds.setAttribute("viewBox", `0 0 ${W} 46`);
    odds.ariaLabel = `Probability that the chosen answer is preferred: ${share(p)}`;
    show(odds,
      label("", 0, 13, "P(chosen is preferred) = σ(βh)", "start"),
      s("rect", { class: "rest0", x: 1, y: 20, width: W - 2, height: 24, rx: 4 }),
      s("rect", { class: "bar chosen", x: 1, y: 20, width: wide, height: 24, rx: 4 }),
      label("in", Math.max(38, Math.min(W - 38, wide / 2)), 37, share(p)),
    );
  }

  function drawCurve() {
    const [m, end] = [margin(), goal(w)];
    const grid = Array.from({ length: 161 }, (_, i) => HMIN + ((HMAX - HMIN) * i) / 160);
    const px = across(m);
    const [value, push] = [lossOf(w, m), weightOf(w, m)];
    const most = Math.max(lossOf(w, HMIN), lossOf(w, HMAX));
    const [lo, hi] = [Math.min(0, weightOf(w, HMAX)), weightOf(w, HMIN)];
    const above = (v) => MID - ((MID - TOP) * v) / most;
    const below = (v) => MID + GAP + ((LOW - MID - GAP) * (hi - v)) / (hi - lo);
    const line = (f) => path("curve0", `M${(w.loss === "hinge" ? [HMIN, end - 1e-9, end + 1e-9, HMAX] : grid).map((t) => `${across(t)} ${f(t)}`).join("L")}`);
    const say = (words, y, falls) => { // above the point, on the side on which the curve is lower, if there is room
      const wide = 7.4 * words.length + 13;
      const left = falls ? px + wide > W : px - wide > L;
      return label("strong", px + (left ? -13 : 13), y, words, left ? "end" : "start");
    };
    const room = (t, half) => Math.abs(across(t) - px) > half;
    curve.setAttribute("viewBox", `0 0 ${W} ${H}`);
    curve.ariaLabel = `${NAMES[w.loss]} over the margin: at h ${num(m, 1)} the loss is ${brief(value)} and the weight ${brief(push)}`;
    show(curve,
      hatch("p2", "soft"),
      lo < 0 && s("rect", { x: across(end), width: across(HMAX) - across(end), y: MID + GAP - 4, height: LOW - MID - GAP + 8, fill: "url(#p2)" }),
      path("others", `M${across(0)} ${TOP - 4}V${LOW}`),
      path("base", `M${L} ${above(0)}H${W - R}M${L} ${below(0)}H${W - R}`),
      end < HMAX && [path("goal", `M${across(end)} ${TOP + 6}V${LOW}`), label("goal", across(end) + 5, TOP + 16, `${w.loss === "hinge" ? "enough" : "goal"} ${num(end, 1)}`, "start")],
      [[above, most], [below, hi], [below, lo]].map(([y, v], i) => v !== 0 && label("", L - 6, y(v) + (i < 2 ? 9 : 0), brief(v), "end")),
      [above, below].map((y) => label("", L - 6, y(0) + 4, "0", "end")),
      path("stem", `M${px} ${above(value)}V${LOW + 8}`),
      label("title0", W - R, TOP - 8, `loss L of ${NAMES[w.loss]}`, "end"),
      label("title0", W - R, MID + GAP - 12, "weight w = −dL/dh", "end"),
      line((t) => above(lossOf(w, t))),
      line((t) => below(weightOf(w, t))),
      lo < 0 && across(HMAX) - across(end) > 150 && label("", (across(end) + across(HMAX)) / 2, MID + GAP + 12, "pulls back"),
      s("circle", { class: "point", cx: px, cy: above(value), r: 7 }),
      s("circle", { class: "point", cx: px, cy: below(push), r: 7 }),
      say(`L = ${brief(value)}`, Math.min(above(value) - 12, MID - 12), push >= 0),
      say(`w = ${brief(push)}`, below(push) - 12, true),
      [-40, -20, 0, 20, 40].map((t) => room(t, 44) && label("", across(t), LOW + 20, num(t, 0))),
      label("strong", Math.max(L + 20, Math.min(W - 34, px)), LOW + 20, `h = ${num(m, 1)}`),
      label("", L, H - 6, W < 420 ? "← rejected" : "← rejected gained more", "start"),
      label("", W - R, H - 6, "chosen gained more →", "end"),
    );
  }

  function drawSums() {
    const [up, down] = logRatios(w, reference);
    const [m, push, beta] = [margin(), weightOf(w, margin()), num(w.beta)];
    const bracket = (x, digits = 1) => (x < 0 ? `(${num(x, digits)})` : num(x, digits));
    const reward = (who, now, ref, ratio) => lines(`${who}:`, ["β log π/", math("π_ref")], `= ${beta} × (${num(now, 1)} − ${bracket(ref)})`, `= ${num(w.beta * ratio)}`);
    const p = sigmoid(w.beta * m);
    const e = num(w.smoothing);
    const loss = {
      dpo: [`L = −log σ(βh)`, `= −log ${share(p)}`],
      cdpo: [`L = −(1 − ε) log σ(βh) − ε log σ(−βh)`, `= −${num(1 - w.smoothing)} log ${share(p)} − ${e} log ${share(1 - p)}`],
      ipo: [`L = (h − 1/(2β))²`, `= (${num(m, 1)} − ${num(goal(w), 1)})²`],
      hinge: [`L = max(0, 1 − βh)`, `= max(0, ${num(1 - w.beta * m)})`],
    }[w.loss];
    const weight = {
      dpo: [`w = β σ(−βh)`, `= ${beta} × ${brief(1 - p)}`],
      cdpo: [`w = β (σ(−βh) − ε)`, `= ${beta} × (${brief(1 - p)} − ${e})`],
      ipo: [`w = −2 (h − 1/(2β))`, `= −2 × ${bracket(m - goal(w))}`],
      hinge: [push ? "as βh < 1, w = β" : "as βh ≥ 1, w"],
    }[w.loss];
    const [one, two] = moves(w);
    const next = trained(w, reference);
    sums.replaceChildren(
      reward("chosen", w.chosen, reference[0], up),
      reward("rejected", w.rejected, reference[1], down),
      lines(`h = ${num(up, 1)} − ${bracket(down)}`, `= ${num(m, 1)},`, `βh = ${num(w.beta * m)}`),
      lines(...loss, `= ${brief(lossOf(w, m))}`),
      lines(...weight, `= ${brief(push)}`),
      lines("through shared weights:", `w (1 − 2c) = ${brief(push * one)}`, `and w (2c − 4) = ${brief(push * two)}`),
      lines(`${STEPS} steps bring log π to`, `${num(next[0], 1)} and ${num(next[1], 1)}`),
    );
  }

  const state = () => ({ settings: copyOf(w), margin: margin(), loss: lossOf(w, margin()), weight: weightOf(w, margin()), next: trained(w, reference), presses: trail.length });
  draw();
  return { state, set: change };
}

mountAll("dpo", mount);
