// Temporal differences on the cliff: the way that each has learned, and what it earns while it explores.
import { ACTIONS, actionBars, arrow, GLYPHS, GRID, nameOf, neighbour, trail } from "./grid.js";
import { button, choice, copyButton, frame, h, key, lines, many, math, mountAll, num, player, prompts, s, slider } from "./kit.js";
import { uniforms } from "./random.js";

// ------------------------------------------------------------------ model: as rlcourse.tabular.temporal_difference
export const EPISODES = 500;
export const LEARNERS = 10;
const LAST = 100; // episodes over which returns, visits and falls are counted
const START = 36;
const GOAL = 47;
const SIZE = 192; // entries of a table, 4 for each of 48 cells
const CLIFF = { n_rows: 4, n_cols: 12, forbidden: Array.from({ length: 10 }, (_, i) => 37 + i), target: [GOAL] };
const HIT = Int16Array.from({ length: SIZE }, (_, i) => (neighbour(CLIFF, i >> 2, i & 3) + 1 || (i >> 2) + 1) - 1); // the cell that is stepped on
const R = HIT.map((cell) => (CLIFF.forbidden.includes(cell) ? -100 : -1));
const NEXT = HIT.map((cell, i) => (i >> 2 === GOAL ? GOAL : R[i] < -1 ? START : cell));
const PI = new Float64Array(4);
const NAMES = { q_learning: "Q‑learning", sarsa: "Sarsa", expected_sarsa: "Expected Sarsa" };

/** The best of the four values at `at`, how many actions have it, and which. */
const most = (q, at) => Math.max(q[at], q[at + 1], q[at + 2], q[at + 3]);
const count = (q, at, x) => (q[at] === x) + (q[at + 1] === x) + (q[at + 2] === x) + (q[at + 3] === x);
const best = (q, at) => [0, 1, 2, 3].filter((a) => q[at + a] === most(q, at));

/** An action from the four values at `at`: explorers find all of them best. u in [0, 1) breaks the tie. */
export function choose(q, at, ties, explores, u) {
  if (explores) return Math.floor(4 * u);
  const x = most(q, at);
  let n = ties === "first" ? 0 : Math.floor(count(q, at, x) * u);
  for (let a = 0; ; a += 1) if (q[at + a] === x && (n -= 1) < 0) return a;
}

/** π(a|s') of each action, ε-greedy on the four values at `at`: in an array that is always the same. */
export function policy({ epsilon, ties }, q, at) {
  const x = most(q, at);
  let n = ties === "first" ? 1 : count(q, at, x);
  const share = (1 - epsilon) * (1 / n);
  for (let a = 0; a < 4; a += 1) PI[a] = epsilon * 0.25 + (q[at + a] === x && (n -= 1) >= 0 ? share : 0);
  return PI;
}

/** r + γ (1 - terminated) × what follows, with γ = 1: `at` is the place of the row q(s', ·). */
export function target(w, method, r, q, at, after, terminated) {
  if (terminated) return r;
  if (method === "sarsa") return r + q[at + after];
  if (method === "q_learning") return r + most(q, at);
  const pi = policy(w, q, at);
  return r + (pi[0] * q[at] + pi[1] * q[at + 1] + pi[2] * q[at + 2] + pi[3] * q[at + 3]);
}

/** q(s, a) ← q(s, a) + α [target - q(s, a)] of pair 4 s + a, in the table that begins at `from`. */
function update(w, method, q, from, pair, after) {
  const to = target(w, method, R[pair], q, from + 4 * NEXT[pair], after, NEXT[pair] === GOAL);
  q[from + pair] += w.alpha * (to - q[from + pair]);
}

/** All learners of a method, in step, as learn_q runs them: each stage draws for all of them in turn.
 *  q of all; returns [episode × learners + b]; the first learner's steps 4 s + a, and how many they are after k episodes. */
