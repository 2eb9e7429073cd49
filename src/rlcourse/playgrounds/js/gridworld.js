// GridWorld: change a world by hand and see the Bellman optimality equation solved again.
import { ACTIONS, actionBars, arrow, backup, distance, dry, GLYPHS, greedy, GRID, kindOf, model, nameOf, short, trail, worldCode, worldMap } from "./grid.js";
import { button, choice, copyButton, copyOf, frame, h, key, lines, many, math, mountAll, num, player, prompts, raised, s, sci, slider, stroke } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.tabular.gridworld
const MOST = 5000; // sweeps
const TOLERANCE = 1e-6;

const sweep = (m, v) => v.map((_, i) => Math.max(...backup(m, v, i)));
/** Value iteration from v = 0 until no value is off by more than the tolerance: all its sweeps, and v*
 *  to many more digits. With γ = 1 it stops once nothing changes by more than the tolerance, if it stops:
 *  where it can't, exact is null and the first 100 sweeps are kept. */
export function solve(w) {
  const m = model(w);
  const shrink = w.gamma < 1 ? w.gamma / (1 - w.gamma) : 1;
  const sweeps = [m.ends.map(() => 0)];
  const bound = [];
  const finite = w.gamma < 1 || (w.terminal && w.target.length > 0);
  while (finite && sweeps.length <= MOST && !(bound.at(-1) <= TOLERANCE)) {
    sweeps.push(sweep(m, sweeps.at(-1)));
    bound.push(shrink * distance(sweeps.at(-1), sweeps.at(-2)));
  }
  if (!(bound.at(-1) <= TOLERANCE)) {
    while (sweeps.length <= 100) sweeps.push(sweep(m, sweeps.at(-1)));
    return { m, sweeps: sweeps.slice(0, 101), exact: null, errors: null };
  }
  let exact = sweeps.at(-1);
  for (let next, far = true, n = 0; far && n < MOST; n += 1, exact = next) {
    next = sweep(m, exact);
    far = shrink * distance(next, exact) > 1e-11;
  }
  return { m, sweeps, exact, errors: sweeps.map((v) => distance(v, exact)) };
}

/** The cells that the best moves visit from cell i, and how that ends. While tied values leave open which
 *  way is progress, there is no route: end is "tied". */
export function route(w, m, v, i) {
  const cells = [i];
  for (;;) {
    const here = cells.at(-1);
    if (w.target.includes(here)) return { cells, end: "target" };
    const next = greedy(m, v, here).map((a) => m.moves[here][a].next);
    if (next.every((x) => x === here)) return { cells, end: "stays" };
    if (next.some((x) => cells.includes(x))) return { cells: [i], end: "tied" };
    cells.push(next[0]);
  }
}

