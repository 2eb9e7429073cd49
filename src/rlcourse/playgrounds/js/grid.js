// A grid world for the playgrounds that show one: its model, and a map whose cells take the focus.
import { h, num, s } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.tabular.gridworld
export const ACTIONS = ["up", "right", "down", "left", "stay"];
export const GLYPHS = ["↑", "→", "↓", "←", "•"];

/** The cell that action a leads to from cell i, or -1 for the wall around the map. */
export function neighbour(w, i, a) {
  const row = Math.floor(i / w.n_cols) + [-1, 0, 1, 0, 0][a];
  const col = (i % w.n_cols) + [0, 1, 0, -1, 0][a];
  return row < 0 || row >= w.n_rows || col < 0 || col >= w.n_cols ? -1 : row * w.n_cols + col;
}

/** The moves {r, next} of each cell on a dry floor, and which cells end the episode. */
export function model(w) {
  const cells = Array.from({ length: w.n_rows * w.n_cols }, (_, i) => i);
  const actions = ACTIONS.slice(0, w.stay ? 5 : 4);
  const reward = cells.map((i) => (w.target.includes(i) ? w.r_target : w.forbidden.includes(i) ? w.r_forbidden : w.r_step));
  const wall = (i) => w.r_boundary + (w.bump === "boundary + cell" ? reward[i] : 0);
  const moves = cells.map((i) =>
    actions.map((_, a) => {
      const next = neighbour(w, i, a);
      return next < 0 ? { r: wall(i), next: i } : { r: reward[next], next };
    }),
  );
  return { moves, ends: cells.map((i) => w.terminal && w.target.includes(i)), gamma: w.gamma, slip: w.slip };
}

/** r + γ v(s') of each move of cell i, before any slipping; where it ends, 0. */
export function dry(m, v, i) {
  return m.moves[i].map(({ r, next }) => (m.ends[i] ? 0 : r + m.gamma * v[next]));
}

/** q(s, a): with probability slip the action is replaced by a uniform one of all. */
export function backup(m, v, i) {
  const q = dry(m, v, i);
  if (!m.slip) return q;
  const mean = q.reduce((x, y) => x + y) / q.length;
  return q.map((x) => (1 - m.slip) * x + m.slip * mean);
}

/** All actions that tie for the best. */
export function greedy(m, v, i, tolerance = 1e-9) {
  const q = backup(m, v, i);
  const best = Math.max(...q) - tolerance;
  return q.flatMap((x, a) => (x >= best ? [a] : []));
}

export function distance(v, u) {
  let most = 0;
  for (let i = 0; i < v.length; i += 1) most = Math.max(most, Math.abs(v[i] - u[i]));
  return most;
}

/** The fields of a world, as Python code of a GridWorld. */
export function worldCode({ gamma, ...world }) {
  const literal = (x) =>
    Array.isArray(x) ? `(${x.map((i) => `${i},`).join(" ")})` : x === true ? "True" : x === false ? "False" : JSON.stringify(x);
  const fields = Object.entries(world).map(([key, x]) => `    ${key}=${literal(x)},`);
  return `world = GridWorld(\n${fields.join("\n")}\n)`;
}

// ------------------------------------------------------------------ view
export const GRID = `
.map { position: relative; container-type: inline-size; z-index: 0; align-self: start; }
.world { display: grid; grid-template-columns: repeat(var(--cols), 1fr); gap: 4px; touch-action: manipulation; --u: calc(1cqi / var(--cols)); }
.r { display: contents; }
.cell { position: relative; aspect-ratio: 1; border-radius: 9px; cursor: pointer; user-select: none; border: 1px solid var(--line);
  background-color: rgb(var(--tint) / var(--a)); transition: background-color .15s; }
.cell > span { position: absolute; z-index: 3; line-height: 1.1; text-shadow: 0 0 2px var(--card), 0 0 4px var(--card), 0 0 4px var(--card); }
.cell .v { left: 0; right: 0; text-align: center; bottom: 3%; font-size: clamp(8px, 21 * var(--u), 15px); font-weight: 650; }
.cell .g { right: 5%; top: 4%; font-size: clamp(7px, 16 * var(--u), 11px); font-style: italic; }
.cell .k { left: 7%; top: 3%; font-size: clamp(9px, 22 * var(--u), 16px); font-weight: 700; }
.cell svg { position: absolute; inset: 0; height: 100%; z-index: 3; fill: var(--ink); }
.cell.forbidden { border: 2px solid var(--warm); background-image: repeating-linear-gradient(135deg, rgb(var(--neg) / .2) 0 5px, transparent 5px 11px); }
.cell.target { border: 3px solid var(--accent); }
.cell[aria-selected=true] { box-shadow: 0 0 0 1px var(--card), 0 0 0 4px var(--ink); }
.cell:focus-visible { outline-offset: 5px; z-index: 4; }
.over { position: absolute; inset: 0; height: 100%; pointer-events: none; z-index: 2; }
.q { display: grid; grid-template-columns: 4.1rem 1fr 3.2rem; gap: .28rem .6rem; align-items: center; white-space: nowrap; }
.bar { position: relative; height: 14px; border-radius: 3px; background: var(--hair); }
.bar i { position: absolute; top: 0; bottom: 0; background: var(--edge); border-radius: 3px; } .bar.best i { background: var(--accent); }
.bar u { position: absolute; top: -2px; bottom: -2px; border-left: 1.5px solid var(--ink); }
.best { font-weight: 700; } .n { text-align: right; }
@media (prefers-reduced-motion: reduce) { .cell { transition: none; } }
`;

