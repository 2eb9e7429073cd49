// Monte Carlo and TD on the same random walks: one is noisy late, the other biased early.
import { button, choice, copyButton, copyOf, frame, h, key, lines, many, math, mountAll, num, player, prompts, raised, s, slider } from "./kit.js";
import { words } from "./random.js";

// ------------------------------------------------------------------ model: as learn_v and constant_alpha of the package
export const STEPS = [1, 2, 4, 8, 16, 32, 64, 128, null]; // that a target waits for; null: to the end of the walk
const LEARNERS = 200;
const EPISODES = 100;
const GUESS = 0.5;

/** Coins, 1 for right: the bits of random words, the lowest first. */
export function coins(seed) {
  const next = words(seed);
  let [word, left] = [0, 0];
  return () => {
    if (!left) [word, left] = [next(), 32];
    left -= 1;
    return (word >>> (31 - left)) & 1;
  };
}

/** The cells of a walk that begins with those of `path` (the middle one, if there are none), and where it ends. */
export function walk(cells, coin, path = [cells >> 1]) {
  const at = path.slice();
  for (let i = at.pop(); ; i += 2 * coin() - 1) {
    if (i < 0 || i >= cells) return { path: Uint8Array.from(at), right: i > 0 ? 1 : 0 };
    at.push(i);
  }
}

/** 100 walks of each of 200 learners: episode k of learner b is entry 100 b + k, cells at[start[entry]] to at[start[entry + 1] - 1]. */
export function walks(cells) {
  const [start, right] = [new Int32Array(LEARNERS * EPISODES + 1), new Uint8Array(LEARNERS * EPISODES)];
  const at = new Uint8Array(1 << 22);
  let size = 0;
  for (let entry = 0, coin; entry < right.length; entry += 1) {
    if (entry % EPISODES === 0) coin = coins(1 + entry / EPISODES);
    let i = cells >> 1;
    for (; i >= 0 && i < cells; i += 2 * coin() - 1) {
      at[size] = i;
      size += 1;
    }
    right[entry] = i > 0 ? 1 : 0;
    start[entry + 1] = size;
  }
  return { cells, at: at.slice(0, size), start, right };
}

export const exact = (cells) => Float64Array.from({ length: cells }, (_, i) => (i + 1) / (cells + 1));

/** What all learners make of their walks with n-step targets. After each number of episodes: the mean error and the
 *  variance of each cell, the bias (mean over cells of the square of the one), the noise (mean of the other), the root of
 *  their sum, and each learner's own error. */
export function learn({ cells, at, start, right }, alpha, n) {
  const truth = exact(cells);
  const rows = EPISODES + 1;
  const [mean, variance] = [1, 2].map(() => new Float64Array(rows * cells));
  const own = new Float64Array(rows * LEARNERS);
  const v = new Float64Array(cells);
  for (let b = 0; b < LEARNERS; b += 1) {
    v.fill(GUESS);
    for (let k = 0; k < rows; k += 1) {
      const entry = b * EPISODES + k - 1;
      if (k) update(v, at, start[entry], start[entry + 1], right[entry], alpha, n);
      let all = 0;
      for (let i = 0; i < cells; i += 1) {
        const off = v[i] - truth[i];
        mean[k * cells + i] += off / LEARNERS;
        variance[k * cells + i] += (off * off) / LEARNERS;
        all += off * off;
      }
      own[k * LEARNERS + b] = Math.sqrt(all / cells);
    }
  }
  const [bias, noise] = [1, 2].map(() => new Float64Array(rows));
  mean.forEach((x, i) => {
    variance[i] = Math.max(0, variance[i] - x * x);
    bias[Math.floor(i / cells)] += (x * x) / cells;
    noise[Math.floor(i / cells)] += variance[i] / cells;
  });
  return { mean, variance, bias, noise, own, rms: bias.map((x, k) => Math.sqrt(x + noise[k])) };
}

/** v(s) <- v(s) + α [target - v(s)] along one walk, whose reward g comes at its end. */
function update(v, at, t, end, g, alpha, n) {
  const guesses = end - (n ?? end);
  for (; t < guesses; t += 1) v[at[t]] += alpha * (v[at[t + n]] - v[at[t]]);
  for (; t < end; t += 1) v[at[t]] += alpha * (g - v[at[t]]);
}