/** The world and its solution as Python code. */
export function python({ gamma, ...world }) {
  return `from rlcourse.tabular.gridworld import GridWorld, grid_mdp, value_iteration

${worldCode(world)}
v, sweeps = value_iteration(grid_mdp(world), gamma=${gamma}, tolerance=1e-6)
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.gw, .two, .even { display: grid; gap: 1rem; } .two { grid-template-areas: "map" "story" "side"; } .gw > *, .two > *, .even > * { min-width: 0; }
.map { grid-area: map; }
.over path { fill: none; stroke: var(--route); stroke-width: .15; stroke-linecap: round; stroke-linejoin: round; opacity: .85; }
.over .was { stroke: var(--ink); stroke-width: .035; stroke-dasharray: .09 .09; opacity: .8; }
.side { grid-area: side; display: flex; flex-direction: column; justify-content: space-between; gap: .6rem; }
.told { grid-area: story; } .story { font-weight: 650; margin-bottom: .3rem; }
.legend .best { stroke: var(--route); stroke-width: 6; stroke-linecap: round; } .legend .was { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 4; }
.chart .step + text { font-size: 12.5px; fill: var(--ink); font-weight: 600; }
path.bound { stroke: var(--warm); stroke-width: 1.8; } .chart .step { stroke: var(--ink); stroke-width: 1.4; }
path.old, path.dots { stroke-linecap: round; } path.old { stroke: var(--mut); stroke-width: 2; } path.dots { stroke: var(--accent); stroke-width: 6; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; }
  .two { grid-template: "map side" auto "story story" auto / minmax(0, 1.1fr) minmax(0, 1fr); } }
`;

const inSum = (x) => (x < 0 ? `(${num(x, 3)})` : num(x, 3));

export function mount(host, data, { onState = () => {} } = {}) {
  const start = copyOf(data.world);
  const w = copyOf(start);
  let solution = solve(w);
  if (!(distance(data.golden.v, solution.sweeps.at(-1)) <= 1e-9)) throw new Error("values differ from the package's");
  let k = solution.sweeps.length - 1; // the sweep that is shown
  let before = null; // what the reader's last change replaced: {v, cells, errors}
  let picked = data.selected;
  const last = () => solution.sweeps.length - 1;
  const name = (i) => nameOf(w, i);

  const ui = frame(host, {
    title: data.title ?? "Which way is best, and when is a short cut worth its fine?",
    lead: "Each cell shows what the best moves earn from there. Click a cell to look into it; click it again to change it: plain → forbidden → target.",
    css: GRID + STYLE,
  });

  // --- the world
  const pick = (i) => ((picked = i), show(k));
  const map = worldMap(w, { label: "Grid world: arrow keys move, Enter changes a cell", pick, act: cycle });
  const paths = { was: s("path", { class: "was" }), now: s("path") };
  map.over.append(paths.now, paths.was);

  function cycle(i) {
    const without = (list) => list.filter((x) => x !== i);
    const lists = { forbidden: without(w.forbidden), target: without(w.target) };
    lists[{ plain: "forbidden", forbidden: "target" }[kindOf(w, i)]]?.push(i);
    change(lists);
    ui.say(map.text(i));
  }

  // --- controls
  const rate = (key, label, name, [min, max, step, digits]) => {
    const oninput = (x, fresh) => change({ [key]: x }, fresh);
    return slider({ label, name, min, max, step, value: w[key], format: (x) => num(x, digits), oninput });
  };
  const costs = (key) => [Math.min(-10, w[key]), Math.max(0, w[key]), 0.5, 1];
  const ends = { label: "target", name: "what a target does", options: [[false, "pays on"], [true, "ends it"]] };
  const controls = {
    gamma: rate("gamma", math("γ"), "gamma, discount rate", [0, 1, 0.01, 2]),
    r_forbidden: rate("r_forbidden", math("r_forbidden"), "reward for a forbidden cell", costs("r_forbidden")),
    r_boundary: rate("r_boundary", math("r_boundary"), "reward for bumping into the wall", costs("r_boundary")),
    slip: rate("slip", "slip", "slip, the probability that a random action replaces the chosen one", [0, 1, 0.05, 2]),
    terminal: choice({ ...ends, value: w.terminal, onpick: (terminal) => change({ terminal }) }),
  };
  const seek = (j) => (run.stop(), show(j));
  const scrub = slider({ label: "sweep", name: "sweep of value iteration", min: 0, max: k, step: 1, value: k, format: String, oninput: seek });
  const tick = (first) => (show(first && k === last() ? 0 : k + 1), k < last());
  const run = player(tick, () => (k < 12 ? 350 : 40));
  const count = h("div", {});
  const steps = [button("Back", () => seek(k - 1)), button("Step", () => seek(k + 1)), button("Solve", () => seek(last()))];
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const restore = button("Restore", () => reset({}), { class: "quiet" });

  const [story, legend] = ["story", "legend"].map((kind) => h("p", { class: kind }));
  const [table, chart] = [1, 2].map(() => h("div", { class: "panel" }));
  const sweeps = h("div", { class: "panel" }, count, h("div", { class: "noprint" }, scrub.el, h("div", { class: "row" }, run.el, steps)));
  const side = h("div", { class: "side" }, h("div", {}, Object.values(controls).map((c) => c.el)), sweeps);
  ui.body.append(
    h("div", { class: "gw" },
      h("div", { class: "two" }, map.el, h("div", { class: "told" }, story, legend), side),
      ask.el,
      h("div", { class: "even" }, table, chart),
      h("div", { class: "noprint" }, h("div", { class: "row" }, restore, copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields, fresh = true) {
    run.stop();
    ask.clear();
    copy.clear();
    if (fresh) before = snapshot();
    Object.assign(w, fields);
    solution = solve(w);
    for (const [key, control] of Object.entries(controls)) control.set(w[key]);
    show(last());
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    picked = data.selected;
    change({ ...copyOf(start), ...fields });
  }

  function snapshot() {
    const v = solution.exact;
    return v && { v, cells: route(w, solution.m, v, picked).cells, errors: solution.errors };
  }

  function show(sweep) {
    k = Math.max(0, Math.min(sweep, last()));
    scrub.set(k, last());
    // while the sweeps run, the exact answer is the ghost; afterwards, what was there before the change
    const ghost = k < last() && solution.exact ? snapshot() : before;
    drawCount();
    drawCells(ghost);
    drawRoute(ghost);
    drawBackup();
    drawChart();
  }

  // --- drawing
  function drawCount() {
    const solved = solution.exact !== null;
    const off = solved && k < last() && distance(solution.sweeps[k], solution.exact);
    const sums = "With γ = 1 the sums never settle: lower it, or let a target end the episode.";
    const text = !solved ? sums : k < last() ? `The worst value is still off by ${sci(off)}.` : "No value is off by more than 10⁻⁶.";
    const head = solved ? many(k, "sweep") : "✕ No solution";
    count.replaceChildren(h("p", { class: "count" }, head), h("p", { class: solved ? "note" : "bad" }, text));
  }

  function drawCells(ghost) {
    const v = solution.sweeps[k];
    const scale = Math.max(1e-9, ...(solution.exact ?? v).map(Math.abs), ...v.map(Math.abs));
    map.draw(picked, v, scale, (i) => {
      const best = k && !solution.m.ends[i] ? greedy(solution.m, v, i) : [];
      const was = ghost && short(ghost.v[i]) !== short(v[i]) ? short(ghost.v[i]) : "";
      return { ghost: was, marks: best.map((a) => arrow(a)), best: `best: ${best.map((a) => ACTIONS[a]).join(" or ") || "none"}` };
    });
  }

  function drawRoute(ghost) {
    const found = k ? route(w, solution.m, solution.sweeps[k], picked) : { cells: [picked], end: "tied" };
    paths.now.setAttribute("d", trail(w, found.cells));
    paths.was.setAttribute("d", trail(w, ghost?.cells) === trail(w, found.cells) ? "" : trail(w, ghost?.cells));
    story.textContent = tell(found);
    const old = k < last() && solution.exact ? "the exact answer" : "before your change";
    legend.replaceChildren(
      h("span", {}, h("b", {}, "★"), ` target ${num(w.r_target, 1)}`),
      h("span", {}, h("b", {}, "✕"), ` forbidden ${num(w.r_forbidden, 1)}`),
      key("best", "best route"),
      ghost ? h("span", {}, h("i", {}, "1.23 "), stroke("was"), ` ${old}`) : "",
    );
  }

  function tell({ cells: list, end }, n = list.length - 1) {
    const from = `From ${name(picked)}`;
    const wet = list.slice(1).filter((i) => w.forbidden.includes(i)).length;
    const worth = `worth ${short(solution.sweeps[k][picked])} ${k < last() || !solution.exact ? "so far" : "in all"}`;
    if (end === "tied") return `${from}: the values are still tied, so no route is best yet.`;
    if (end === "stays") return `${from}: ${n ? `${many(n, "step")}, then ` : ""}stand still for ever; ${worth}.`;
    if (!n && w.terminal) return `${name(picked)} is a target: the episode ends on entering it.`.replace("r", "R");
    const stays = greedy(solution.m, solution.sweeps[k], picked).some((a) => solution.m.moves[picked][a].next === picked);
    if (!n) return `${from}, a target: ${stays ? "stay and earn on" : "better to leave it"}; ${worth}.`;
    const through = wet ? `${wet} of them into a forbidden cell` : "none of them into a forbidden cell";
    return `${from}: ${many(n, "step")} to the target, ${through}; ${worth}${w.slip ? " with all slips" : ""}.`;
  }

  function drawBackup() {
    const v = solution.sweeps[k];
    const q = backup(solution.m, v, picked);
    table.replaceChildren(
      h("p", { class: "cap" }, `The actions at ${name(picked)}`),
      actionBars(q, greedy(solution.m, v, picked)),
      h("div", { class: "sum" }, sums(v, q)),
    );
  }

  /** The arithmetic of the best action, with the numbers of this moment. */
  function sums(v, q) {
    if (solution.m.ends[picked]) return h("p", {}, "The episode is over here: nothing more is earned, so v(s) = 0.");
    const a = q.indexOf(Math.max(...q));
    const { r, next } = solution.m.moves[picked][a];
    const each = dry(solution.m, v, picked);
    const future = solution.m.ends[next] ? "0 (the end)" : `${num(w.gamma)} × ${inSum(v[next])}`;
    const settled = k === last() && solution.exact;
    const coming = `The next sweep writes ${num(q[a], 3)} over ${num(v[picked], 3)}.`;
    const result = h("p", { class: "note" }, settled ? "The largest is the value of the cell." : coming);
    const plain = lines(`${GLYPHS[a]} r + γ v(s′) =`, `${num(r, 1)} + ${future} = ${num(each[a], 3)}`);
    if (!w.slip) return [plain, result];
    const mean = `mean(${each.map((x) => num(x)).join(", ")})`;
    const slips = `${num(w.slip)} × ${mean} = ${num(q[a], 3)}`;
    return [plain, lines("with slips:", `${num(1 - w.slip)} × ${inSum(each[a])} +`, slips), result];
  }

  function drawChart() {
    const [W, H, L, R, T, B] = [320, 180, 34, 10, 8, 22];
    const settled = solution.exact !== null;
    const measured = solution.errors ?? solution.sweeps.slice(1).map((v, i) => distance(v, solution.sweeps[i]));
    const n = measured.length - 1;
    const now = Math.min(k, n);
    const wide = Math.min(Math.max(n, before ? before.errors.length - 1 : 1), 8 * Math.max(n, 3));
    const [hi, lo] = [Math.max(0, Math.ceil(Math.log10(Math.max(measured[0], before?.errors[0] ?? 0) || 1) - 1e-9)), -7];
    const x = (i) => L + ((W - L - R) * i) / wide;
    const y = (e) => T + ((H - T - B) * (hi - Math.max(lo, Math.log10(e || 1e-99)))) / (hi - lo);
    const dots = (list) => {
      const some = list.map((e, i) => [i, e]).filter(([i, e]) => i <= wide && i % Math.ceil(Math.max(list.length / 30, wide / 40)) === 0 && e > 1e-7);
      return some.map(([i, e]) => `M${x(i).toFixed(1)} ${y(e).toFixed(1)}h.01`).join("");
    };
    const text = (x, y, words, anchor = "end") => s("text", { x, y, "text-anchor": anchor }, words);
    const curve = (kind, d) => s("path", { class: kind, d });
    const grid = [hi, -3, -6].map((e) => [curve("grid", `M${L} ${y(10 ** e)}H${W - R}`), text(L - 6, y(10 ** e) + 4, `10${raised(e)}`)]);
    const bound = (i) => measured[0] * w.gamma ** i;
    const digit = Math.LN10 / -Math.log(w.gamma); // sweeps for one more digit
    const from = digit * (Math.log10(measured[0]) + 1); // where the bound passes 0.1
    const end = Math.min(wide, from + 6 * digit);
    const theory = settled && w.gamma > 0 && w.gamma < 1 && measured[0] > 0;
    const stair = theory && from + 2 * digit <= wide;
    const props = { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", onpointerdown: drag, onpointermove: drag };
    const alt = `${settled ? "error" : "change"} from ${sci(measured[0])} to ${sci(measured[n])} in ${n} sweeps`;
    chart.replaceChildren(
      h("p", { class: "cap" }, settled ? "The largest error after each sweep" : "The largest change: it never shrinks"),
      s(
        "svg",
        { ...props, "aria-label": alt },
        grid,
        text(L, H - 4, "0", "start"),
        text(W - R, H - 4, `${wide} sweeps`),
        before && curve("old", dots(before.errors)),
        theory && curve("bound", `M${x(0)} ${y(measured[0])}L${x(end)} ${y(bound(end))}`),
        curve("dots", dots(measured)),
        stair && curve("step", `M${x(from)} ${y(0.1)}H${x(from + digit)}V${y(0.01)}`),
        stair && text(x(from + digit) + 7, y(0.1) + 11, `÷ 10 in ${num(digit, digit < 10 ? 1 : 0)} sweeps`, "start"),
        s("circle", { class: "now", cx: x(now), cy: y(measured[now]), r: 6 }),
      ),
      h("p", { class: "legend" },
        key("dots", settled ? "max |v − v*|" : "change", "M5 5h.01M13 5h.01M21 5h.01"),
        theory && key("bound", "bound"),
        before && key("old", "before", "M5 5h.01M13 5h.01M21 5h.01"),
      ),
      h("div", { class: "sum" }, theory && lines(`Sweep ${k}: ${sci(measured[k])} ≤`, `${num(w.gamma)}${raised(k)} × ${num(measured[0])} = ${sci(bound(k))}`)),
    );
    function drag(event) {
      if (!event.buttons) return;
      const box = event.currentTarget.getBoundingClientRect();
      seek(Math.round(((((event.clientX - box.left) / box.width) * W - L) / (W - L - R)) * wide));
    }
  }

  const state = () => ({ world: copyOf(w), v: solution.sweeps[k], sweep: k, sweeps: last(), solved: solution.exact !== null, selected: picked });
  show(k);
  return { state, set: (fields) => change(copyOf(fields)) };
}

mountAll("gridworld", mount);
