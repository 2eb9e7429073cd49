// Dynamic programming: how many sweeps lie between two improvements, and what that costs.
import { ACTIONS, actionBars, arrow, distance, GLYPHS, greedy, GRID, model, nameOf, short, worldCode, worldMap } from "./grid.js";
import { button, choice, copyButton, copyOf, frame, h, key, lines, many, math, mountAll, num, player, prompts, raised, s, sci, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.tabular.dynamic_programming
export const DEPTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, null]; // sweeps of an iteration; null solves exactly
const GOAL = 1e-3;
const MOST = 5000; // sweeps

/** The model with its numbers in rows, A for each cell, where they are found fast. */
function rows(w) {
  const m = model(w);
  const all = m.moves.flat();
  const A = m.moves[0].length;
  const r = Float64Array.from(all, (x, i) => (m.ends[Math.floor(i / A)] ? 0 : x.r));
  return { ...m, A, r, next: Int32Array.from(all, (x) => x.next), g: Float64Array.from(m.ends, (end) => (end ? 0 : w.gamma)) };
}

const look = (m, v, i, a) => m.r[i * m.A + a] + m.g[i] * v[m.next[i * m.A + a]];

/** One of the best actions of each cell: the first, the last, or the old one while that is among them. */
export function improve(m, v, old, ties, tolerance = 1e-9) {
  const chosen = new Int8Array(old.length);
  for (let i = 0; i < chosen.length; i += 1) {
    let best = -Infinity;
    for (let a = 0; a < m.A; a += 1) best = Math.max(best, look(m, v, i, a));
    best -= tolerance;
    const step = ties === "last" ? -1 : 1;
    let a = step < 0 ? m.A - 1 : 0;
    while (look(m, v, i, a) < best) a += step;
    chosen[i] = ties === "keep" && look(m, v, i, old[i]) >= best ? old[i] : a;
  }
  return chosen;
}

/** v <- r + γ v(s') along the arrows a, written into next. */
export function sweep(m, v, a, next) {
  for (let i = 0; i < v.length; i += 1) next[i] = look(m, v, i, a[i]);
  return next;
}

/** The values of policy a, exactly: looking 1, 2, 4, … 8192 steps ahead; what follows weighs less than 1e-35. */
export function solved(m, a) {
  const row = (list) => (_, i) => list[i * m.A + a[i]];
  let [v, g, next] = [m.g.map(row(m.r)), m.g, Int32Array.from(a, row(m.next))];
  for (let n = 0; n < 13; n += 1)
    [v, g, next] = [v.map((x, i) => x + g[i] * v[next[i]]), g.map((x, i) => x * g[next[i]]), next.map((i) => next[i])];
  return v;
}

/** v*, by exact policy iteration. */
export function optimum(m) {
  let a = new Int8Array(m.ends.length).fill(m.A - 1);
  for (let n = 0; ; n += 1) {
    const v = solved(m, a);
    const better = improve(m, v, a, "keep", 1e-11 * Math.max(1, ...v.map(Math.abs)));
    if (n > 1000 || better.every((x, i) => x === a[i])) return v;
    a = better;
  }
}

const zeros = (m) => [m.g, m.g].map((g) => new Float64Array(g.length));

/** Iterations of one improvement and j sweeps each, from v = 0 until no value is off by 0.001 or more.
 *  errors[k] is that after k sweeps (solves, where j is null), policies[n] belongs to iteration n.
 *  Where ties keep the old action, the first policy is the last action everywhere: to stay. */
export function run(m, exact, j, ties) {
  let [v, next] = zeros(m);
  let a = new Int8Array(exact.length).fill(m.A - 1);
  const [errors, policies] = [[distance(v, exact)], []];
  while (errors.at(-1) >= GOAL && errors.length <= MOST) {
    if (ties !== "keep" || policies.length) a = improve(m, v, a, ties);
    policies.push(a);
    for (let n = 0; n < (j ?? 1); n += 1) {
      [v, next] = [j === null ? solved(m, a) : sweep(m, v, a, next), v];
      errors.push(distance(v, exact));
    }
  }
  return { j, errors, policies };
}