/** One walk step by step: the values after 0, 1, … T steps, and the updates that became possible with each. An update
 *  needs n more steps, or the end: its target is the guess of cell `from` then, or the reward (from: -1 or `cells`). */
export function follow({ path, right }, first, alpha, n) {
  const v = Float64Array.from(first);
  const T = path.length;
  const steps = [{ v: v.slice(), updates: [] }];
  for (let now = 1, t = 0; now <= T; now += 1) {
    const updates = [];
    for (; t < T && (now === T || now === t + (n ?? T)); t += 1) {
      const last = n === null || t + n >= T;
      const [cell, from] = [path[t], last ? (right ? v.length : -1) : path[t + n]];
      const [old, target] = [v[cell], last ? right : v[from]];
      v[cell] += alpha * (target - old);
      updates.push({ cell, from, old, target });
    }
    steps.push({ v: v.slice(), updates });
  }
  return steps;
}

/** The number of episodes from which on a is not above b; null: never. */
export function lead(a, b) {
  let k = a.length;
  while (k > 0 && a[k - 1] <= b[k - 1]) k -= 1;
  return k < a.length ? k : null;
}

/** The two learners as Python code, on the same walks. */
export function python({ cells, alpha, n, episode }) {
  return `import numpy as np
from rlcourse.playgrounds.monte_carlo import Coins
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.returns import constant_alpha
from rlcourse.tabular.temporal_difference import learn_v
from rlcourse.tabular.worlds import random_walk

world = random_walk(${cells})
env, pi = environment(world.mdp, world.start), np.ones((${cells}, 1))
exact, guess = closed_form(world.mdp, pi, gamma=1.0), np.full((${LEARNERS}, ${cells}), ${GUESS})
rules = {"episodes": ${episode}, "alpha": ${alpha}, "gamma": 1.0}
n_step = learn_v(env, pi, learners=${LEARNERS}, n=${n ?? 10 ** 6}, v=guess, rng=Coins(${cells}, ${episode}), **rules)
monte_carlo = constant_alpha(env, pi, guess, rng=Coins(${cells}, ${episode}), **rules)
for v in (n_step[-1], monte_carlo[-1]):  # each (${LEARNERS} learners, ${cells} cells)
    bias, noise = ((v.mean(0) - exact) ** 2).mean(), v.var(0).mean()
    print(f"bias² {bias:.4f} + variance {noise:.4f}: error {np.sqrt(bias + noise):.3f}")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.card { --mc:#9a3f74; --mcs:154 63 116; --tds:0 103 165; } .card[data-theme=dark] { --mc:#e08bbb; --mcs:224 139 187; --tds:107 184 242; }
.mc, .even { display: grid; gap: 1rem; } .even > *, .mc > * { min-width: 0; } .even { align-items: start; }
.even .slider { grid-template-columns: 6.7rem 1fr 2.9rem; } .even .choice { grid-template-columns: 6.7rem 1fr; }
.td { color: var(--accent); --c: var(--accent); --cs: var(--tds); } .m { color: var(--mc); --c: var(--mc); --cs: var(--mcs); }
.chart .line, .legend .line { fill: none; stroke: var(--c); stroke-width: 3; stroke-linejoin: round; } .m.line { stroke-dasharray: 7 3; }
.chart .area { fill: rgb(var(--cs) / .16); } path.was { stroke: var(--mut); stroke-width: 2.2; stroke-dasharray: 1 5; stroke-linecap: round; }
path.first { stroke: var(--ink); stroke-width: 1; } path.cross { stroke: var(--ink); stroke-width: 1; }
.chart .now { stroke: var(--c); } .who { font-weight: 700; white-space: nowrap; } .split { margin-top: .5rem; } .split + .split { margin-top: .8rem; }
.split p { display: flex; justify-content: space-between; } .bar { display: flex; height: 18px; margin: .15rem 0 .2rem; background: var(--card); border-radius: 4px; overflow: hidden; }
.bar i { background: repeating-linear-gradient(135deg, var(--c) 0 2px, rgb(var(--cs) / .12) 2px 6px); box-shadow: inset 0 0 0 1px var(--c); } .bar b { background: var(--c); }
.sw { display: inline-flex; width: 1.5em; height: .75em; --c: var(--ink); --cs: 128 128 128; margin: 0; vertical-align: -.05em; border-radius: 2px; } .sw > * { width: 100%; }
.story { font-weight: 650; min-height: 2.9em; } .rowmap { cursor: pointer; touch-action: pan-y; }
.rowmap text { font-size: 11px; fill: var(--mut); text-anchor: middle; } .rowmap path { fill: none; }
.rowmap .area { fill: rgb(var(--cs) / .17); } .rowmap .mean { stroke: var(--c); stroke-width: 1.4; } .rowmap .true { stroke: var(--ink); stroke-width: 1.3; stroke-dasharray: 4 3; }
.rowmap .est, .legend .est { stroke: var(--c); stroke-width: 4; } .legend .true { stroke: var(--ink); stroke-width: 1.3; stroke-dasharray: 4 3; } .rowmap .old, .legend .old { stroke: var(--mut); stroke-width: 2; stroke-dasharray: 2 2; }
.rowmap .from { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 1.5 2.5; } .rowmap .pull { stroke: var(--ink); stroke-width: 1.1; }
.rowmap .head { fill: var(--ink); } .cell { fill: var(--card); stroke: var(--edge); } .cell.seen { fill: rgb(var(--cs) / .3); } .end { fill: none; stroke: var(--ink); stroke-width: 3; }
.rowmap .walker { fill: var(--ink); } .rowmap .out { fill: none; stroke: var(--ink); stroke-width: 2; } .rowmap .goal { fill: var(--ink); font-weight: 700; }
.seek { display: grid; gap: .45rem 1.2rem; } .told { margin-top: .5rem; --c: var(--ink); } .seek .slider { grid-template-columns: 4rem 1fr 5.8rem; } .said { min-height: 2.9em; } .learner .sum { min-height: 2.8em; }
@container (max-width: 430px) { .story { min-height: 4.4em; } }
@container (min-width: 560px) { .even, .seek { grid-template-columns: 1fr 1fr; } }
`;

const nameOf = (n) => ({ 1: "TD(0)", null: "Monte Carlo" })[n] ?? `${n}-step TD`;
const percent = (x) => (x > 0.995 && x < 1 - 1e-9 ? "over 99\u00a0%" : `${num(100 * x, 0)}\u00a0%`);

export function mount(host, data, { onState = () => {} } = {}) {
  const start = copyOf(data.world);
  const w = copyOf(start);
  const known = { 5: walks(5), 19: walks(19) };
  const memo = new Map(); // the last few accounts
  const near = (a, b) => a.every((x, i) => Math.abs(x - b[i]) <= 1e-9);
  let [first, last] = solve();
  if (!near(data.golden.v, exact(w.cells)) || !near(data.golden.first, first.rms) || !near(data.golden.last, last.rms))
    throw new Error("values differ from the package's");
  let before = null; // the errors that the reader's last change replaced
  let paths, one, step; // the walks of the learner that is looked into; its two accounts of this episode
  let steered = [];

  function solve() {
    if (memo.size > 20) memo.clear();
    return [w.n, null].map((n) => {
      const name = `${w.cells} ${w.alpha} ${n}`;
      if (!memo.has(name)) memo.set(name, learn(known[w.cells], w.alpha, n));
      return memo.get(name);
    });
  }
  const length = () => paths.at(-1).path.length;
  const shown = () => (w.n === null ? [] : [[first, "td", w.n]]).concat([[last, "m", null]]);
  const done = () => w.episode - (step < length() ? 1 : 0); // episodes that are over

  const ui = frame(host, {
    title: data.title ?? "Trust the next guess, or wait for the truth?",
    lead: "A walk goes left or right by chance; leaving on the right earns 1, on the left 0. TD pulls a cell towards the next cell’s guess, at once. Monte Carlo waits for the end, and pulls all cells it passed towards what came.",
    css: STYLE,
  });

  // --- controls
  const size = choice({ label: "cells", name: "cells in the row", options: [[5, "5"], [19, "19"]], value: w.cells, onpick: (cells) => change({ cells }) });
  const rate = slider({ label: ["step size ", math("α")], name: "alpha, step size", min: 0.01, max: 1, step: 0.01, value: w.alpha, oninput: (alpha, fresh) => change({ alpha }, fresh) });
  const label = (i) => String(STEPS[i] ?? "∞");
  const wait = slider({ label: ["wait ", math("n"), " steps"], name: "n, steps that the first learner waits before it takes a guess", min: 0, max: 8, step: 1, value: STEPS.indexOf(w.n), format: label, oninput: (i, fresh) => change({ n: STEPS[i] }, fresh) });
  const turn = (k) => (run.stop(), look(k));
  const when = slider({ label: "episode", name: "episode", min: 1, max: EPISODES, step: 1, value: w.episode, format: String, oninput: turn });
  const seek = (t) => (run.stop(), show(t));
  const scrub = slider({ label: "step", name: "step of the walk", min: 0, max: 1, step: 1, value: 0, format: (x) => (paths ? `${x} of ${length()}` : x), oninput: seek });
  const run = player((begin) => (show(begin && step === length() ? 0 : step + 1), step < length()), () => (w.cells > 5 ? 60 : 350));
  const go = [button("Back", () => seek(step - 1)), button("Step", () => seek(step + 1)), button("End", () => seek(length()))];
  const steer = [button("← Left", () => toss(-1)), button("Right →", () => toss(1))];
  const other = button("Other learner", () => change({ learner: (w.learner % LEARNERS) + 1 }, false));
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, (fields) => reset(fields), ui.say);
  const [story, head] = ["story", "cap"].map((kind) => h("p", { class: kind }));
  const [chart, split, ...panels] = ["", "panel", "panel learner", "panel learner"].map((kind) => h("div", { class: kind }));
  ui.body.append(
    h("div", { class: "mc" },
      story,
      h("div", { class: "even" }, chart, h("div", {}, size.el, rate.el, wait.el, split)),
      h("div", {}, head, h("div", { class: "seek noprint" }, when.el, scrub.el, [[run.el, go], [steer, other]].map((some) => h("div", { class: "row" }, some)))),
      h("div", {},
        h("div", { class: "even" }, panels),
        h("p", { class: "legend told" },
          key("est", "this learner’s guess"), key("old", "before the episode"), key("true", "exact value"),
          h("span", {}, "thin line and shade: mean of all 200, ± their standard deviation"),
        ),
      ),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  const reset = (fields) => change({ ...copyOf(start), ...fields });
  function change(fields, fresh = true) {
    run.stop();
    ask.clear();
    copy.clear();
    if (fresh) before = { first: first.rms, last: last.rms, cells: w.cells };
    if ("cells" in fields || "learner" in fields) steered = [];
    Object.assign(w, fields);
    [first, last] = solve();
    size.set(w.cells);
    rate.set(w.alpha);
    wait.set(STEPS.indexOf(w.n));
    look(w.episode);
    ui.say(story.textContent);
    onState(state());
  }

  /** Look into episode k, at its end or at step t. */
  function look(k, t = Infinity) {
    w.episode = k;
    when.set(k);
    const { at, start, right } = known[w.cells];
    paths = Array.from({ length: k }, (_, j) => {
      const entry = (w.learner - 1) * EPISODES + j;
      return steered[j] ?? { path: at.subarray(start[entry], start[entry + 1]), right: right[entry] };
    });
    one = [w.n, null].map((n) => {
      const v = new Float64Array(w.cells).fill(GUESS);
      for (const { path, right } of paths.slice(0, -1)) update(v, path, 0, path.length, right, w.alpha, n);
      return follow(paths.at(-1), v, w.alpha, n);
    });
    show(t);
  }

  /** Let the coin of the next step (after the end: of the last one) fall as the reader wants. */
  function toss(way) {
    run.stop();
    ask.clear();
    const { path, right } = paths.at(-1);
    const t = Math.min(step, path.length - 1);
    const next = path[t] + way;
    if (next !== (path[t + 1] ?? (right ? w.cells : -1))) {
      const coin = coins(1000 + 7919 * w.learner + 97 * w.episode + t);
      steered[w.episode - 1] = walk(w.cells, coin, [...path.slice(0, t + 1), next]);
    }
    look(w.episode, t + 1);
    ui.say(head.textContent);
  }

  function show(t) {
    step = Math.max(0, Math.min(t, length()));
    scrub.set(step, length());
    steer.forEach((b, i) => b.setAttribute("aria-label", `${b.textContent}: let the walk go ${i ? "right" : "left"} here`));
    drawChart();
    drawSplit();
    drawLearner(0, w.n);
    drawLearner(1, null);
    if (w.n === null) panels[0].replaceChildren(h("p", { class: "who td" }, math("n"), " = ∞"), h("p", {}, "Whoever waits for the end of every walk does what Monte Carlo does: the two are one."));
    const own = steered[w.episode - 1] ? ", steered by you" : "";
    head.textContent = `One of these learners, number ${w.learner}, in episode ${w.episode}${own}: press beside the walker to steer it`;
  }

  // --- drawing
  const path = (kind, d) => s("path", { class: kind, d });
  const band = (low, high) => `M${[...low, ...high.reverse()].join("L")}Z`;

  function drawChart() {
    const [W, H, L, R, T, B] = [320, 270, 30, 8, 10, 22];
    const kept = before?.cells === w.cells ? before : null;
    const drawn = shown().reverse().map(([{ own, rms }, kind]) => {
      const sorted = Array.from(rms, (_, k) => own.slice(k * LEARNERS, (k + 1) * LEARNERS).sort());
      return { rms, kind, low: sorted.map((list) => list[20]), high: sorted.map((list) => list[179]) };
    });
    const top = Math.max(0.35, ...drawn.flatMap(({ high }) => high), ...(kept ? [...kept.first, ...kept.last] : [])) * 1.04;
    const x = (k) => L + ((W - L - R) * k) / EPISODES;
    const y = (e) => T + (H - T - B) * (1 - e / top);
    const point = (e, k) => `${x(k).toFixed(1)} ${y(e).toFixed(1)}`;
    const curve = (list) => `M${Array.from(list, point).join("L")}`;
    const text = (x, y, words, anchor = "end") => s("text", { x, y, "text-anchor": anchor }, words);
    const levels = [0, 0.1, 0.2, 0.3, 0.4, 0.5].filter((e) => e < top && (top < 0.5 || (e * 10) % 2 < 0.1));
    const [k, ahead] = [done(), lead(first.rms, last.rms)];
    const ending = `${nameOf(w.n)} ahead from ${ahead} on`;
    chart.replaceChildren(
      h("p", { class: "cap" }, "Root mean square error of 200 learners"),
      s("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", onpointerdown: drag, onpointermove: drag, "aria-label": tell() },
        levels.map((e) => [path("grid", `M${L} ${y(e)}H${W - R}`), text(L - 5, y(e) + 4, num(e, 1))]),
        [0, 25, 50, 75, 100].map((k) => text(x(k), H - 6, k < 100 ? k : "episodes", k < 100 ? "middle" : "end")),
        drawn.map(({ kind, low, high }) => path(`area ${kind}`, band(low.map(point), high.map(point)))),
        path("first", `M${L} ${y(first.rms[0])}H${W - R}`),
        kept && [path("was", curve(kept.last)), path("was", curve(kept.first))],
        drawn.map(({ kind, rms }) => path(`line ${kind}`, curve(rms))),
        w.n && ahead > 2 && [path("cross", `M${x(ahead)} ${y(first.rms[ahead]) + 6}V${H - B}`), ahead < 45 ? text(x(ahead) + 5, H - B - 6, ending, "start") : text(x(ahead) - 5, H - B - 6, ending)],
        drawn.map(({ kind, rms }) => s("circle", { class: `now ${kind}`, cx: x(k), cy: y(rms[k]), r: 5.5 })),
      ),
      h("p", { class: "legend" },
        shown().map(([, kind, n]) => key(`line ${kind}`, nameOf(n))),
        key("first", "first guess, all 1/2"),
        kept && key("was", "before"),
        h("span", {}, "shaded: 8 of 10 learners"),
      ),
    );
    function drag(event) {
      if (!event.buttons) return;
      const { left, width } = event.currentTarget.getBoundingClientRect();
      const k = Math.round(((((event.clientX - left) / width) * W - L) / (W - L - R)) * EPISODES);
      turn(Math.max(1, Math.min(EPISODES, k)));
    }
  }

  function tell() {
    const k = done();
    const share = ({ bias, noise }) => bias[k] / (bias[k] + noise[k]);
    const kind = (each) => `${percent(Math.max(share(each), 1 - share(each)))} ${share(each) >= 0.5 ? "bias" : "noise"}`;
    const [one, other] = shown().map(([each, , n]) => [`${nameOf(n)}’s`, kind(each)]);
    return `After ${many(k, "episode")}, ${one.join(" squared error is ")}${other ? `, ${other.join(" ")}` : ""}.`;
  }

  function drawSplit() {
    const k = done();
    const most = Math.max(...shown().map(([x]) => x.bias[k] + x.noise[k]));
    const part = ([each, kind, n]) => {
      const [bias, noise, worse] = [each.bias[k], each.noise[k], each.rms[k] > each.rms[0]];
      return h("div", { class: `split ${kind}` },
        h("p", {}, h("span", { class: "who" }, nameOf(n)), worse && h("span", { class: "bad" }, "✕ worse than at first")),
        h("div", { class: "bar" }, h("i", { style: { width: `${(100 * bias) / most}%` } }), h("b", { style: { width: `${(100 * noise) / most}%` } })),
        h("p", { class: "note" }, `${num(bias, 4)} + ${num(noise, 4)} = ${num(bias + noise, 3)} = ${num(each.rms[k], 3)}²`),
      );
    };
    split.replaceChildren(
      h("p", { class: "cap" }, `Squared, after ${many(k, "episode")}`),
      h("p", { class: "legend" }, h("span", {}, h("span", { class: "bar sw" }, h("i")), " bias²: all wrong the same way"), h("span", {}, h("span", { class: "bar sw" }, h("b")), " noise: each in its own way")),
      ...shown().map(part),
    );
    story.textContent = tell();
  }

  function drawLearner(which, n) {
    const [W, H, T, B, S, k] = [320, 176, 8, 34, w.cells, done()];
    const [steps, all, width] = [one[which], [first, last][which], W / (S + 2)];
    const { v, updates } = steps[step];
    const old = steps[0].v;
    const x = (i) => (i + 1.5) * width;
    const y = (e) => T + (1 - e) * (H - T - B);
    const box = (i) => ({ x: x(i) - width / 2 + 0.5, y: H - B + 6, width: width - 1, height: 14, rx: 2 });
    const here = paths.at(-1);
    const tick = (e, i) => `M${x(i) - width * 0.42} ${y(e)}h${width * 0.84}`;
    const changed = (i) => Math.abs(old[i] - v[i]) > 1e-12;
    const truth = exact(S);
    const along = (sign) => Array.from(truth, (e, i) => `${x(i)} ${y(e + all.mean[k * S + i] + sign * Math.sqrt(all.variance[k * S + i]))}`);
    const at = step < here.path.length ? here.path[step] : here.right ? S : -1;
    const seen = new Set(here.path.slice(0, step + 1));
    const before = step ? steps[step - 1].v : v;
    const aims = [...new Map(updates.map((u) => [u.cell, u])).values()];
    const pull = ({ cell: c, target }) => {
      const [a, b] = [y(before[c]), y(target)];
      const tip = Math.sign(b - a) * Math.min(5, Math.abs(b - a));
      return [path("pull", `M${x(c)} ${a}V${b}`), path("head", `M${x(c)} ${b}l-2.6 ${-tip}h5.2Z`)];
    };
    const reach = ({ cell: c, from, target }) => path("from", `M${x(c)} ${y(target)}H${x(from)}`);
    const kind = which ? "m" : "td";
    panels[which].replaceChildren(
      h("p", { class: `who ${kind}` }, nameOf(n)),
      s("svg", { viewBox: `0 0 ${W} ${H}`, class: `rowmap ${kind}`, role: "img", onclick: press, "aria-label": `Values of the ${S} cells for ${nameOf(n)}` },
        path("area", band(along(-1), along(1))),
        path("true", `M${x(-1)} ${y(0)}L${x(S)} ${y(1)}`),
        path("mean", `M${along(0).join("L")}`),
        [0, 1].map((e) => path("end", tick(e, e ? S : -1))),
        path("old", Array.from(old, (e, i) => (changed(i) ? tick(e, i) : "")).join("")),
        path("est", Array.from(v, tick).join("")),
        aims.map(reach),
        aims.map(pull),
        Array.from(v, (_, i) => s("rect", { class: seen.has(i) ? "cell seen" : "cell", ...box(i) })),
        [0, 1].map((e) => s("text", { class: "goal", x: x(e ? S : -1), y: H - B + 17 }, e)),
        (S > 5 ? [0, 4, 9, 14, 18] : [0, 1, 2, 3, 4]).map((i) => s("text", { x: x(i), y: H - 3 }, i + 1)),
        at >= 0 && at < S ? s("circle", { class: "walker", cx: x(at), cy: H - B + 13, r: Math.min(5, width / 3) }) : s("rect", { class: "out", ...box(at) }),
      ),
      h("p", { class: "said" }, said(updates, n, here)),
      h("div", { class: "sum" }, sums(updates, before, v)),
    );
    function press(event) {
      const { left, width } = event.currentTarget.getBoundingClientRect();
      toss(((event.clientX - left) / width) * W < x(here.path[Math.min(step, length() - 1)]) ? -1 : 1);
    }
  }

  function said(updates, n, here) {
    if (!step) return "The walk begins in the middle.";
    if (!updates.length) return n === null ? "Waits for the end of the walk." : `Waits until it has seen ${n} steps.`;
    const cells = new Set(updates.map((u) => u.cell)).size;
    const { cell, from, old, target } = updates[0];
    const next = n === 1 ? "the next" : `${n} steps later`;
    const same = `Cell ${from + 1}, ${next}, guesses what cell ${cell + 1} guesses: nothing to learn.`;
    if (from >= 0 && from < w.cells) return target === old ? same : `Pulls cell ${cell + 1} towards the guess of cell ${from + 1}, ${next}.`;
    const all = n === null ? `all ${cells} cells that it passed` : cells > 1 ? `the last ${cells} cells` : `cell ${cell + 1} alone`;
    return `The walk came out on the ${here.right ? "right" : "left"}: pulls ${cells === 1 && n === null ? `cell ${cell + 1}` : all} towards ${here.right}.`;
  }

  /** The arithmetic of the (first) cell that is updated, with the numbers of this moment. */
  function sums(updates, before, v) {
    if (!updates.length) return h("p", { class: "note" }, "No value changes.");
    const { cell, target } = updates[0];
    const visits = updates.filter((u) => u.cell === cell).length;
    const [name, old, now] = [`v(${cell + 1})`, num(before[cell], 3), num(v[cell], 3)];
    if (visits === 1) return lines(`${name} ←`, `${old} + ${num(w.alpha)} ×`, `(${num(target, 3)} − ${old}) = ${now}`);
    return lines(`${name}, passed ${visits} times:`, `${target} + ${num(1 - w.alpha)}${raised(visits)} ×`, `(${old} − ${target}) = ${now}`);
  }

  const now = (name) => [first, last].map((each) => each[name][done()]);
  const state = () => ({ ...copyOf(w), step, path: [...paths.at(-1).path], right: paths.at(-1).right, v: one.map((steps) => [...steps[step].v]), rms: now("rms"), bias: now("bias") });
  look(w.episode);
  return { state, set: (fields) => change(copyOf(fields)) };
}

mountAll("monte_carlo", mount);