const digits = (x) => (x >= 99.95 ? 0 : x >= 9.995 ? 1 : x >= 0.0995 || x === 0 ? 2 : 3);

/** A value in so few digits that it fits into a cell. */
export function short(x) {
  return num(x, digits(Math.abs(x)));
}

export const nameOf = (w, i) => `row ${Math.floor(i / w.n_cols) + 1}, column ${(i % w.n_cols) + 1}`;
export const kindOf = (w, i) => (w.forbidden.includes(i) ? "forbidden" : w.target.includes(i) ? "target" : "plain");

/** The arrow of an action, in a cell of 100 x 100. */
export function arrow(a, props = {}) {
  if (a === 4) return s("circle", { cx: 50, cy: 42, r: 7, ...props });
  return s("path", { transform: `rotate(${90 * a} 50 42)`, d: "M47 36V27H40.5L50 15L59.5 27H53V36Z", ...props });
}

/** The path through the middle of cells, in the coordinates of a map's overlay. */
export function trail(w, cells) {
  const at = (i) => `${(i % w.n_cols) + 0.5} ${Math.floor(i / w.n_cols) + 0.42}`;
  return cells?.length > 1 ? `M${cells.map(at).join("L")}` : "";
}

/** A map of the world. pick(i): a cell is looked at; act(i): it is pressed again, or by Enter.
 *  draw(picked, v, scale, of) shows the values v, tinted by their part of scale, and of(i) = {ghost, marks, best}:
 *  an earlier value as text, arrows, and the best actions in words. Lines go into `over`, see trail. */
export function worldMap(w, { label, pick, act = pick }) {
  let picked = -1;
  const cells = Array.from({ length: w.n_rows * w.n_cols }, (_, i) => {
    let looked = false; // a press gives the cell the focus before it counts as a click
    const press = { onpointerdown: () => (looked = picked === i), onclick: () => (looked ? act(i) : pick(i)) };
    return h("div", { role: "gridcell", ...press, onfocus: () => pick(i), onkeydown: (event) => keys(event, i) });
  });

  function keys(event, i) {
    const a = ["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"].indexOf(event.key);
    if (a < 0 && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (a < 0) act(i);
    else cells[neighbour(w, i, a)]?.focus();
  }

  const row = (_, r) => h("div", { class: "r", role: "row" }, cells.slice(r * w.n_cols, (r + 1) * w.n_cols));
  const grid = h("div", { class: "world", role: "grid", style: { "--cols": w.n_cols } }, Array.from({ length: w.n_rows }, row));
  grid.ariaLabel = label;
  const over = s("svg", { class: "over", viewBox: `0 0 ${w.n_cols} ${w.n_rows}`, preserveAspectRatio: "none", "aria-hidden": "true" });

  function draw(now, v, scale, of) {
    picked = now;
    cells.forEach((cell, i) => {
      const kind = kindOf(w, i);
      const { ghost, marks, best } = of(i);
      cell.className = `cell ${kind}`;
      cell.tabIndex = i === picked ? 0 : -1;
      cell.setAttribute("aria-selected", String(i === picked));
      cell.style = `--tint: var(--${v[i] < 0 ? "neg" : "pos"}); --a: ${((0.45 * Math.abs(v[i])) / (scale || 1)).toFixed(3)}`;
      cell.replaceChildren(
        h("span", { class: "sr" }, `${nameOf(w, i)}, ${kind}, value ${num(v[i])}, ${best}`),
        s("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" }, marks),
        h("span", { class: "k", "aria-hidden": "true" }, { target: "★", forbidden: "✕" }[kind] ?? ""),
        h("span", { class: "g", "aria-hidden": "true" }, ghost),
        h("span", { class: "v", "aria-hidden": "true" }, short(v[i])),
      );
    });
  }

  return { el: h("div", { class: "map" }, grid, over), over, draw, text: (i) => cells[i].textContent };
}

/** Bars of the action values q; those that are among `best` stand out. */
export function actionBars(q, best) {
  const lo = Math.min(0, ...q);
  const span = Math.max(0, ...q) - lo || 1;
  const percent = (x) => `${(100 * (x - lo)) / span}%`;
  const bar = (x, a) => {
    const top = best.includes(a) ? " best" : "";
    const style = { left: percent(Math.min(0, x)), width: `${(100 * Math.abs(x)) / span}%` };
    const zero = lo < 0 && h("u", { style: { left: percent(0) } });
    const text = (kind, words) => h("span", { class: kind + top }, words);
    return [text("", `${GLYPHS[a]} ${ACTIONS[a]}`), text("bar", [h("i", { style }), zero]), text("n", num(x))];
  };
  return h("div", { class: "q" }, q.map(bar));
}
