// ZeRO: which of the states of training shrink with the number of ranks, and whether a step fits.
import { button, choice, copyButton, copyOf, frame, h, lines, many, math, mountAll, num, prompts, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.systems.zero, exact below 2^53
export const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** ⌈n / of⌉ without a fraction in between. */
export const share = (n, of) => (n + of - 1 - ((n + of - 1) % of)) / of;

/** n₃, n₂, n₁: the weights, gradients and optimizer states of how many parameters a rank keeps. */
export const kept = (parameters, ranks, stage) => [3, 2, 1].map((first) => (stage >= first ? share(parameters, ranks) : parameters));

/** Bytes of weights, gradients, master weights and moments on each rank. */
export function stateBytes(parameters, recipe, ranks, stage) {
  const [n3, n2, n1] = kept(parameters, ranks, stage);
  const constants = recipe.block ? 2 * 4 * share(n1, recipe.block) : 0;
  return [recipe.weights * n3, recipe.gradients * n2, recipe.master * n1, recipe.moments * n1 + constants];
}

/** What one rank keeps of a unit: moments come with a step count of 4 bytes for each tensor. */
export function unitStates({ parameters, tensors }, recipe, ranks, stage) {
  const bytes = stateBytes(parameters, recipe, ranks, stage);
  if (recipe.moments) bytes[3] += 4 * (ranks > 1 && stage ? 1 : tensors);
  return bytes;
}

/** The units of a model, whose sizes are (fixed, per N, per B N), for B sequences of N tokens. */
export function unitsOf({ layers, tied, ends, blocks }, recipe, { batch, tokens, checkpointing, ranks, stage }) {
  const at = ([fixed, row, token]) => fixed + tokens * (row + batch * token);
  const most = (rows) => Math.max(...rows.map(at));
  const unit = (name, [parameters, tensors, held, forward, backward, released]) => ({ name, parameters, tensors, held: at(held), forward: most(forward), backward: most(backward), released: at(released) });
  const [embedding, loss] = ends[recipe.weights].map((form, i) => unit(["embedding", "loss"][i], form));
  const table = tied && stage === 3 && ranks > 1 ? recipe.weights * ranks * share(embedding.parameters, ranks) : 0;
  const [first, other] = blocks[recipe.weights][Number(checkpointing)];
  const middle = Array.from({ length: layers }, (_, i) => unit(`block ${i}`, i ? other : first));
  return [embedding, ...middle, { ...loss, forward: loss.forward + table, backward: loss.backward + table }];
}

/** The moments of a step, as rlcourse.systems.memory_timeline: names, and the bytes of each owner. */
export function timeline(units, recipe, { ranks, stage, batch, tokens }) {
  const row = ({ parameters }) => recipe.weights * ranks * share(parameters, ranks);
  const kept = units.map((unit) => unitStates(unit, recipe, ranks, stage));
  const weights = sum(kept.map((bytes) => bytes[0]));
  const optimizer = sum(kept.map((bytes) => bytes[2] + bytes[3]));
  const moments = [];
  let [held, gradients] = [0, 0];
  const note = (name, working, unit) => moments.push([name, [weights, unit && ranks > 1 && stage === 3 ? row(unit) : 0, gradients, optimizer, held, working, 16 * batch * tokens]]);
  for (const unit of units) {
    note(`forward ${unit.name}`, unit.forward, unit);
    held += unit.held;
  }
  [...units].reverse().forEach((unit, i) => {
    const mine = kept.at(-1 - i)[1];
    note(`backward ${unit.name}`, unit.backward, unit);
    held -= unit.released;
    const fresh = recipe.weights * unit.parameters;
    if (fresh !== mine) note(`reduce ${unit.name}`, fresh + (ranks > 1 && stage > 1 ? row(unit) : 0) + mine, unit);
    gradients += mine;
  });
  note("update", 0);
  return moments;
}

/** The first of the moments with the most bytes. */
export const peak = (moments) => moments.reduce((most, moment) => (sum(moment[1]) > sum(most[1]) ? moment : most));

const each = ({ weights, gradients, master, moments }) => weights + gradients + master + moments;

/** What w becomes by changes of one kind, the mildest first. */
function changes(w, kind, recipes) {
  const halves = (x, least) => (x / 2 < least ? [] : [x / 2, ...halves(x / 2, least)]);
  const twice = (x) => (2 * x > 1024 ? [] : [2 * x, ...twice(2 * x)]);
  const lighter = (name) => name !== w.recipe && name.includes("Adam") && each(recipes[name]) <= each(recipes[w.recipe]);
  const values = {
    checkpointing: () => (w.checkpointing ? [] : [true]),
    stage: () => [1, 2, 3].filter((stage) => w.ranks > 1 && stage > w.stage),
    ranks: () => (w.stage ? twice(w.ranks) : []),
    batch: () => halves(w.batch, 1),
    tokens: () => halves(w.tokens, 512),
    recipe: () => Object.keys(recipes).filter(lighter).sort((a, b) => each(recipes[b]) - each(recipes[a])),
  };
  return values[kind]().map((value) => ({ ...w, [kind]: value }));
}

/** The first that fits, the last kind tried out for each step of the kinds before it; if the strongest does. */
function mildest(w, kinds, recipes, fits) {
  const strongest = kinds.reduce((most, kind) => most && changes(most, kind, recipes).at(-1), w);
  if (!strongest || !fits(strongest)) return undefined;
  const [kind, ...rest] = kinds;
  for (const next of changes(w, kind, recipes)) {
    const found = rest.length ? mildest(next, rest, recipes, fits) : fits(next) && next;
    if (found) return found;
  }
  return undefined;
}

/** As rlcourse.systems.memory_advice: what fits after changes of one kind; if nothing does, of two, or three. */
export function advice(w, kinds, recipes, fits) {
  const chosen = (from, many) => (many ? from.flatMap((kind, i) => chosen(from.slice(i + 1), many - 1).map((rest) => [kind, ...rest])) : [[]]);
  for (const many of [1, 2, 3]) {
    const found = chosen(kinds, many).flatMap((some) => mildest(w, some, recipes, fits) ?? []);
    if (found.length) return found;
  }
  return [];
}

export function python(w, model) {
  const kept = `from rlcourse.systems import zero

kept = zero.states([(${model.parameters},)], zero.RECIPES["${w.recipe}"], ranks=${w.ranks}, stage=${w.stage})[0]
print(f"states: {kept.total:,} bytes on each rank")
`;
  if (!model.layers) return kept;
  return `${kept}
from rlcourse.systems.training_memory import Plan, fits, peak_of

plan = Plan(
    "${w.model}", batch=${w.batch}, tokens=${w.tokens}, ranks=${w.ranks}, stage=${w.stage},
    recipe="${w.recipe}", checkpointing=${w.checkpointing ? "True" : "False"},
)
most = peak_of(plan)
print(f"peak: {most.total:,} bytes, {most.name}; fits: {fits(plan, '${w.card}')}")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.ze, .even { display: grid; gap: .9rem; } .ze > *, .even > * { min-width: 0; } .even { align-items: start; }
.card { --weights: 0 114 178; --gradients: 230 159 0; --master: 0 158 115; --moments: 204 121 167; --activations: 213 94 0; --working: 120 120 120; }
.card[data-theme=dark] { --weights: 86 180 233; }
.story { font-weight: 650; font-size: 1.06rem; min-height: 1.45em; } .story.bad { font-size: 1.06rem; }
.bars .choice { display: block; min-height: 0; } .bars .choice > span:first-child { display: none; } .bars .seg { display: grid; width: 100%; border: 0; border-radius: 0; overflow: visible; }
.bars .seg button, .scale { display: grid; grid-template-columns: 6.3rem 1fr 6.4rem; gap: .35rem; align-items: center; text-align: left; padding: .25rem .5rem; }
.bars .seg button, .bars .seg button[aria-checked=true] { background: none; color: var(--ink); font-weight: 400; border-radius: 9px; border: 1.5px solid transparent; }
.bars .seg button:hover { border-color: var(--edge); } .bars .seg button[aria-checked=true] { background: var(--panel); border-color: var(--accent); }
.bars .seg button:focus-visible { outline-color: var(--accent); outline-offset: -1px; }
.rank { line-height: 1.2; } .rank b { white-space: nowrap; } .rank b { display: block; font-weight: 600; } .rank b::before { content: "○ "; color: var(--mut); } [aria-checked=true] .rank b::before { content: "● "; color: var(--accent); }
.rank small { font-size: .74rem; color: var(--mut); white-space: nowrap; } .worth { text-align: right; white-space: nowrap; font-weight: 650; } .worth small { display: block; font-weight: 400; color: var(--mut); font-size: .74rem; } .worth.bad, .worth.bad small { color: var(--warm); font-size: inherit; font-weight: 650; } .worth.bad small { font-size: .74rem; font-weight: 600; }
.scale { padding-block: 0; font-size: .78rem; } .scale span { position: relative; height: 1.3em; } .scale b { position: absolute; white-space: nowrap; color: var(--ink); transform: translateX(-50%); }
.track { position: relative; height: 28px; display: flex; } .track i { display: grid; place-items: center; container: part / inline-size; height: 100%; overflow: hidden; font-style: normal; } .track i.wide { border-right: 1.5px solid var(--card); }
.track i span { font-size: .72rem; font-weight: 600; line-height: 1.35; white-space: nowrap; color: var(--ink); background: var(--card); border-radius: 5px; padding: 0 .35em; }
.track u { position: absolute; z-index: 1; top: -9px; bottom: -9px; border-left: 2.5px solid var(--ink); margin-left: -1.25px; } .track em { position: absolute; top: -2px; bottom: -2px; left: 0; border: 1.5px dashed var(--mut); border-left: 0; }
.track s { position: absolute; top: -9px; bottom: -9px; right: 0; background: rgb(var(--neg) / .09); }
.weights { background: rgb(var(--weights) / .55); } .gradients { background: repeating-linear-gradient(135deg, rgb(var(--gradients) / .8) 0 4px, rgb(var(--gradients) / .4) 4px 8px); }
.master { background: repeating-linear-gradient(90deg, rgb(var(--master) / .7) 0 3px, rgb(var(--master) / .36) 3px 7px); } .moments { background: repeating-linear-gradient(45deg, rgb(var(--moments) / .75) 0 3px, rgb(var(--moments) / .4) 3px 7px); }
.activations { background: radial-gradient(rgb(var(--activations)) 28%, transparent 32%) 0 0 / 6px 6px, rgb(var(--activations) / .3); } .working { background: repeating-linear-gradient(0deg, rgb(var(--working) / .7) 0 2px, rgb(var(--working) / .25) 2px 5px); }
.gathered { background: repeating-linear-gradient(135deg, rgb(var(--weights) / .6) 0 2px, rgb(var(--weights) / .2) 2px 5px); }
[hidden] { display: none !important; } .swatch { display: inline-block; width: 1.5em; height: .8em; border-radius: 2px; }
.ze .sum { margin: 0; } .ze .sum p + p { margin-top: .4rem; } .sum .total { font-weight: 650; }
.pick { display: grid; grid-template-columns: 5.2rem 1fr; gap: .6rem; align-items: center; min-height: 38px; margin-bottom: .2rem; }
select { font: inherit; font-size: .88rem; color: var(--ink); background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: .34rem .4rem; min-height: 36px; width: 100%; min-width: 0; cursor: pointer; } select:hover { border-color: var(--accent); }
.curves .curve { stroke: var(--mut); stroke-width: 1.5; } .curves .curve.on { stroke: var(--accent); stroke-width: 3.2; } .curves .curve.peak { stroke: var(--accent); stroke-width: 2.4; stroke-dasharray: 6 4; } .curves .beyond { fill: rgb(var(--neg) / .09); } .curves .limit { stroke: var(--ink); stroke-width: 2.5; } .curves .at { stroke: var(--accent); stroke-dasharray: 3 3; }
.curves text.on { font-weight: 700; fill: var(--accent); } .curves text.big, .curves text.on { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; } .curves text.big { font-size: 14px; font-weight: 700; fill: var(--ink); } .curves text.card { fill: var(--ink); font-weight: 650; } .curves .was { fill: none; stroke: var(--mut); stroke-width: 1.6; stroke-dasharray: 2 2; } .curves .dot { fill: var(--mut); } .curves .now.bad { stroke: var(--warm); }
.tight .slider { grid-template-columns: 5.2rem 1fr 3.6rem; }
@container part (max-width: 52px) { .track i span { display: none; } } @container part (max-width: 66px) { .track i:not(.weights) span { display: none; } }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } .bars .seg button, .scale { grid-template-columns: 9.6rem 1fr 6.2rem; } }
@container (max-width: 559px) { select { min-height: 44px; } .rank small { display: none; } .bars .seg button, .scale { padding-inline: .3rem; } }
@media (pointer: coarse) { select { min-height: 44px; } }
@media print { .bars .seg button:not([aria-checked=true]) { display: grid !important; } }
`;
const KINDS = ["checkpointing", "stage", "ranks", "batch", "tokens", "recipe"]; // that advice may change, the mildest first
const WORDS = { gathered: "weights of other ranks", master: "master weights", working: "working memory" };
const STATES = ["weights", "gradients", "master", "moments"];
const OWNERS = ["weights", "gathered", "gradients", "master", "moments", "activations", "working"];
const [CW, CH, CL, CR, CT, CB] = [320, 262, 52, 48, 12, 34];
const px = (v) => v.toFixed(1);
const line = (kind, d) => s("path", { class: kind, d });
const comma = (n) => n.toLocaleString("en-US");
const gb = (n) => {
  const [unit, of] = n >= 1e12 ? ["TB", 1e12] : n >= 1e8 ? ["GB", 1e9] : ["MB", 1e6];
  const value = n / of;
  return `${num(value, value < 99.95 && value % 1 ? 1 : 0)}\u00a0${unit}`;
};

export function mount(host, data, { onState = () => {} } = {}) {
  const w = copyOf(data.settings);
  const [models, recipes, rooms] = [data.models, data.recipes, data.rooms].map(Object.fromEntries); // lists keep their order
  let before; // what the reader's last change replaced
  let [model, recipe, room, all, high] = [];
  solve();
  const mine = { gb: sum(all[w.stage]) / 1e9, peaks: high ? high.map(({ parts }) => sum(parts)) : null, states: all.map(sum) };
  if (JSON.stringify(mine) !== JSON.stringify(data.golden)) throw Error("the bytes differ from the package's");

  function solve() {
    [model, recipe, room] = [models[w.model], recipes[w.recipe], rooms[w.card]];
    high = model.layers && [false, true].map((checkpointing) => highest({ ...w, checkpointing }));
    all = [0, 1, 2, 3].map((stage) => stateBytes(model.parameters, recipe, w.ranks, stage));
  }
  /** The peak of a step of this model, its bytes by part. */
  function highest(x) {
    const units = unitsOf(model, recipes[x.recipe], x);
    const [name, [weights, gathered, gradients, optimizer, held, working, batch]] = peak(timeline(units, recipes[x.recipe], x));
    const moments = sum(units.map((unit) => unitStates(unit, recipes[x.recipe], x.ranks, x.stage)[3]));
    return { name, parts: [weights, gathered, gradients, optimizer - moments, moments, held + batch, working] };
  }
  const worth = (x) => sum(model.layers ? highest(x).parts : stateBytes(model.parameters, recipes[x.recipe], x.ranks, x.stage));
  const need = () => (high ? sum(high[Number(w.checkpointing)].parts) : sum(all[w.stage]));
  const fits = (bytes) => bytes <= room;

  const ui = frame(host, {
    title: data.title ?? "Which memory shrinks with more ranks?",
    lead: ["Training keeps a weight, a gradient, a master weight and two moments of each parameter. ZeRO cuts one kind after another into ", math("W"), " shares, and each of the ", math("W"), " ranks keeps one."],
    css: STYLE,
  });

  // --- controls
  function select(field, label, name, options) {
    const el = h("select", { "aria-label": name, onchange: () => change({ [field]: el.value }) }, options.map((value) => h("option", { value }, value)));
    return { el: h("label", { class: "pick" }, h("span", {}, label), el), set: (x) => (el.value = x) };
  }
  const powers = (field, label, name, min, max) => {
    const { el, set } = slider({ label, name, min, max, step: 1, value: min, format: (x) => comma(Math.round(2 ** x)), oninput: (x, fresh) => change({ [field]: 2 ** x }, fresh) });
    return { el, set: (x) => set(Math.log2(x)) };
  };
  /** Exclusive choices, each with a bar of its bytes, on one scale with the card's line. */
  function bars(field, name, options, parts) {
    const rows = options.map(([, words]) => ({ name: h("span", { class: "rank" }, h("b", {}, words), h("small")), track: h("span", { class: "track", "aria-hidden": "true" }), worth: h("span", { class: "worth" }) }));
    const cap = h("p", { class: "cap" });
    const scale = h("span");
    const picks = choice({ label: "", name, options: rows.map((row, i) => [options[i][0], [row.name, row.track, row.worth]]), value: 0, onpick: (value) => change({ [field]: value }) });
    const draw = (caption, bytes, notes, ghosts, peaks) => {
      const most = Math.max(...bytes.map(sum), room);
      const percent = (x) => `${(100 * x) / most}%`;
      cap.textContent = caption;
      picks.set(w[field]);
      rows.forEach((row, i) => {
        const total = sum(bytes[i]);
        const was = ghosts?.[i];
        row.name.lastChild.textContent = notes[i];
        row.track.replaceChildren(
          ...bytes[i].map((x, part) => (x ? h("i", { class: parts[part] + (x / most > 0.02 ? " wide" : ""), style: { width: percent(x) } }, h("span", {}, parts[part])) : "")),
          h("s", { style: { left: percent(room) } }),
          was && was !== total && was <= most ? h("em", { style: { width: percent(was) } }) : "",
          h("u", { style: { left: percent(room) } }),
        );
        const ok = fits(peaks?.[i] ?? total);
        row.worth.className = ok ? "worth" : "worth bad";
        row.worth.replaceChildren(gb(total), h("small", {}, peaks ? `${ok ? "✓" : "✕"} peak ${gb(peaks[i])}` : ok ? "✓ fits" : "✕ too much"));
      });
      const at = room / most;
      scale.replaceChildren(h("b", { style: { left: percent(room), transform: `translateX(${at > 0.75 ? -100 : at < 0.2 ? 0 : -50}%)` } }, `${w.card}: ${gb(room)}`));
    };
    return { el: h("div", { class: "bars" }, cap, h("div", { class: "scale", "aria-hidden": "true" }, h("span"), scale), picks.el), draw };
  }
  const stages = bars("stage", "stage", [0, 1, 2, 3].map((stage) => [stage, `stage ${stage}`]), STATES);
  const policies = bars("checkpointing", "activations", [[false, "keep all"], [true, "recompute"]], OWNERS);
  const controls = {
    model: select("model", "model", "model", Object.keys(models)),
    recipe: select("recipe", "recipe", "recipe, bytes of each parameter", Object.keys(recipes)),
    card: select("card", "card", "card, whose memory must hold it", Object.keys(rooms)),
    ranks: powers("ranks", ["ranks ", math("W")], "W, ranks", 0, 10),
    batch: powers("batch", ["batch ", math("B")], "B, sequences of each rank", 0, 6),
    tokens: powers("tokens", ["tokens ", math("N")], "N, tokens of a sequence", 9, 17),
  };
  const copy = copyButton("Copy as Python", () => python(w, model));
  const ask = prompts(data.prompts, reset, ui.say);
  const help = h("div", { class: "noprint" });
  const hint = h("p", { class: "note" });
  const story = h("p", { class: "story" });
  const [sums, note] = ["sum", "note"].map((kind) => h("div", { class: kind }));
  const legend = h("p", { class: "legend" }, OWNERS.map((kind) => h("span", {}, h("span", { class: `swatch ${kind}` }), ` ${WORDS[kind] ?? kind}`)));
  const drag = (event) => {
    if (!event.buttons) return;
    const box = chart.getBoundingClientRect();
    const part = (((event.clientX - box.left) / box.width) * CW - CL) / (CW - CL - CR);
    const ranks = Math.round(1024 ** Math.max(0, Math.min(1, part)));
    if (ranks !== w.ranks) change({ ranks }, event.type === "pointerdown");
  };
  const chart = s("svg", { class: "chart curves", viewBox: `0 0 ${CW} ${CH}`, role: "img", onpointerdown: (event) => (chart.setPointerCapture(event.pointerId), drag(event)), onpointermove: drag });

  ui.body.append(
    h("div", { class: "ze" },
      story,
      stages.el,
      policies.el,
      legend,
      help,
      h("div", { class: "even tight" },
        h("div", {}, h("p", { class: "cap" }, "The same, by the number of ranks"), chart),
        h("div", {}, controls.model.el, controls.ranks.el, controls.recipe.el, controls.card.el, controls.batch.el, controls.tokens.el, hint),
      ),
      h("div", { class: "panel" }, sums, note),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields, fresh = true) {
    ask.clear();
    copy.clear();
    if (fresh) before = { w: copyOf(w), need: need(), totals: all.map(sum), peaks: high && high.map(({ parts }) => sum(parts)) };
    Object.assign(w, fields);
    solve();
    draw();
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    Object.assign(w, data.settings);
    solve();
    change(fields);
    if (!Object.keys(fields).length) draw((before = undefined));
  }

  // --- drawing
  function draw() {
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    tell();
    drawBars();
    drawChart();
    drawSums();
  }

  function tell() {
    const ok = fits(need());
    const place = `${ok ? "and that fits in" : "and that does not fit in"} ${gb(room)}`;
    const own = gb(sum(all[w.stage]));
    story.className = ok ? "story" : "story bad";
    story.textContent = `${ok ? "✓" : "✕"} Stage ${w.stage} on ${many(w.ranks, "rank")}: each keeps ${own} of states${high ? `; a step peaks at ${gb(need())}` : ` instead of ${gb(sum(all[0]))}`}, ${place}.`;
    const kinds = high ? KINDS : KINDS.filter((kind) => ["stage", "ranks", "recipe"].includes(kind));
    const found = ok ? [] : advice(w, kinds, recipes, (next) => fits(worth(next)));
    const name = (kind, value) => (kind === "checkpointing" ? "recompute" : kind === "recipe" ? value : `${kind} ${comma(value)}`);
    const words = (next) => kinds.filter((kind) => next[kind] !== w[kind]).map((kind) => name(kind, next[kind])).join(", ");
    const chips = found.slice(0, 6).map((next) => button(`${words(next)}: ${gb(worth(next))}`, () => change(next)));
    help.replaceChildren(h("p", { class: "cap" }, found.length ? "What would make it fit" : w.ranks === 1 ? "One rank has nobody to share with: try more ranks." : "No changes of up to three kinds make it fit."), h("div", { class: "row" }, chips));
    help.hidden = ok;
  }

  function drawBars() {
    const cut = `÷ ${comma(w.ranks)}`;
    stages.draw(`States: what each of ${comma(w.ranks)} ranks keeps of ${comma(model.parameters)} parameters`, all, ["all whole", `${["master", "moments"].filter((kind) => recipe[kind]).join(", ")} ${cut}`, `+ gradients ${cut}`, `+ weights ${cut}`], before?.totals, high && all.map((_, stage) => worth({ ...w, stage })));
    for (const el of [policies.el, controls.batch.el, controls.tokens.el]) el.hidden = !high;
    const shown = new Set([...STATES.filter((kind) => recipe[kind]), ...(high ? OWNERS.filter((_, i) => high.some(({ parts }) => parts[i])) : [])]);
    for (const el of legend.children) el.hidden = !shown.has(el.firstChild.classList[1]);
    hint.textContent = high ? "" : "Of this one only the number of parameters is known here, so states are all that is counted. Choose a model with layers to see what its activations take.";
    if (high) policies.draw(`Peak of a step, stage ${w.stage}: ${comma(w.batch)} × ${comma(w.tokens)} tokens on each rank`, high.map(({ parts }) => parts), high.map(({ name }) => `peak: ${name}`), before?.peaks);
  }

  function drawChart() {
    const at = (ranks, stage) => sum(stateBytes(model.parameters, recipe, ranks, stage));
    const tall = Math.max(at(1, 0), room, high ? worth({ ...w, ranks: 1 }) : 0);
    const [top, bottom] = [Math.log10(tall * 1.6), Math.log10(Math.min(at(1024, 3), room) / 1.5)];
    const x = (ranks) => CL + ((CW - CL - CR) * Math.log2(ranks)) / 10;
    const y = (bytes) => CT + ((CH - CT - CB) * (top - Math.log10(bytes))) / (top - bottom);
    const text = (tx, ty, words, anchor, kind) => s("text", { x: px(tx), y: px(ty), "text-anchor": anchor, class: kind }, words);
    const dot = (kind, ranks, bytes, r) => s("circle", { class: kind, cx: px(x(ranks)), cy: px(y(bytes)), r });
    const decades = Array.from({ length: Math.floor(top) - Math.ceil(bottom) + 1 }, (_, i) => 10 ** (Math.ceil(bottom) + i));
    const counts = Array.from({ length: 41 }, (_, i) => Math.round(2 ** (i / 4)));
    const curve = (kind, of) => line(`curve ${kind}`, `M${counts.map((ranks) => `${px(x(ranks))} ${px(y(of(ranks)))}`).join("L")}`);
    const others = [0, 1, 2, 3].filter((stage) => stage !== w.stage);
    const mine = sum(all[w.stage]);
    const ends = [0, 1, 2, 3].map((stage) => [y(at(1024, stage)), `stage ${stage}`, stage === w.stage ? "on" : ""]);
    if (high) ends.push([y(worth({ ...w, ranks: 1024 })), "peak", "on"]);
    ends.sort((a, b) => a[0] - b[0]).forEach((end, i) => (end[0] = Math.max(end[0], i ? ends[i - 1][0] + 12 : 0)));
    const [left, ny] = [w.ranks < 140, y(mine) + (w.stage === 1 ? -9 : 18)];
    chart.ariaLabel = `Bytes of each stage against ranks; stage ${w.stage} on ${many(w.ranks, "rank")}: ${gb(mine)} of states${high ? `, peak ${gb(need())}` : ""}`;
    chart.replaceChildren(
      line("beyond", `M${CL} ${CT}H${CW - CR}V${px(y(room))}H${CL}Z`),
      ...decades.flatMap((v) => [line("grid", `M${CL} ${px(y(v))}H${CW - CR}`), text(CL - 5, y(v) + 4, gb(v), "end")]),
      ...[1, 4, 16, 64, 256, 1024].map((ranks) => text(x(ranks), CH - CB + 15, ranks, "middle")),
      text(CW - CR, CH - 3, "ranks W", "end"),
      line("limit", `M${CL} ${px(y(room))}H${CW - CR}`),
      line("at", `M${px(x(w.ranks))} ${CT}V${CH - CB}`),
      ...others.map((stage) => curve("", (ranks) => at(ranks, stage))),
      ...others.map((stage) => dot("dot", w.ranks, sum(all[stage]), 3)),
      high ? curve("peak", (ranks) => worth({ ...w, ranks })) : "",
      curve("on", (ranks) => at(ranks, w.stage)),
      ...ends.map(([end, words, kind]) => text(CW - CR + 5, end + 4, words, "start", kind)),
      before ? dot("was", before.w.ranks, Math.min(tall, before.need), 7) : "",
      high ? dot(fits(need()) ? "now" : "now bad", w.ranks, need(), 6) : "",
      dot(fits(mine) ? "now" : "now bad", w.ranks, mine, 6),
      text(x(w.ranks) + (left ? 9 : -10), ny, gb(mine), left ? "start" : "end", "big"),
    );
  }

  function drawSums() {
    const [n3, n2, n1] = kept(model.parameters, w.ranks, w.stage);
    const { weights, gradients, master, moments } = recipe;
    const words = (n) => (n === model.parameters ? "P" : "⌈P/W⌉");
    const total = sum(all[w.stage]);
    const constants = all[w.stage][3] - moments * n1;
    sums.replaceChildren(
      lines(`stage ${w.stage}: ${weights} ${words(n3)} + ${gradients} ${words(n2)} + ${master + moments} ${words(n1)}`, `= ${weights} × ${comma(n3)}`, `+ ${gradients} × ${comma(n2)}`, `+ ${master + moments} × ${comma(n1)}`, constants ? `+ ${comma(constants)} of constants` : "", h("b", {}, `= ${comma(total)} bytes`), `= ${num(total / 1e9, 2)} GB = ${num(total / 2 ** 30, 2)} GiB`),
    );
    const { name, parts } = high ? high[Number(w.checkpointing)] : {};
    if (high) sums.append(lines(`peak, ${name}:`, ...parts.flatMap((x, i) => (x ? [`${WORDS[OWNERS[i]] ?? OWNERS[i]} ${num(x / 1e9, 2)} +`] : [])).join("|").replace(/ \+$/, "").split("|"), h("b", {}, `= ${comma(need())} bytes`), `= ${num(need() / 1e9, 2)} GB`));
    note.textContent = `GB = 10⁹ bytes, GiB = 2³⁰. Room on a card: what its driver reports, less 1 GiB that CUDA keeps.${high ? " Activations are those of this course's decoder; the update needs no memory of its own (fused). Each layer is cut for itself, so a peak has a little more padding than the states above." : ""}`;
  }

  const state = () => ({ settings: copyOf(w), states: all.map(sum), parts: [...all[w.stage]], peaks: high ? high.map(({ parts }) => sum(parts)) : null, fits: fits(need()) });
  draw();
  return { state, set: change };
}

mountAll("zero", mount);
