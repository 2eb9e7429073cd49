// ZeRO: which of the states of training shrink with the number of ranks, and whether a step fits.
import { button, choice, copyButton, copyOf, frame, h, lines, math, mountAll, num, prompts, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.systems.zero, exact below 2^53
const PARTS = ["weights", "gradients", "master", "moments"];
export const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** ⌈n / of⌉ without a fraction in between. */
export const share = (n, of) => (n - 1 - ((n - 1) % of)) / of + 1;

/** n₃, n₂, n₁: the weights, gradients and optimizer states of how many parameters a rank keeps. */
export const kept = (parameters, ranks, stage) => [3, 2, 1].map((first) => (stage >= first ? share(parameters, ranks) : parameters));

/** Bytes of weights, gradients, master weights and moments on each rank. */
export function stateBytes(parameters, recipe, ranks, stage) {
  const [n3, n2, n1] = kept(parameters, ranks, stage);
  const constants = recipe.block ? 2 * 4 * share(n1, recipe.block) : 0;
  return [recipe.weights * n3, recipe.gradients * n2, recipe.master * n1, recipe.moments * n1 + constants];
}

export function python(w, parameters) {
  return `from rlcourse.systems import zero

kept = zero.states([(${parameters},)], zero.RECIPES["${w.recipe}"], ranks=${w.ranks}, stage=${w.stage})[0]
print(f"states: {kept.total:,} bytes on each rank, {kept.total / zero.GB:.1f} GB")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.ze, .even { display: grid; gap: .9rem; } .ze > *, .even > * { min-width: 0; } .even { align-items: start; }
.card { --weights: 0 114 178; --gradients: 230 159 0; --master: 0 158 115; --moments: 204 121 167; }
.card[data-theme=dark] { --weights: 86 180 233; }
.story { font-weight: 650; font-size: 1.06rem; min-height: 1.45em; } .story.bad { font-size: 1.06rem; }
.bars .choice { display: block; min-height: 0; } .bars .choice > span:first-child { display: none; } .bars .seg { display: grid; width: 100%; border: 0; border-radius: 0; overflow: visible; }
.bars .seg button, .scale { display: grid; grid-template-columns: 5.6rem 1fr 5rem; gap: .5rem; align-items: center; text-align: left; padding: .25rem .5rem; }
.bars .seg button, .bars .seg button[aria-checked=true] { background: none; color: var(--ink); font-weight: 400; border-radius: 9px; border: 1.5px solid transparent; }
.bars .seg button:hover { border-color: var(--edge); } .bars .seg button[aria-checked=true] { background: var(--panel); border-color: var(--accent); }
.bars .seg button:focus-visible { outline-color: var(--accent); outline-offset: -1px; }
.rank { line-height: 1.2; } .rank b { display: block; font-weight: 600; } .rank b::before { content: "○ "; color: var(--mut); } [aria-checked=true] .rank b::before { content: "● "; color: var(--accent); }
.rank small { font-size: .74rem; color: var(--mut); white-space: nowrap; } .worth { text-align: right; white-space: nowrap; font-weight: 650; } .worth small { display: block; font-weight: 400; color: var(--mut); font-size: .74rem; } .worth.bad, .worth.bad small { color: var(--warm); font-size: inherit; font-weight: 650; } .worth.bad small { font-size: .74rem; font-weight: 600; }
.scale { padding-block: 0; font-size: .78rem; } .scale span { position: relative; height: 1.3em; } .scale b { position: absolute; white-space: nowrap; color: var(--ink); transform: translateX(-50%); }
.track { position: relative; height: 28px; display: flex; } .track i { display: grid; place-items: center; container: part / inline-size; height: 100%; overflow: hidden; font-style: normal; } .track i.wide { border-right: 1.5px solid var(--card); }
.track i span { font-size: .72rem; font-weight: 600; line-height: 1.35; white-space: nowrap; color: var(--ink); background: var(--card); border-radius: 5px; padding: 0 .35em; }
.track u { position: absolute; z-index: 1; top: -9px; bottom: -9px; border-left: 2.5px solid var(--ink); margin-left: -1.25px; } .track em { position: absolute; top: -2px; bottom: -2px; left: 0; border: 1.5px dashed var(--mut); border-left: 0; }
.track s { position: absolute; top: -9px; bottom: -9px; right: 0; background: rgb(var(--neg) / .09); }
.weights { background: rgb(var(--weights) / .55); } .gradients { background: repeating-linear-gradient(135deg, rgb(var(--gradients) / .8) 0 4px, rgb(var(--gradients) / .4) 4px 8px); }
.master { background: repeating-linear-gradient(90deg, rgb(var(--master) / .7) 0 3px, rgb(var(--master) / .36) 3px 7px); } .moments { background: repeating-linear-gradient(45deg, rgb(var(--moments) / .75) 0 3px, rgb(var(--moments) / .4) 3px 7px); }
.swatch { display: inline-block; width: 1.5em; height: .8em; border-radius: 2px; }
.ze .sum { margin: 0; } .ze .sum p + p { margin-top: .4rem; } .sum .total { font-weight: 650; }
.pick { display: grid; grid-template-columns: 5.2rem 1fr; gap: .6rem; align-items: center; min-height: 38px; margin-bottom: .2rem; }
select { font: inherit; font-size: .88rem; color: var(--ink); background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: .34rem .4rem; min-height: 36px; width: 100%; min-width: 0; cursor: pointer; } select:hover { border-color: var(--accent); }
.curves .curve { stroke: var(--mut); stroke-width: 1.5; } .curves .curve.on { stroke: var(--accent); stroke-width: 3.2; } .curves .beyond { fill: rgb(var(--neg) / .09); } .curves .limit { stroke: var(--ink); stroke-width: 2.5; } .curves .at { stroke: var(--accent); stroke-dasharray: 3 3; }
.curves text.on { font-weight: 700; fill: var(--accent); } .curves text.big, .curves text.on { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; } .curves text.big { font-size: 14px; font-weight: 700; fill: var(--ink); } .curves text.card { fill: var(--ink); font-weight: 650; } .curves .was { fill: none; stroke: var(--mut); stroke-width: 1.6; stroke-dasharray: 2 2; } .curves .dot { fill: var(--mut); } .curves .now.bad { stroke: var(--warm); }
.tight .slider { grid-template-columns: 5.2rem 1fr 3.6rem; }
@container part (max-width: 52px) { .track i span { display: none; } } @container part (max-width: 66px) { .track i:not(.weights) span { display: none; } }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } .bars .seg button, .scale { grid-template-columns: 9.6rem 1fr 5.2rem; } }
@container (max-width: 559px) { select { min-height: 44px; } .rank small { display: none; } .bars .seg button, .scale { padding-inline: .3rem; } }
@media (pointer: coarse) { select { min-height: 44px; } }
@media print { .bars .seg button:not([aria-checked=true]) { display: grid !important; } }
`;
const CUT = ["", "master, moments", "+ gradients", "+ weights"]; // what each stage cuts into shares
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
  let before; // what the reader's last change replaced
  let [model, recipe, room, all] = [];
  solve();
  const mine = { states: all.map(sum), gb: sum(all[w.stage]) / 1e9 };
  if (JSON.stringify(mine) !== JSON.stringify({ states: data.golden.states, gb: data.golden.gb })) throw Error("the bytes differ from the package's");

  function solve() {
    [model, recipe, room] = [data.models[w.model], data.recipes[w.recipe], data.cards[w.card]];
    all = [0, 1, 2, 3].map((stage) => stateBytes(model.parameters, recipe, w.ranks, stage));
  }
  const fits = (bytes) => bytes <= room;

  const ui = frame(host, {
    title: data.title ?? "Which memory shrinks with more ranks?",
    lead: ["Training keeps a weight, a gradient, a master weight and two moments of each parameter. ZeRO cuts one kind after another into ", math("W"), " shares, and each of the ", math("W"), " ranks keeps one."],
    css: STYLE,
  });

  // --- controls
  function select(field, label, name, options) {
    const el = h("select", { "aria-label": name, onchange: () => change({ [field]: el.value }) }, options.map(([value, text]) => h("option", { value }, text)));
    return { el: h("label", { class: "pick" }, h("span", {}, label), el), set: (x) => (el.value = x) };
  }
  const powers = (field, label, name, max) => {
    const { el, set } = slider({ label, name, min: 0, max, step: 1, value: 0, format: (x) => comma(Math.round(2 ** x)), oninput: (x, fresh) => change({ [field]: 2 ** x }, fresh) });
    return { el, set: (x) => set(Math.log2(x)) };
  };
  const rows = [0, 1, 2, 3].map((stage) => ({ name: h("span", { class: "rank" }, h("b", {}, `stage ${stage}`), h("small")), track: h("span", { class: "track", "aria-hidden": "true" }), worth: h("span", { class: "worth" }) }));
  const scale = h("span");
  const controls = {
    stage: choice({ label: "", name: "stage", options: rows.map(({ name, track, worth }, stage) => [stage, [name, track, worth]]), value: w.stage, onpick: (stage) => change({ stage }) }),
    model: select("model", "model", "model", Object.entries(data.models).map(([name, { words }]) => [name, words ?? name])),
    recipe: select("recipe", "recipe", "recipe, bytes of each parameter", Object.keys(data.recipes).map((name) => [name, name])),
    card: select("card", "card", "card, whose memory must hold it", Object.keys(data.cards).map((name) => [name, name])),
    ranks: powers("ranks", ["ranks ", math("W")], "W, ranks", 10),
  };
  const copy = copyButton("Copy as Python", () => python(w, model.parameters));
  const ask = prompts(data.prompts, reset, ui.say);
  const story = h("p", { class: "story" });
  const [sums, note] = ["sum", "note"].map((kind) => h("div", { class: kind }));
  const legend = h("p", { class: "legend" }, [["weights"], ["gradients"], ["master", "master weights"], ["moments"]].map(([kind, words]) => h("span", {}, h("span", { class: `swatch ${kind}` }), ` ${words ?? kind}`)));
  const caption = h("p", { class: "cap" });
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
      h("div", { class: "bars" }, caption, h("div", { class: "scale", "aria-hidden": "true" }, h("span"), scale), controls.stage.el, legend),
      h("div", { class: "even tight" },
        h("div", {}, h("p", { class: "cap" }, "The same, by the number of ranks"), chart),
        h("div", {}, controls.model.el, controls.ranks.el, controls.recipe.el, controls.card.el),
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
    if (fresh) before = { w: copyOf(w), totals: all.map(sum) };
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
    const total = sum(all[w.stage]);
    const ok = fits(total);
    story.className = ok ? "story" : "story bad";
    story.textContent = `${ok ? "✓" : "✕"} Stage ${w.stage} on ${comma(w.ranks)} rank${w.ranks === 1 ? "" : "s"}: each keeps ${gb(total)} of states instead of ${gb(sum(all[0]))}, and ${ok ? "that fits in" : "does not fit in"} ${gb(room)}.`;
  }

  function drawBars() {
    const most = Math.max(sum(all[0]), room);
    const percent = (x) => `${(100 * x) / most}%`;
    caption.textContent = `Bytes that each of ${comma(w.ranks)} ranks keeps of ${comma(model.parameters)} parameters: choose a stage`;
    rows.forEach(({ name, track, worth }, stage) => {
      name.lastChild.textContent = stage ? `${CUT[stage]} ÷ ${comma(w.ranks)}` : "all whole";
      const total = sum(all[stage]);
      const was = before?.totals[stage];
      track.replaceChildren(
        ...all[stage].map((x, part) => (x ? h("i", { class: PARTS[part] + (x / most > 0.02 ? " wide" : ""), style: { width: percent(x) } }, h("span", {}, PARTS[part])) : "")),
        h("s", { style: { left: percent(room) } }),
        was && was !== total && was <= most ? h("em", { style: { width: percent(was) } }) : "",
        h("u", { style: { left: percent(room) } }),
      );
      worth.className = fits(total) ? "worth" : "worth bad";
      worth.replaceChildren(gb(total), h("small", {}, fits(total) ? "✓ fits" : "✕ too much"));
    });
    const at = room / most;
    scale.replaceChildren(h("b", { style: { left: percent(room), transform: `translateX(${at > 0.75 ? -100 : at < 0.2 ? 0 : -50}%)` } }, `${w.card}: ${gb(room)}`));
  }

  function drawChart() {
    const [top, bottom] = [Math.log10(Math.max(sum(stateBytes(model.parameters, recipe, 1, 0)), room) * 1.6), Math.log10(Math.min(sum(stateBytes(model.parameters, recipe, 1024, 3)), room) / 1.5)];
    const x = (ranks) => CL + ((CW - CL - CR) * Math.log2(ranks)) / 10;
    const y = (bytes) => CT + ((CH - CT - CB) * (top - Math.log10(bytes))) / (top - bottom);
    const at = (ranks, stage) => sum(stateBytes(model.parameters, recipe, ranks, stage));
    const text = (tx, ty, words, anchor, kind) => s("text", { x: px(tx), y: px(ty), "text-anchor": anchor, class: kind }, words);
    const decades = Array.from({ length: Math.floor(top) - Math.ceil(bottom) + 1 }, (_, i) => 10 ** (Math.ceil(bottom) + i));
    const counts = Array.from({ length: 41 }, (_, i) => Math.round(2 ** (i / 4)));
    const order = [0, 1, 2, 3].sort((a, b) => (a === w.stage) - (b === w.stage)); // the chosen one on top
    const [nx, ny] = [x(w.ranks), y(sum(all[w.stage]))];
    chart.ariaLabel = `Bytes of states against ranks, of each stage; stage ${w.stage} at ${w.ranks} ranks: ${gb(sum(all[w.stage]))}`;
    chart.replaceChildren(
      line("beyond", `M${CL} ${CT}H${CW - CR}V${px(y(room))}H${CL}Z`),
      ...decades.flatMap((v) => [line("grid", `M${CL} ${px(y(v))}H${CW - CR}`), text(CL - 5, y(v) + 4, gb(v), "end")]),
      ...[1, 4, 16, 64, 256, 1024].map((ranks) => text(x(ranks), CH - CB + 15, ranks, "middle")),
      text(CW - CR, CH - 3, "ranks W", "end"),
      line("limit", `M${CL} ${px(y(room))}H${CW - CR}`),
      line("at", `M${px(nx)} ${CT}V${CH - CB}`),
      ...order.map((stage) => line(stage === w.stage ? "curve on" : "curve", `M${counts.map((ranks) => `${px(x(ranks))} ${px(y(at(ranks, stage)))}`).join("L")}`)),
      ...order.map((stage) => text(CW - CR + 5, y(at(1024, stage)) + 4, `stage ${stage}`, "start", stage === w.stage ? "on" : "")),
      ...order.slice(0, 3).map((stage) => s("circle", { class: "dot", cx: px(nx), cy: px(y(sum(all[stage]))), r: 3 })),
      before && before.w.model === w.model ? s("circle", { class: "was", cx: px(x(before.w.ranks)), cy: px(y(before.totals[before.w.stage])), r: 7 }) : "",
      s("circle", { class: fits(sum(all[w.stage])) ? "now" : "now bad", cx: px(nx), cy: px(ny), r: 6 }),
      nx < 200 ? text(nx + 9, ny + (w.stage === 1 ? -9 : 18), gb(sum(all[w.stage])), "start", "big") : text(nx - 10, ny + (w.stage === 1 ? -9 : 18), gb(sum(all[w.stage])), "end", "big"),
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
    note.textContent = "GB = 10⁹ bytes, GiB = 2³⁰. States alone: this is a number of parameters without layers, so no activations are counted.";
  }

  const state = () => ({ settings: copyOf(w), states: all.map(sum), parts: [...all[w.stage]], fits: fits(sum(all[w.stage])) });
  draw();
  return { state, set: change };
}

mountAll("zero", mount);