export function learn(w, method, episodes = EPISODES, learners = LEARNERS) {
  const draw = uniforms(w.seed);
  const q = new Float64Array(learners * SIZE);
  const returns = new Float64Array(episodes * learners);
  const [pairs, ends] = [[], [0]];
  const [at, to, a, after, done, explores] = [0, 0, 0, 0, 0, 0].map(() => new Int32Array(learners));
  at.fill(START);
  const act = (who, cells, chosen) => {
    for (const b of who) explores[b] = draw() < w.epsilon ? 1 : 0;
    for (const b of who) chosen[b] = choose(q, b * SIZE + 4 * cells[b], w.ties, explores[b], draw());
  };
  let on = [...at.keys()];
  act(on, at, a);
  while (on.length) {
    for (const b of on) to[b] = NEXT[4 * at[b] + a[b]];
    if (method === "sarsa") act(on, to, after);
    const ended = [];
    for (const b of on) {
      const pair = 4 * at[b] + a[b];
      update(w, method, q, b * SIZE, pair, after[b]);
      returns[done[b] * learners + b] += R[pair];
      if (b === 0) pairs.push(pair);
      at[b] = to[b];
      a[b] = after[b];
      if (to[b] !== GOAL) continue;
      at[b] = START;
      done[b] += 1;
      ended.push(b);
      if (b === 0) ends.push(pairs.length);
    }
    if (method === "sarsa") act(ended, at, a);
    if (ended.length) on = on.filter((b) => done[b] < episodes);
    if (method !== "sarsa") act(on, at, a);
  }
  return { method, learners, q, returns, pairs, ends };
}

/** The first learner after k episodes: its table, and of the last 100 of them how often it was in each cell, or fell there. */
export function replay(w, { method, pairs, ends }, k) {
  const q = new Float64Array(SIZE);
  const [visits, falls] = [0, 0].map(() => new Int32Array(SIZE / 4));
  for (let i = 0; i < ends[k]; i += 1) {
    const pair = pairs[i];
    update(w, method, q, 0, pair, pairs[i + 1] & 3);
    if (i < ends[Math.max(0, k - LAST)]) continue;
    visits[pair >> 2] += 1;
    if (R[pair] < -1) falls[HIT[pair]] += 1;
  }
  return { q, visits, falls };
}

/** The way of the best actions from the start, and how it ends: "goal", "loops", or "tied" where chance must choose. */
export function way(q, ties) {
  const cells = [START];
  for (;;) {
    const at = 4 * cells.at(-1);
    const greedy = best(q, at);
    if (ties === "uniform" && greedy.length > 1) return { cells, end: "tied" };
    const next = NEXT[at + greedy[0]];
    if (cells.includes(next)) return { cells, end: "loops" };
    cells.push(next);
    if (next === GOAL) return { cells, end: "goal" };
  }
}

/** The mean return of the episodes from k - n to k, of all learners. */
export function mean({ returns, learners }, k, n = LAST) {
  let sum = 0;
  for (let i = Math.max(0, k - n) * learners; i < k * learners; i += 1) sum += returns[i];
  return sum / (Math.min(k, n) * learners);
}