/** The values of a run after k sweeps (solves). */
export function valuesAt(m, { j, policies }, k) {
  let [v, next] = zeros(m);
  if (j === null) return k ? solved(m, policies[k - 1]) : v;
  for (let n = 0; n < k; n += 1) [v, next] = [sweep(m, v, policies[Math.floor(n / j)], next), v];
  return v;
}

export function solve(w) {
  const m = rows(w);
  const exact = optimum(m);
  const best = m.ends.map((_, i) => greedy(m, exact, i));
  return { m, exact, best, runs: DEPTHS.map((j) => run(m, exact, j, w.ties)) };
}

/** What a run costs: iterations, sweeps, and how many actions are looked at for each cell. */
export function cost(m, { j, errors, policies }) {
  const n = policies.length;
  return j === null ? [n, Infinity, Infinity] : [n, errors.length - 1, n * (m.A + j - 1)];
}

/** The iteration from which on all arrows are best, if there is one. */
export function settled({ policies }, best) {
  let n = policies.length;
  while (n > 0 && policies[n - 1].every((a, i) => best[i].includes(a))) n -= 1;
  return n < policies.length ? n : null;
}

/** The world and the run as Python code. */
export function python({ gamma, j, ties, ...world }) {
  const A = world.stay ? 5 : 4;
  const pick = {
    first: "best.argmax(-1)",
    last: `${A - 1} - best[:, ::-1].argmax(-1)`,
    keep: "dp.policy_improvement(1.0 * best, a) if iterations else a",
  };
  const exactly = `gridworld.closed_form(model, mdp.deterministic_policy(a, ${A}), gamma)`;
  return `import numpy as np
from rlcourse.tabular import dynamic_programming as dp, gridworld, mdp

${worldCode(world).replace("Grid", "gridworld.Grid")}
model, gamma = gridworld.grid_mdp(world), ${gamma}
exact = dp.policy_iteration(model, gamma).v
v, a, iterations = 0 * exact, np.full(exact.shape, ${A - 1}), 0
while np.abs(v - exact).max() >= 1e-3:
    best = mdp.greedy_sets(mdp.action_values(model, v, gamma))
    a = ${pick[ties]}
    v = ${j ? `dp.truncated_evaluation(model, a, v, gamma, j=${j})` : exactly}
    iterations += 1
print(iterations, "iterations")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.dp, .two, .even { display: grid; gap: 1rem; } .dp > *, .two > *, .even > * { min-width: 0; }
.two { grid-template-areas: "map" "side" "rules"; align-items: start; } .side { grid-area: side; } .rules { grid-area: rules; } button { min-width: 3.2rem; }
.depths { display: grid; grid-template-columns: repeat(12, minmax(0, 1fr)); align-items: end; } .depths > div { display: contents; }
.depths .cap { grid-column: 1 / -1; margin: .4rem 0 .1rem; line-height: 1.2; font-weight: 500; }
.col, .tick { cursor: pointer; text-align: center; font-size: .74rem; color: var(--mut); line-height: 1.3; padding: .3rem 2px 0; }
.col span { display: block; margin: 0 -1rem; } .col div { position: relative; height: 30px; border-bottom: 1px solid var(--edge); }
.col i { position: absolute; inset: auto 0 0; background: var(--edge); border-radius: 3px 3px 0 0; opacity: .7; }
.col u { position: absolute; left: -2px; right: -2px; border-top: 2px dotted var(--ink); }
.one { color: var(--warm); font-weight: 650; } .one i { background: var(--warm); opacity: 1; }
.on { color: var(--ink); font-weight: 750; } .on i { background: var(--accent); opacity: 1; }
.never i { background: repeating-linear-gradient(135deg, var(--edge) 0 2px, transparent 2px 6px); opacity: 1; }
.depths .pick { display: block; grid-column: 1 / -1; margin: 0 calc(100% / 24 - 10px); }
.pick .slider { grid-template-columns: 1fr; } .pick .slider > :not(input) { display: none; }
.depths .cap:empty { margin: 0; } .tick { padding: 0; margin-top: -.5rem; font-size: .82rem; }
.not { fill: var(--card); stroke: var(--warm); stroke-width: 3.5; }
.count { font-size: 1.2rem; } .legend .ar { width: 1.2em; height: 1em; vertical-align: -.1em; } .legend .ar path { fill: var(--ink); } .legend .ar .not { fill: none; }
.story { font-weight: 650; margin-top: .6rem; } .told { margin: .5rem 0; }
.chart .arrows { stroke: var(--ink); stroke-dasharray: 2 3; } .chart .goal { stroke: var(--ink); }
path.other { stroke: var(--edge); stroke-width: 1.2; } path.one { stroke: var(--warm); stroke-width: 2; stroke-dasharray: 5 4; }
path.was { stroke: var(--mut); stroke-width: 2.4; stroke-dasharray: 1 5; stroke-linecap: round; }
path.run { stroke: var(--accent); stroke-width: 4; stroke-linejoin: round; } path.dots { stroke: var(--accent); stroke-width: 8; stroke-linecap: round; }
.chart path.dia, .legend path.dia { fill: var(--card); stroke: var(--ink); stroke-width: 1.3; } .chart path.dia.on { fill: var(--accent); stroke: var(--accent); }
@container (max-width: 559px) { .long .few:not(.on) span { visibility: hidden; } .col span { font-size: .66rem; letter-spacing: -.04em; } }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; }
  .two { grid-template: "map side" auto "rules side" 1fr / minmax(0, 1fr) minmax(0, 1fr); }
  .depths { grid-template-columns: 6.6rem repeat(12, minmax(0, 1fr)); } .depths .cap { grid-column: 1; margin: 0; padding-right: .4rem; }
  .depths .pick { grid-column: 2 / -1; } .depths > .cap { align-self: center; } }
`;

const inSum = (x, digits = 3) => (x < 0 ? `(${num(x, digits)})` : num(x, digits));
const depth = (j) => String(j ?? "∞");
const icon = (props) => s("svg", { class: "ar", viewBox: "44 26 38 32", "aria-hidden": "true" }, arrow(1, props));
const TIES = { first: "first", last: "last", keep: "old one if it is among them" };

export function mount(host, data, { onState = () => {} } = {}) {
  const start = copyOf(data.world);
  const w = copyOf(start);
  let solution = solve(w);
  const costs = () => solution.runs.map((each) => cost(solution.m, each));
  const same = String(data.golden.iterations) === String(costs().map((c) => c[0]));
  if (!same || !(distance(data.golden.v, solution.exact) <= 1e-9))
    throw new Error("values differ from the package's");
  const chosen = () => solution.runs[DEPTHS.indexOf(w.j)];
  const span = () => (w.j ?? 1) + 1;
  const last = () => chosen().policies.length * span();
  let k = last(); // the step that is shown: 0 is the start, then one improvement and its sweeps in turn
  let before = null; // what the reader's last change replaced
  let picked = data.selected;

  /** What is known at step k: the iteration, its part (0: improved; else the sweep), and the sweeps so far. */
  const now = () => {
    const n = Math.ceil(k / span());
    const part = k && (k - 1) % span();
    const done = n && (n - 1) * (span() - 1) + part;
    return { n, part, done, v: valuesAt(solution.m, chosen(), done), a: n ? chosen().policies[n - 1] : null, error: chosen().errors[done] };
  };

  const j = () => math("j");
  const ui = frame(host, {
    title: data.title ?? "How long should one evaluate before improving?",
    lead: ["Improve: each cell takes its best arrow. Then sweep ", j(), " times along the arrows. ", j(), " = 1 is value iteration, ", j(), " = ∞ policy iteration; all are one family."],
    css: GRID + STYLE,
  });

  // --- controls
  const rate = (field, label, name, [min, max, step, digits]) => {
    const oninput = (x, fresh) => change({ [field]: x }, fresh);
    return slider({ label, name, min, max, step, value: w[field], format: (x) => num(x, digits), oninput });
  };
  const dig = (x, fresh) => change({ j: DEPTHS[x] }, fresh);
  const deep = slider({ label: "j", name: "j, sweeps of an iteration", min: 0, max: 11, step: 1, value: DEPTHS.indexOf(w.j), format: (x) => depth(DEPTHS[x]), oninput: dig });
  const controls = {
    gamma: rate("gamma", math("γ"), "gamma, discount rate", [0, 0.99, 0.01, 2]),
    r_forbidden: rate("r_forbidden", math("r_forbidden"), "reward for a forbidden cell", [Math.min(-10, w.r_forbidden), Math.max(0, w.r_forbidden), 0.5, 1]),
    ties: choice({ label: "ties take", name: "ties, the arrow that is taken of several best", options: ["first", "last", "keep"].map((x) => [x, x]), value: w.ties, onpick: (x) => change({ ties: x }) }),
  };
  const seek = (step) => (runner.stop(), show(step));
  const scrub = slider({ label: "step", name: "step of the run", min: 0, max: k, step: 1, value: k, format: String, oninput: seek });
  const tick = (first) => (show(first && k === last() ? 0 : k + 1), k < last());
  const runner = player(tick, () => (k < 3 * span() ? 350 : 60));
  const steps = [button("Back", () => seek(k - 1)), button("Step", () => seek(k + 1)), button("End", () => seek(last()))];
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const restore = button("Restore", () => reset({}), { class: "quiet" });
  const map = worldMap(w, { label: "Grid world: arrow keys move", pick: (i) => ((picked = i), show(k)) });
  const [count, story, legend, note] = ["count", "story", "legend told", "note"].map((kind) => h("p", { class: kind }));
  const [chart, sums, bars, ticks] = ["", "even", "", ""].map((kind, i) => h("div", { class: kind, "aria-hidden": i > 1 && "true" }));
  ui.body.append(
    h("div", { class: "dp" },
      h("div", { class: "panel" },
        h("p", { class: "cap" }, "What it takes until no value is off by 0.001"),
        h("div", { class: "depths" }, bars, h("p", { class: "cap" }, j(), ", sweeps of an iteration"), h("div", { class: "pick" }, deep.el), ticks),
        story,
      ),
      h("div", { class: "two" },
        h("div", {}, map.el, legend),
        h("div", { class: "side" }, count, note, h("div", { class: "noprint told" }, scrub.el, h("div", { class: "row" }, runner.el, steps)), chart),
        h("div", { class: "rules" }, Object.values(controls).map((c) => c.el)),
      ),
      ask.el,
      h("div", { class: "panel" }, sums),
      h("div", { class: "noprint" }, h("div", { class: "row" }, restore, copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields, fresh = true) {
    runner.stop();
    ask.clear();
    copy.clear();
    if (fresh) before = { v: solution.exact, costs: costs(), errors: w.j && chosen().errors };
    Object.assign(w, fields);
    if (String(Object.keys(fields)) !== "j") solution = solve(w);
    deep.set(DEPTHS.indexOf(w.j));
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    drawBars();
    show(last());
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    picked = data.selected;
    change({ ...copyOf(start), ...fields });
  }

  function show(step) {
    k = Math.max(0, Math.min(step, last()));
    scrub.set(k, last());
    drawMap();
    drawSums();
    drawChart();
  }

  // --- drawing
  function drawBars() {
    const all = costs();
    const mark = (x) => (x === 1 ? " one" : [5, 20, null].includes(x) ? "" : " few") + (x === w.j ? " on" : "");
    const line = (words, x) => {
      const most = Math.max(...[...all, ...(before?.costs ?? [])].map((c) => c[x]).filter(Number.isFinite));
      const percent = (c) => `${Math.min(1, c / (most || 1)) * 100}%`;
      const column = (depth, i) => {
        const c = all[i][x];
        const was = before?.costs[i][x] ?? c;
        const bar = h("div", {}, h("i", { style: { height: percent(c) } }), was !== c && h("u", { style: { bottom: percent(was) } }));
        return h("div", { class: `col${mark(depth)}${c === Infinity ? " never" : ""}`, onclick: () => change({ j: depth }) }, h("span", {}, num(c, 0)), bar);
      };
      return [h("p", { class: "cap" }, words), ...DEPTHS.map(column)];
    };
    bars.className = all.some((c) => c[2] > 999 && c[2] < Infinity) ? "long" : "";
    bars.replaceChildren(...["iterations", "sweeps in all", "actions looked at in each cell"].flatMap(line));
    const tick = (x) => h("div", { class: `tick${mark(x)}`, onclick: () => change({ j: x }) }, depth(x));
    ticks.replaceChildren(h("p", { class: "cap" }), ...DEPTHS.map(tick));
    const [n, sweeps, looks] = cost(solution.m, chosen());
    const first = settled(chosen(), solution.best);
    const best = first === null ? "" : `; all arrows are best from iteration ${first + 1} on`;
    const A = solution.m.A;
    const sum = `${w.j > 1 ? `(${A} + ${w.j - 1})` : A} = ${looks} actions in each cell${w.j > 1 ? `, j = 1 at ${all[0][2]}` : ""}`;
    const price = w.j ? `It looks at ${n} × ${sum}.` : "By sweeps alone an exact evaluation would never end.";
    story.textContent = `j = ${depth(w.j)}: ${many(n, "iteration")}, ${w.j ? many(sweeps, "sweep") : "an exact solve in each"}${best}. ${price}`;
  }

  function drawMap() {
    const { n, part, done, v, a, error } = now();
    const { exact, best } = solution;
    const shown = k < last() || !before;
    const ghost = shown ? exact : before.v;
    const scale = Math.max(...exact.map(Math.abs), ...v.map(Math.abs));
    const good = (i) => best[i].includes(a[i]);
    map.draw(picked, v, scale, (i) => ({
      ghost: short(ghost[i]) === short(v[i]) ? "" : short(ghost[i]),
      marks: a && !solution.m.ends[i] ? arrow(a[i], { class: good(i) ? null : "not" }) : [],
      best: a ? `arrow ${ACTIONS[a[i]]}, ${good(i) ? "best" : "not best"}` : "no arrow yet",
    }));
    legend.replaceChildren(
      h("span", {}, icon(), ` best arrow: ${a ? a.filter((_, i) => good(i)).length : 0} of ${v.length}`),
      h("span", {}, icon({ class: "not" }), " not the best"),
      h("span", {}, h("i", {}, "1.23"), shown ? " the exact value" : " before your change"),
    );
    count.textContent = !k ? "Nothing is known yet" : `Iteration ${n}: ${!part ? "improve" : w.j ? `sweep ${part} of ${w.j}` : "solve"}`;
    note.textContent = `${many(done, w.j ? "sweep" : "solve")} so far. The worst value is off by ${sci(error)}${error < GOAL ? ": near enough" : ""}.`;
  }

  /** The arithmetic of the step, with the numbers of this moment. */
  function drawSums() {
    const { part, done, v, a, error } = now();
    const { m, exact } = solution;
    const q = Array.from({ length: m.A }, (_, b) => look(m, v, picked, b));
    const good = greedy(m, v, picked);
    const b = a ? a[picked] : good[0];
    const from = part && w.j ? valuesAt(m, chosen(), done - 1) : v;
    const right = `${num(m.r[picked * m.A + b], 1)} + ${m.ends[picked] ? "0" : `${num(w.gamma)} × ${inSum(from[m.next[picked * m.A + b]])}`}`;
    const head = (words) => h("p", { class: "cap" }, words);
    const small = (words) => h("p", { class: "note" }, words);
    const stays = w.j ? `It was ${num(from[picked], 3)} before. ${part > 1 ? "No other action is looked at." : "Known from the improvement."}` : "All cells are solved at once.";
    const tie = good.length > 1 ? `${good.map((b) => GLYPHS[b]).join(" ")} tie: take the ${TIES[w.ties]}.` : "No other action is as good.";
    const what = part
      ? [head(`${w.j ? "The sweep" : "The solve"} at ${nameOf(w, picked)}`), lines(`${GLYPHS[b]} v(s) ${w.j ? "←" : "="} r + γ v(s′) =`, `${right} = ${num(v[picked], 3)}`), small(stays)]
      : [head(`The actions at ${nameOf(w, picked)}`), actionBars(q, good), lines(`${GLYPHS[b]} r + γ v(s′) =`, `${right} = ${num(q[b], 3)}`), small(tie)];
    const worst = exact.findIndex((x, i) => Math.abs(x - v[i]) === error);
    const digits = error < 0.01 && error > 1e-9 ? 6 : 3;
    const gap = [`max |v − v*| =`, `|${inSum(v[worst], digits)} − ${inSum(exact[worst], digits)}| = ${sci(error)}`];
    sums.replaceChildren(h("div", {}, what), h("div", {}, head(`The largest error, at ${nameOf(w, worst)}`), lines(...gap)));
  }

  function drawChart() {
    const [W, H, L, R, T, B, lo] = [320, 220, 34, 26, 8, 22, -4];
    const { done, error } = now();
    const mine = chosen();
    const [one, exactly] = [solution.runs[0], solution.runs.at(-1)];
    const wide = 10 * Math.ceil(0.106 * Math.max(1, one.errors.length - 1, w.j && mine.errors.length - 1));
    const hi = Math.max(0, Math.ceil(Math.log10(mine.errors[0] || 1) - 1e-9));
    const x = (i) => L + ((W - L - R) * i) / wide;
    const y = (e) => T + ((H - T - B) * (hi - Math.max(lo, Math.log10(e || 1e-99)))) / (hi - lo);
    const point = (list) => (i) => `${x(i).toFixed(1)} ${y(list[i]).toFixed(1)}`;
    const every = Math.ceil(wide / 150);
    const curve = (kind, d) => s("path", { class: kind, d });
    const path = (kind, list) => curve(kind, `M${[...list.keys()].filter((i) => i <= wide && (i % every === 0 || i === list.length - 1)).map(point(list)).join("L")}`);
    const text = (x, words, anchor = "end", y = H - 4) => s("text", { x, y, "text-anchor": anchor }, words);
    const label = (anchor, dx) => text(at + dx, "all arrows best", anchor, H - B - 5);
    const level = (_, i) => [curve(hi - i === -3 ? "goal" : "grid", `M${L} ${y(10 ** (hi - i))}H${W - R}`), text(L - 6, `10${raised(hi - i)}`, "end", y(10 ** (hi - i)) + 4)];
    const start = (_, n) => (n % every ? "" : `M${point(mine.errors)(n * w.j)}h.01`);
    const solves = exactly.errors.map((e) => `M${W - 9} ${y(e) - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5Z`).join("");
    const first = settled(mine, solution.best);
    const at = x(first * w.j);
    const props = { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", onpointerdown: drag, onpointermove: drag, "aria-label": note.textContent };
    const was = before?.errors;
    chart.replaceChildren(
      h("p", { class: "cap" }, "The largest error after each sweep"),
      s("svg", props,
        Array.from({ length: hi - lo }, level),
        text(L, "0", "start"),
        text(W - R, `${wide} sweeps`),
        text(W - 9, "∞", "middle"),
        solution.runs.filter((each) => each.j > 1).map((each) => path("other", each.errors)),
        was && path("was", was),
        w.j && path("run", mine.errors),
        w.j && curve("dots", mine.policies.map(start).join("")),
        path("one", one.errors),
        first !== null && w.j && [curve("arrows", `M${at} ${T}V${H - B}`), at > W / 3 ? label("end", -5) : label("start", 5)],
        curve(w.j ? "dia" : "dia on", solves),
        s("circle", { class: "now", cx: w.j ? x(done) : W - 9, cy: y(error), r: 6 }),
      ),
      h("p", { class: "legend" },
        w.j > 1 && key("run", `j = ${w.j}`),
        key("one", "j = 1"),
        key("other", "other j"),
        key("dia", "j = ∞", "M13 0l5 5l-5 5l-5 -5Z"),
        was && key("was", "before"),
      ),
    );
    function drag(event) {
      if (!event.buttons || !w.j) return;
      const box = event.currentTarget.getBoundingClientRect();
      const sweeps = Math.round(((((event.clientX - box.left) / box.width) * W - L) / (W - L - R)) * wide);
      seek(sweeps + Math.ceil(sweeps / w.j));
    }
  }

  const state = () => {
    const { n, part, done, v, a } = now();
    return { world: copyOf(w), step: k, iteration: n, part, sweeps: done, v: [...v], a: a && [...a], selected: picked };
  };
  drawBars();
  show(k);
  return { state, set: (fields) => change(copyOf(fields)) };
}

mountAll("dynamic_programming", mount);