export function python({ against, epsilon, alpha, ties, seed }) {
  return `from rlcourse.playgrounds.temporal_difference import generator
from rlcourse.tabular import temporal_difference as td
from rlcourse.tabular.environment import environment
from rlcourse.tabular.worlds import cliff_walking

cliff = cliff_walking()
env = environment(cliff.mdp, cliff.start)
for method in ("q_learning", "${against}"):
    x = td.learn_q(
        env, method, episodes=${EPISODES}, learners=${LEARNERS}, alpha=${alpha}, gamma=1.0,
        epsilon=${epsilon}, ties="${ties}", rng=generator(${seed}),
    )
    print(method, "earns", round(x.returns[-${LAST}:].mean(), 2))
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.card { --sarsa: #007a58; --expected: #846000; } @media screen { .card[data-theme=dark] { --sarsa: #3fcf9f; --expected: #e3b23c; } }
.td, .even { display: grid; gap: 1rem; } .td > *, .even > * { min-width: 0; } .td .who { font-size: 1rem; }
.nums { display: grid; grid-template-columns: 1fr 1.5fr; gap: .6rem; margin: .1rem 0 .45rem; line-height: 1.25; white-space: pre-line; }
.q_learning { --own: var(--warm); } .sarsa { --own: var(--sarsa); --dash: 7 3.5; } .expected_sarsa { --own: var(--expected); --dash: 9 3 2 3; }
path.own { fill: none; stroke: var(--own); stroke-width: 2.6; stroke-dasharray: var(--dash) }
.cliff { touch-action: pan-y; cursor: pointer; } .cliff > path { fill: none; } .cliff > .seen { fill: rgb(var(--pos) / .62); stroke: var(--line); stroke-width: .03; }
.edge { fill: rgb(var(--neg) / .1); stroke: var(--warm); stroke-width: .07; } .hatch { stroke: rgb(var(--neg) / .34); stroke-dasharray: .1 .25; }
.route { stroke: var(--own); stroke-width: .24; stroke-linecap: round; } .cliff g { fill: var(--ink); stroke: var(--card); stroke-width: 9; paint-order: stroke; } .halo { stroke: var(--card); stroke-width: .38; } .picked { stroke: var(--ink); stroke-width: .1; } .legend .picked { stroke-width: 2; }
.exact { stroke: var(--ink); stroke-dasharray: .12 .14; stroke-width: .085; } .legend .exact, .limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 2 3; }
.card svg { stroke-linejoin: round; } .card svg text { paint-order: stroke; stroke: var(--card); stroke-width: 4px; } .card .cliff text { font-size: .46px; text-anchor: middle; font-weight: 650; stroke-width: .14px; }
.legend .way { stroke: var(--mut); stroke-width: 5; } .legend .shade { stroke: rgb(var(--pos) / .5); stroke-width: 10; } .story { font-weight: 650; margin-bottom: .2rem; }
.chart text.known { font-weight: 650; fill: var(--own, var(--ink)); } .old { stroke: var(--mut); stroke-width: 1.6; stroke-dasharray: 2 2; } .at { stroke: var(--edge); } .chart .now { stroke: var(--own); }
.panel .even { column-gap: 1.8rem; } .pick { margin-bottom: .7rem; } .td .q { grid-template-columns: 4.1rem 1fr 4.4rem; } .side { display: grid; align-content: space-between; } .pick .choice { grid-template-columns: 3.6rem 1fr; }
.set { display: grid; gap: .3rem; align-content: start; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } }
`;

const WINDOW = 25; // episodes in a point of a curve
const [W, H, L, RIGHT, T, B] = [320, 232, 34, 6, 8, 20];
const inSum = (x) => (x < 0 ? `(${num(x)})` : num(x));
const curve = (kind, d) => s("path", { class: kind, d });
const part = (at, low, size) => Math.max(0, Math.min(0.999, (at - low) / size));

/** Handlers that call act(x, y), parts of an element's width and height, where it is pressed or dragged over. */
function held(act) {
  const f = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    if (event.buttons) act(part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height));
  };
  return { onpointerdown: f, onpointermove: f };
}

const square = (i) => `M${i % 12} ${i / 12 | 0}h1v1h-1Z`;

export function mount(host, data, { onState = () => {} } = {}) {
  const w = { ...data.settings };
  let runs; // of both learners
  const known = new Map(); // the last runs, by what they depend on: prompts and Restore come back to them
  let before = []; // the curves that the reader's last change replaced
  let [k, cell, a, after] = []; // the episode that is shown; a step from a cell, and the next action
  aim();
  solve();
  for (const run of runs) {
    const golden = data.golden[run.method];
    const { cells, end } = way(run.q, w.ties);
    const steps = end === "goal" ? cells.length - 1 : 0;
    if (!(Math.abs(mean(run, EPISODES) - golden.earned) <= 1e-9) || steps !== golden.steps) throw new Error("values differ from the package's");
  }

  function aim() {
    [k, cell, a, after] = [EPISODES, 29, 1, 2];
  }

  function solve() {
    runs = ["q_learning", w.against].map((method) => {
      const name = [method, w.epsilon, w.alpha, w.ties, w.seed].join();
      const run = known.get(name) ?? learn(w, method);
      run.curve ??= Array.from({ length: EPISODES }, (_, i) => mean(run, i + 1, WINDOW));
      if (known.size > 40) known.clear();
      known.set(name, run);
      return run;
    });
  }

  /** What is known exactly: Q-learning's return in the end, the best ε-greedy policy's, and its way. */
  const limits = () => {
    const [uniform, first, ...soft] = data.limits[Math.round(100 * w.epsilon)];
    return [w.ties === "first" ? first : uniform, ...soft];
  };

  const ui = frame(host, {
    title: data.title ?? "Q-learning knows the shortest way. Why does it earn less?",
    lead: ["From S to ★ along a cliff: −1 a step, −100 for a fall and back to S. With probability ", math("ε"), " a learner tries a random action. Thick lines are what each would do without that."],
    css: GRID + STYLE,
  });

  // --- controls
  const rate = (field, label, name, min, max, step) =>
    slider({ label, name, min, max, step, value: w[field], oninput: (x, fresh) => change({ [field]: x }, fresh) });
  const pick = (field, label, name, options) => choice({ label, name, options, value: w[field], onpick: (x) => change({ [field]: x }) });
  const controls = {
    epsilon: rate("epsilon", math("ε"), "epsilon, the probability to explore", 0, 0.2, 0.01),
    alpha: rate("alpha", math("α"), "alpha, the step size", 0.1, 0.7, 0.1),
    ties: pick("ties", "ties take", "ties, the action that is taken of several best", [["uniform", "a random one"], ["first", "the first"]]),
    against: pick("against", "against", "against, who walks beside Q-learning", [["sarsa", "Sarsa"], ["expected_sarsa", "expected Sarsa"]]),
  };
  const seek = (x) => (runner.stop(), show(x));
  const scrub = slider({ label: "episode", name: "episode that is shown", min: 1, max: EPISODES, step: 1, value: k, format: String, oninput: seek });
  const runner = player((first) => (show(first && k === EPISODES ? 1 : k + (k < 40 ? 1 : 4)), k < EPISODES), () => (k < 12 ? 350 : 60));
  const arrows = (label, name, value, onpick) => choice({ label, name, options: [...GLYPHS.slice(0, 4).entries()], value, onpick });
  const first = arrows(["step ", math("a")], "a, the action of the step", a, (x) => ((a = x), show(k)));
  const second = arrows(["next ", math("a′")], "a′, the next action", after, (x) => ((after = x), show(k)));
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const sides = [0, 1].map(() => ({ head: h("div"), map: cliffMap(), sum: h("div") }));
  const [story, legend, caption] = ["story", "legend", "cap"].map((kind) => h("p", { class: kind }));
  const chart = h("div");
  ui.body.append(
    h("div", { class: "td" },
      h("div", { class: "even" }, sides.map(({ head, map }) => h("div", { class: "side" }, head, map))),
      h("div", {}, story, legend),
      h("div", { class: "even" },
        chart,
        h("div", { class: "set noprint" }, Object.values(controls).map((c) => c.el), scrub.el, h("div", { class: "row" }, runner.el, button("New learners", () => change({ seed: w.seed + 1 })))),
      ),
      ask.el,
      h("div", { class: "panel" }, caption, h("div", { class: "even pick noprint" }, first.el, second.el), h("div", { class: "even" }, sides.map(({ sum }) => sum))),
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields, fresh = true) {
    runner.stop();
    ask.clear();
    copy.clear();
    if (fresh) before = runs;
    Object.assign(w, fields);
    solve();
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    show(k);
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    aim();
    change({ ...data.settings, ...fields });
  }

  function show(episode) {
    k = Math.max(1, Math.min(episode, EPISODES));
    scrub.set(k);
    first.set(a);
    second.set(after);
    const seen = runs.map((run) => ({ method: run.method, run, ...replay(w, run, k) }));
    seen.forEach((each, i) => (drawSide(sides[i], each), drawUpdate(sides[i].sum, each)));
    tell(seen);
    drawChart();
  }

  // --- drawing
  /** A map that is a control too: a press or the arrow keys move the cell that is looked into. */
  function cliffMap() {
    const keys = (event) => {
      const to = ["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"].indexOf(event.key);
      if (to < 0) return;
      event.preventDefault();
      look(neighbour(CLIFF, cell, to));
    };
    return s("svg", { class: "cliff", viewBox: "-.1 -.1 12.2 4.2", tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": START, ...held((x, y) => look(12 * Math.floor(4 * y) + Math.floor(12 * x))), onkeydown: keys });
  }

  function look(i) {
    if (i >= 0 && i <= START) cell = i; // nobody acts on the cliff or in the goal
    show(k);
  }

  function drawSide({ head, map }, { method, run, q, visits, falls }) {
    const { cells, end } = way(q, w.ties);
    const n = cells.length - 1;
    const [online, optimum, steps] = limits();
    const known = { goal: `knows a way of ${many(n, "step")}`, loops: "knows no way: goes in circles", tied: "knows no way yet: actions tie" }[end];
    const limit = method === "q_learning" ? `in the end ${num(online)}` : `expected at best ${num(optimum)}`;
    const pair = (big, small, kind = "note") => h("div", {}, h("p", { class: "count" }, big), h("p", { class: kind }, small));
    head.className = method;
    head.replaceChildren(
      h("p", { class: "legend who" }, h("b", {}, NAMES[method]), key("own", "")),
      h("div", { class: "nums" }, pair(...(end === "goal" ? [num(-n, 0), known] : ["✕", known, "bad"])), pair(num(mean(run, k), 1), `earns while exploring;\n${limit}`)),
    );
    Object.assign(map, { ariaValueNow: cell, ariaValueText: `${nameOf(CLIFF, cell)}, visited ${many(visits[cell], "time")}`, ariaLabel: `${NAMES[method]}: the cell that is looked into; arrow keys move` });
    map.setAttribute("class", `cliff ${method}`);
    const text = (i, words) => s("text", { x: (i % 12) + 0.5, y: 3.67 }, words);
    const pointer = (i, action) => s("g", { transform: `translate(${(i % 12) + 0.5} ${(i / 12 | 0) + 0.5}) scale(.02) translate(-50 -42)` }, arrow(action));
    const to = NEXT[4 * cell + a];
    const marks = [
      Array.from(visits, (v, i) => s("path", { class: "seen", d: square(i), "fill-opacity": Math.sqrt(v / Math.max(...visits)) })),
      s("rect", { class: "edge", x: 1, y: 3, width: 10, height: 1 }),
      s("path", { class: "hatch", d: "M5 3.5H14", transform: "skewX(-45)" }),
      ["halo", "route"].map((kind) => curve(kind, end === "tied" ? "" : trail(CLIFF, cells))),
      curve("exact", trail(CLIFF, data.ways[method === "q_learning" ? 13 : steps])),
      Array.from(falls, (v, i) => v ? text(i, v) : []),
      text(START, "S"),
      text(GOAL, "★"),
      curve("picked", square(cell)),
      pointer(cell, a),
      to !== GOAL && to !== cell ? pointer(to, after) : [],
    ];
    map.replaceChildren(...marks.flat());
  }

  function tell(seen) {
    const falls = (each) => `${NAMES[each.method]} fell ${many(each.falls.reduce((x, y) => x + y), "time")}`;
    const span = `episodes ${Math.max(1, k - LAST + 1)} to ${k}`;
    story.textContent = `The first of ten, ${span}: ${seen.map(falls).join(", ")}. Along the edge one random action in four is a fall.`;
    legend.replaceChildren(
      key("way", "its greedy way"),
      key("exact", `exact: the best way; the best ε-greedy way, ${limits()[2]} steps`),
      key("shade", "where it walked then"),
      h("span", {}, h("b", {}, "7"), " falls there"),
      key("picked", "the update below; press another cell", "M8 0h10v10h-10Z"),
    );
  }

  /** One update of a learner at the cell that is looked into, with the numbers of this moment. */
  function drawUpdate(place, { method, q }) {
    const pair = 4 * cell + a;
    const to = NEXT[pair];
    const row = [...q.slice(4 * to, 4 * to + 4)];
    const done = to === GOAL;
    const [old, goal] = [q[pair], target(w, method, R[pair], q, 4 * to, after, done)];
    const r = num(R[pair], 0);
    const [words, used, ...follows] = {
      q_learning: ["follows the best of q(s′, ·)", best(q, 4 * to), "r + γ max q(s′, ·) =", `${r} + 1 × ${inSum(most(q, 4 * to))}`],
      sarsa: [`follows a′ = ${GLYPHS[after]}`, [after], "r + γ q(s′, a′) =", `${r} + 1 × ${inSum(row[after])}`],
      expected_sarsa: ["follows the mean of all", [0, 1, 2, 3], "r + γ Σ π q(s′, ·) =", `${r} + 1 × [`, ...row.map((x, i) => `${num(policy(w, q, 4 * to)[i], 3)} × ${inSum(x)}${i < 3 ? " +" : " ]"}`)],
    }[method];
    caption.textContent = `One update: ${GLYPHS[a]} at ${nameOf(CLIFF, cell)}, then ${GLYPHS[after]}. What do they make of it?`;
    place.replaceChildren(
      h("p", { class: "cap" }, `${NAMES[method]} ${done ? "knows that nothing follows" : words}`),
      done ? "" : actionBars(row, used),
      h("div", { class: "sum" },
        lines(...(done ? [`r = ${r}`] : [...follows, `= ${num(goal)}`])),
        lines(`q(s, ${GLYPHS[a]}) ← ${num(old)} + ${num(w.alpha, 1)} ×`, `(${num(goal)} − ${inSum(old)})`, `= ${num(old + w.alpha * (goal - old))}`),
      ),
    );
  }

  function drawChart() {
    const [online, optimum] = limits();
    const lowest = (all) => Math.min(online, ...all.flatMap((run) => run.curve.slice(200)));
    const low = -20 * Math.ceil(Math.max(70, -1.1 * lowest([...runs, ...before])) / 20);
    const x = (i) => L + ((W - L - RIGHT) * i) / EPISODES;
    const y = (v) => T + ((H - T - B) * v) / low;
    const path = ({ curve: c }) => {
      const shown = [...c.keys()].filter((i) => i % 2 && (c[i] >= low || c[i + 2] >= low));
      return `M${shown.map((i) => `${x(i + 1).toFixed(1)} ${y(Math.max(low, c[i])).toFixed(1)}`).join("L")}`;
    };
    const text = (px, py, words, anchor, kind) => s("text", { x: px, y: py, "text-anchor": anchor, class: kind }, words);
    const unit = low < -160 ? 40 : 20;
    const across = (kind, v) => curve(kind, `M${L} ${y(v)}H${W - RIGHT}`);
    const level = (_, i) => [across("grid", -unit * i), text(L - 5, y(-unit * i) + 4, num(-unit * i, 0), "end")];
    const two = Math.max(y(optimum) - 7, y(-13) + 12);
    const three = Math.max(Math.min(y(lowest(runs)) + 14, H - B - 4), two + 12);
    const label = (py, words, v) => text(W - RIGHT - 8, py, `${words}: ${v}`, "end", "known");
    chart.replaceChildren(
      h("p", { class: "cap" }, `What an episode earns, exploring: mean of ten learners and ${WINDOW} episodes`),
      s("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": "What both earn", ...held((part) => seek(Math.round(((W * part - L) / (W - L - RIGHT)) * EPISODES))) },
        Array.from({ length: Math.floor(-low / unit) + 1 }, level),
        [100, 200, 300].map((i) => text(x(i), H - 4, i, "middle")),
        text(W - RIGHT, H - 4, `episode ${EPISODES}`, "end"),
        curve("at", `M${x(k)} ${T}V${H - B}`),
        before.map((run) => curve("old", path(run))),
        [-13, optimum, online].map((v) => across("limit", v)),
        runs.map((run) => s("g", { class: run.method }, curve("own", path(run)), run.curve[k - 1] >= low && s("circle", { class: "now", cx: x(k), cy: y(run.curve[k - 1]), r: 5 }))),
        label(y(-13) - 4, "the best way", "−13"),
        label(two, "best ε-greedy", num(optimum)),
        s("g", { class: "q_learning" }, label(three, "Q-learning in the end", num(online))),
      ),
      before.length ? h("p", { class: "legend" }, key("old", "before your change")) : "",
    );
  }

  const state = () => ({ settings: { ...w }, episode: k, cell, a, after, earned: runs.map((run) => mean(run, EPISODES)) });
  show(k);
  return { state, set: (fields) => change(fields) };
}

mountAll("temporal_difference", mount);
