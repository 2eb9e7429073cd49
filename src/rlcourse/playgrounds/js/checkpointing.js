// Checkpointing: which inputs are kept, when layers are computed again, and how much is held meanwhile.
import { button, copyButton, copyOf, frame, h, key, lines, many, math, mountAll, num, player, prompts, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.systems.checkpoint_schedules
const each = (kind, low, high) => Array.from({ length: high - low }, (_, i) => [kind, low + 1 + i]);
const taped = (low, high) => each("tape", low, high);
const back = (low, high) => each("backward", low, high).reverse();

/** The states that begin so many even segments. */
export const even = (layers, parts) => Array.from({ length: parts }, (_, part) => Math.floor((layers * part) / parts));

/** The states of `kept` begin the segments; the last of them is taped at once. */
export function segmentsAt(layers, kept) {
  const parts = kept.map((low, j) => [low, kept[j + 1] ?? layers]);
  const [last, ...earlier] = parts.reverse();
  const there = [...earlier].reverse().flatMap(([low, high]) => [["keep", low], ...each("forward", low, high)]);
  const home = earlier.flatMap(([low, high]) => [["load", low], ["drop", low], ...taped(low, high), ...back(low, high)]);
  return [...there, ...taped(...last), ...back(...last), ...home];
}

/** Backwards through the layers after x_low, each from x_low again. */
function fromInput(low, high) {
  const found = [];
  for (let i = high; i > low; i -= 1) found.push(["load", low], ...each("forward", low, i - 1), ["tape", i], ["backward", i]);
  return found;
}

const split = (low, middle, first, second) => [["load", low], ...each("forward", low, middle), ["keep", middle], ...second, ["drop", middle], ...first];

function halved(low, high) {
  if (high - low === 1) return fromInput(low, high);
  const middle = Math.floor((low + high) / 2);
  return split(low, middle, halved(low, middle), halved(middle, high));
}

/** C(n, k), exact below 2^53. */
export function comb(n, k) {
  let found = 1;
  for (let i = 0; i < k; i += 1) found = (found * (n - i)) / (i + 1);
  return found;
}

/** The least r with C(c + r, c) >= L: as often is a layer computed again at most. */
export function repeats(layers, states) {
  let r = 0;
  while (comb(states + r, states) < layers) r += 1;
  return r;
}

/** r L - C(c + r, r - 1): forwards more than L, the least with c states. */
export function revolveForwards(layers, states) {
  const r = repeats(layers, states);
  return r ? r * layers - comb(states + r, r - 1) : 0;
}

/** The first of the numbers from 1 to before `end` with the least value. */
function least(end, value) {
  let found = 1;
  for (let k = 2; k < end; k += 1) if (value(k) < value(found)) found = k;
  return found;
}

function revolved(low, high, states) {
  if (states === 1 || high - low === 1) return fromInput(low, high);
  const layers = high - low;
  const middle = low + least(layers, (k) => k + revolveForwards(layers - k, states - 1) + revolveForwards(k, states));
  return split(low, middle, revolved(low, middle, states), revolved(middle, high, states - 1));
}

/** (k - 1) x + ⌈L/k⌉ (x + a), in states. */
export const segmentPeak = (layers, parts, tape) => parts - 1 + Math.ceil(layers / parts) * (1 + tape);
export const bestParts = (layers, tape) => least(layers + 1, (k) => segmentPeak(layers, k, tape));

/** The actions of settings, in their order: [kind, i]. */
export function scheduleOf({ layers, way, kept }) {
  if (way === "segments") return segmentsAt(layers, kept);
  if (way === "recursive") return [["keep", 0], ...halved(0, layers)];
  return [["keep", 0], ...(way === "revolve" ? revolved(0, layers, kept.length) : fromInput(0, layers))];
}

/** Carry out: when each action ends and what is held then; when each state and tape was held. */
export function trace(schedule, layers, tape) {
  const [end, held, states, tapes] = [[], [], [], []];
  const [kept, made] = [new Map(), new Map()]; // since when
  let [now, forwards, extra] = [0, 0, 0]; // extra: states that are kept and in no tape; none is kept or dropped while in one
  for (const [kind, i] of schedule) {
    if (kind === "forward" || kind === "tape") [now, forwards] = [now + 1, forwards + 1];
    if (kind === "keep") ((extra += 1), kept.set(i, now));
    if (kind === "drop") ((extra -= 1), states.push([i, kept.get(i), now]), kept.delete(i));
    if (kind === "tape") ((extra -= kept.has(i - 1) ? 1 : 0), made.set(i, now));
    if (kind === "backward") {
      tapes.push([i, made.get(i), now]);
      made.delete(i);
      extra += kept.has(i - 1) ? 1 : 0;
      now += 2;
    }
    end.push(now);
    held.push(extra + made.size * (1 + tape));
  }
  for (const [i, since] of kept) states.push([i, since, now]);
  const peak = Math.max(...held);
  const first = held.indexOf(peak);
  const tall = schedule.slice(0, first + 1).reduce((n, [kind]) => n + (kind === "tape") - (kind === "backward"), 0);
  return { schedule, end, held, states, tapes, forwards, peak, first: first + 1, tall, total: now };
}

export const timeOf = ({ forwards }, layers) => (forwards + 2 * layers) / (3 * layers);

/** The ways to compare with: name, what it sets. */
export function presets({ layers, tape }) {
  const segments = (parts) => ({ way: "segments", kept: even(layers, parts) });
  return [
    ["store all", segments(1)],
    ["√L segments", segments(Math.round(Math.sqrt(layers)))],
    ["best even segments", segments(bestParts(layers, tape))],
    ["recursive", { way: "recursive" }],
    ["Revolve", { way: "revolve" }],
    ["recompute all", { way: "recompute_all" }],
  ];
}

export function python({ layers, tape, way, kept }) {
  const call = { segments: `segments_at(layers, [${kept.join(", ")}])`, revolve: `revolve(layers, states=${kept.length})` }[way] ?? `${way}(layers)`;
  return `from rlcourse.systems import checkpoint_schedules as cs

layers, tape = ${layers}, ${tape}  # a tape weighs so many states, beside its input
schedule = cs.${call}
cost = cs.run(schedule, [1] * layers, [1] * layers, [tape] * layers)
time = (cost.forwards + 2 * layers) / (3 * layers)
print(f"peak: {cost.peak} states of {layers * (1 + tape)}")
print(f"forwards: {cost.forwards}, time: {time:.4f} of storing all")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
[hidden] { display: none !important; } .ck, .halves { display: grid; gap: .9rem; } .ck > *, .halves > * { min-width: 0; } .halves { align-items: start; }
.card { --back: 0 128 94; } .card[data-theme=dark] { --back: 64 200 160; }
.story { font-weight: 650; font-size: 1.06rem; min-height: 1.45em; }
.sched { touch-action: pan-y; cursor: ew-resize; } .sched text { font-size: 11px; fill: var(--mut); } .sched text.name { font-size: 12px; font-weight: 650; }
.sched .pick { cursor: pointer; fill: transparent; } .sched g[role=checkbox] { cursor: pointer; }
.layer { fill: var(--card); stroke: var(--edge); } .layer.on { fill: rgb(var(--neg) / .3); stroke: var(--warm); }
.pin { fill: var(--card); stroke: var(--edge); } .kept .pin { fill: var(--ink); stroke: var(--ink); } .ever .pin { fill: var(--card); stroke: var(--ink); stroke-width: 1.8; } g[role=checkbox]:hover .pin { stroke: var(--accent); stroke-width: 2.5; }
.sched path.rule { stroke: var(--hair); fill: none; } .sched path.state { stroke: var(--ink); stroke-width: 3; fill: none; }
path.held { fill: rgb(var(--neg) / .28); } path.forward { fill: rgb(var(--pos)); } path.tape { fill: rgb(var(--neg)); } path.backward { fill: rgb(var(--back)); }
.legend path.held { fill: rgb(var(--neg) / .28); } .legend path.forward { fill: rgb(var(--pos)); } .legend path.tape { fill: rgb(var(--neg)); } .legend path.backward { fill: rgb(var(--back)); }
.legend path.state { stroke: var(--ink); stroke-width: 3; } .all { stroke: var(--mut); stroke-width: 1.6; stroke-dasharray: 5 4; fill: none; } .was { stroke: var(--accent); stroke-width: 1.6; stroke-dasharray: 1.5 3; fill: none; }
.area { fill: rgb(var(--neg) / .28); } .own { stroke: var(--ink); stroke-width: 1.8; fill: none; stroke-linejoin: round; } .cursor { stroke: var(--accent); stroke-width: 2; } .sched .now { fill: var(--card); stroke: var(--accent); stroke-width: 3; }
.sched text.big { font-size: 13px; font-weight: 700; fill: var(--ink); paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.time .slider { grid-template-columns: 3.4rem 1fr auto; } .time output { white-space: nowrap; } .doing { font-size: .9rem; min-height: 1.45em; }
.ways { display: grid; gap: .15rem; } .ways button { display: grid; grid-template-columns: 7.9rem 1fr 5.6rem; gap: .4rem; align-items: center; width: 100%; text-align: left; border: 1.5px solid transparent; background: none; padding: .2rem .4rem; line-height: 1.15; }
.ways button:hover { border-color: var(--edge); } .ways button[aria-pressed=true] { border-color: var(--accent); background: var(--panel); font-weight: 650; }
.ways small { display: block; font-size: .76rem; font-weight: 400; color: var(--mut); } .ways .worth { text-align: right; white-space: nowrap; font-weight: 650; }
.track { position: relative; height: 18px; background: var(--hair); } .track i { display: block; height: 100%; background: rgb(var(--neg) / .55); border-right: 2px solid var(--warm); } .track u { position: absolute; top: -5px; bottom: -5px; border-left: 2px dashed var(--accent); }
.ck .sum { margin: 0; } .ck .sum p + p, .sum + .note { margin-top: .4rem; } .side { display: grid; gap: .6rem; } .side > * { min-width: 0; }
@container (min-width: 560px) { .halves { grid-template-columns: 1.1fr 1fr; } }
@media print { .ways button:not([aria-checked=true]) { display: grid !important; } }
`;
const [LEFT, RIGHT, TOP, GAP, BYTES, FOOT] = [58, 8, 20, 30, 118, 36];
const px = (v) => v.toFixed(1);
const path = (kind, d) => s("path", { class: kind, d });
const text = (x, y, words, anchor, kind) => s("text", { x: px(x), y: px(y), "text-anchor": anchor, class: kind }, words);
const box = (x, y, width, height) => `M${px(x)} ${px(y)}h${px(width)}v${px(height)}h${px(-width)}Z`;
const percent = (x) => `${num(100 * x, 0)}\u00a0%`;
const sub = (i) => `x${String(i).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d])}`;
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const WORDS = { keep: (i) => `keep ${sub(i)}`, drop: (i) => `drop ${sub(i)}`, load: (i) => `go on from ${sub(i)}`, forward: (i) => `forward through layer ${i}, nothing saved`, tape: (i) => `forward through layer ${i}, its tape saved`, backward: (i) => `backward through layer ${i}, its tape freed` };

export function mount(host, data, { onState = () => {} } = {}) {
  const w = copyOf(data.settings);
  let before; // the curve that the reader's last change replaced
  let [schedule, run, whole, rows] = [];
  let [cursor, wide] = [0, 640]; // the boundary that keys act on; pixels of the picture
  solve();
  const agrees = ([forwards, peak], cost) => forwards === cost.forwards && peak === cost.peak;
  const { cost: mine, time, presets: others } = data.golden;
  if (!agrees(mine, run) || time !== timeOf(run, w.layers) || !rows.every(({ name, cost }) => agrees(others[name], cost))) throw new Error("costs differ from the package's");

  function solve() {
    schedule = scheduleOf(w);
    run = trace(schedule, w.layers, w.tape);
    rows = presets(w).map(([name, set]) => ({ name, set, cost: trace(scheduleOf({ ...w, ...set }), w.layers, w.tape) }));
    whole = rows[0].cost;
    w.step = Math.max(0, Math.min(schedule.length, w.step ?? run.first));
  }
  const clicked = () => w.way === "segments";
  const isEven = () => same(w.kept, even(w.layers, w.kept.length));
  const more = (cost) => timeOf(cost, w.layers) - 1;

  const ui = frame(host, {
    title: data.title ?? "Which inputs do you keep?",
    lead: ["To run a layer backwards one needs its tape: what the forward pass saved. Keep all tapes, or only some inputs, and compute the tapes again when their turn comes. Press between two layers on the left to keep or drop the input there."],
    css: STYLE,
  });

  // --- controls
  const number = (field, label, name, min, max) => slider({ label, name, min, max, step: 1, value: w[field], format: String, oninput: (x, fresh) => change({ [field]: x }, fresh) });
  const controls = {
    layers: number("layers", ["layers ", math("L")], "L, layers", 4, 32),
    tape: number("tape", ["tape ", math("a"), "/", math("x")], "a/x, states that a tape weighs", 1, 34),
  };
  const scrub = slider({ label: "action", name: "actions done so far", min: 0, max: schedule.length, step: 1, value: w.step, format: (x) => `${x} of ${schedule.length}`, oninput: (x) => go(x) });
  const runner = player((first) => (seek(first && w.step === schedule.length ? 0 : w.step + Math.ceil(schedule.length / 150)), w.step < schedule.length), () => 80);
  const copy = copyButton("Copy as Python", () => python(w));
  const ask = prompts(data.prompts, reset, ui.say);
  const [story, doing] = ["story", "doing"].map((kind) => h("p", { class: kind }));
  const [sums, note] = ["sum", "note"].map((kind) => h("div", { class: kind }));
  const ways = rows.map((_, i) => {
    const [name, track, worth] = [h("span"), h("span", { class: "track", "aria-hidden": "true" }), h("span", { class: "worth" })];
    return { name, track, worth, el: button([name, track, worth], () => change(rows[i].set), { "aria-pressed": "false" }) };
  });
  const legend = h("p", { class: "legend" },
    key("forward", "forward, nothing saved", "M8 3.2h10v3.6h-10Z"), key("tape", "forward, tape saved", "M9 0h8v10h-8Z"), key("backward", "backward", "M19 0V10L6 5Z"),
    key("held", "tape held", "M2 1h22v8h-22Z"), key("state", "input kept"), key("all", "storing all"), key("was", "before your change"),
  );
  const ghost = legend.lastChild;
  const svg = s("svg", { class: "sched", role: "group", "aria-label": "Chain of layers, schedule and states held", onpointerdown: press, onpointermove: press, onkeydown: keys });
  svg.style.userSelect = "none";

  ui.body.append(
    h("div", { class: "ck" },
      story,
      h("div", {}, svg, legend, h("div", { class: "noprint time" }, scrub.el, h("div", { class: "row" }, button("Back", () => go(w.step - 1)), button("Next", () => go(w.step + 1)), button("Peak", () => go(run.first)), runner.el, doing))),
      h("div", { class: "halves" },
        h("div", {}, h("p", { class: "cap" }, "States at the peak, and how much more time"), h("div", { class: "ways" }, ways.map(({ el }) => el))),
        h("div", { class: "side" }, h("div", {}, controls.layers.el, controls.tape.el), h("div", { class: "panel" }, sums, note)),
      ),
      ask.el,
      h("div", { class: "noprint" }, h("div", { class: "row" }, button("Restore", () => reset({}), { class: "quiet" }), copy.el), copy.shown),
    ),
  );

  // --- changes
  function change(fields, fresh = true) {
    runner.stop();
    ask.clear();
    copy.clear();
    if (fresh) before = { curve: run, layers: w.layers, tape: w.tape };
    const wasEven = isEven();
    Object.assign(w, { step: null }, copyOf(fields));
    if (fields.layers && !fields.kept) w.kept = wasEven ? even(w.layers, Math.min(w.layers, w.kept.length)) : w.kept.filter((i) => i < w.layers);
    cursor = Math.min(cursor, w.layers - 1);
    solve();
    draw();
    ui.say(story.textContent);
    onState(state());
  }

  function reset(fields) {
    Object.assign(w, copyOf(data.settings));
    solve();
    change({ step: data.settings.step, ...fields });
    if (!Object.keys(fields).length) draw((before = undefined));
  }

  function toggle(i) {
    cursor = i;
    if (!i) return ui.say("The input of the first layer is always kept.");
    change({ way: "segments", kept: w.kept.includes(i) ? w.kept.filter((j) => j !== i) : [...w.kept, i].sort((a, b) => a - b) });
  }

  function go(step) {
    runner.stop();
    seek(step);
  }

  function seek(step) {
    w.step = Math.max(0, Math.min(schedule.length, step));
    draw();
    onState(state());
  }

  function press(event) {
    const begins = event.type === "pointerdown";
    if (!begins && !event.buttons) return;
    const area = svg.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * wide;
    const y = ((event.clientY - area.top) / area.width) * wide;
    if (begins && x < LEFT && y < TOP + tall() * w.layers + 12) return toggle(Math.max(0, Math.min(w.layers - 1, Math.round(w.layers - (y - TOP) / tall()))));
    if (x < LEFT && begins) return;
    if (begins) svg.setPointerCapture(event.pointerId);
    else if (!svg.hasPointerCapture(event.pointerId)) return;
    const t = ((x - LEFT) / (wide - LEFT - RIGHT)) * span();
    go(run.end.filter((end) => end <= t).length);
  }

  function keys(event) {
    const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, Home: -cursor, End: w.layers - 1 - cursor }[event.key];
    if (by === undefined && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (by === undefined) toggle(cursor);
    cursor = Math.max(0, Math.min(w.layers - 1, cursor + (by ?? 0)));
    draw();
    svg.querySelector("[tabindex='0']").focus();
  }

  // --- drawing
  const tall = () => Math.max(12, Math.min(30, 300 / w.layers)); // pixels of a layer
  const span = () => Math.max(run.total, whole.total);

  function draw() {
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
    scrub.set(w.step, schedule.length);
    tell();
    drawPicture();
    drawWays();
    drawSums();
  }

  function tell() {
    const name = clicked() ? (w.kept.length === 1 ? "Store all" : `Keep ${w.kept.length} inputs of ${w.layers}`) : { recursive: "Halve again and again", revolve: `Revolve with ${many(w.kept.length, "state")}`, recompute_all: "Recompute all from the input" }[w.way];
    const less = run.peak < whole.peak ? `${percent(run.peak / whole.peak)} of the memory` : "all the memory";
    const time = run.forwards > w.layers ? `${percent(more(run))} more time` : "the same time";
    story.textContent = `${name}: ${less}, ${time}.`;
    const [kind, i] = schedule[w.step - 1] ?? [];
    doing.textContent = kind ? `${WORDS[kind](i)}: ${many(run.held[w.step - 1], "state")} held` : "nothing is done yet";
  }

  function drawPicture() {
    const old = before?.layers === w.layers && before.tape === w.tape && before.curve;
    ghost.hidden = !old;
    const focused = svg.contains(svg.getRootNode().activeElement);
    const rowH = tall();
    const [floor, time] = [TOP + rowH * w.layers, wide - LEFT - RIGHT];
    const unit = time / span();
    const x = (t) => LEFT + t * unit;
    const y = (i) => floor - rowH * i; // of state x_i, below layer i + 1
    const at = w.step ? run.end[w.step - 1] : 0;
    const [low, high] = [floor + GAP + BYTES, Math.max(whole.peak, run.peak) * 1.16];
    const up = (v) => low - (BYTES * v) / high;
    const marks = { forward: "", tape: "", backward: "" };
    schedule.forEach(([kind, i], j) => {
      const [from, to] = [x(run.end[j] - (kind === "backward" ? 2 : 1)), x(run.end[j])];
      const gap = to - from > 3 ? 0.6 : 0;
      const width = Math.max(0.7, to - from - gap);
      if (kind === "forward") marks.forward += box(from, y(i) + rowH * 0.34, width, rowH * 0.32);
      if (kind === "tape") marks.tape += box(from, y(i) + rowH * 0.08, width, rowH * 0.84);
      if (kind === "backward") marks.backward += `M${px(from + width)} ${px(y(i) + rowH * 0.04)}v${px(rowH * 0.92)}L${px(from)} ${px(y(i) + rowH / 2)}Z`;
    });
    const spans = (list, d) => list.map(([i, from, to]) => d(i, x(from), x(to))).join("");
    /** What is held: more from when a tape is begun, less when a backward has ended. */
    const curve = (cost) => `M${px(x(0))} ${px(low)}${cost.schedule.map(([kind], j) => {
      const [t, v] = [`H${px(x(cost.end[j]))}`, `V${px(up(cost.held[j]))}`];
      return kind === "tape" ? v + t : t + v;
    }).join("")}V${px(low)}`;
    const taped = new Set();
    for (const [kind, i] of schedule.slice(0, w.step)) if (kind === "tape") taped.add(i);
      else if (kind === "backward") taped.delete(i);
    const ever = new Set(run.states.map(([i]) => i));
    const shows = rowH >= 14 ? 1 : 4;
    const [bw, bx] = [20, 22];
    const layer = (i) => [
      s("rect", { class: taped.has(i) ? "layer on" : "layer", x: bx, y: px(y(i) + 1.5), width: bw, height: px(rowH - 3), rx: 3 }),
      i % shows === 0 && text(bx - 5, y(i) + rowH / 2 + 4, i, "end"),
    ];
    const pin = (i) => {
      const mine = clicked() && w.kept.includes(i);
      return s("g", { role: "checkbox", "aria-checked": String(mine), tabindex: i === cursor ? 0 : -1, "aria-label": i ? `keep the input of layer ${i + 1}` : "the input of layer 1, always kept", class: mine ? "kept" : ever.has(i) ? "ever" : "" },
        s("rect", { class: "pick", x: 2, y: px(y(i) - rowH / 2), width: LEFT - 8, height: px(rowH) }),
        mine || ever.has(i) ? s("rect", { class: "pin", x: 20, y: px(y(i) - 2.3), width: 36, height: 4.6, rx: 2.3 }) : s("circle", { class: "pin", cx: 49, cy: px(y(i)), r: 2.6 }),
      );
    };
    const ends = [whole.total, run.total].sort((a, b) => a - b);
    const top = [x(run.end[run.first - 1]), up(run.peak)];
    const right = top[0] > LEFT + time * 0.75;
    svg.setAttribute("viewBox", `0 0 ${wide} ${px(low + FOOT)}`);
    svg.replaceChildren(
      ...[
        text(2, 11, "layer", "start", "name"), text(LEFT, 11, "what runs when", "start", "name"),
        path("rule", Array.from({ length: w.layers + 1 }, (_, i) => `M${LEFT} ${px(y(i))}h${px(time)}`).join("")),
        path("held", spans(run.tapes, (i, from, to) => box(from, y(i) + rowH * 0.08, to - from, rowH * 0.84))),
        path("forward", marks.forward), path("tape", marks.tape), path("backward", marks.backward),
        path("state", spans(run.states, (i, from, to) => `M${px(from)} ${px(y(i))}H${px(to)}`)),
        Array.from({ length: w.layers }, (_, i) => layer(i + 1)),
        Array.from({ length: w.layers }, (_, i) => pin(i)),
        text(LEFT, floor + GAP - 6, "states held", "start", "name"),
        path("rule", `M${LEFT} ${px(low)}h${px(time)}M${LEFT} ${px(up(whole.peak))}h${px(time)}`),
        text(LEFT - 5, low + 4, 0, "end"), text(LEFT - 5, up(whole.peak) + 4, whole.peak, "end"),
        path("area", curve(run)),
        old && path("was", curve(old)),
        path("all", curve(whole)),
        path("own", curve(run)),
        text(x(0), low + 14, 0, "middle"), text(x(ends[1]), low + 14, ends[1], "end"),
        (ends[1] - ends[0]) * unit > 34 && ends[0] * unit > 40 && text(x(ends[0]), low + 14, ends[0], "middle"),
        text(x(0), low + 27, "time: a forward takes 1, a backward 2", "start"),
        path("cursor", `M${px(x(at))} ${TOP}V${px(floor + 3)}M${px(x(at))} ${px(floor + GAP)}V${px(low)}`),
        s("circle", { class: "now", cx: px(top[0]), cy: px(top[1]), r: 4.5 }),
        text(top[0] + (right ? -9 : 9), top[1] - 6, `peak ${run.peak}`, right ? "end" : "start", "big"),
      ].flat(2).filter(Boolean),
    );
    if (focused) svg.querySelector("[tabindex='0']").focus();
  }

  function drawWays() {
    const words = (i) => [[`${many(rows[0].cost.tapes.length, "tape")}`], [many(rows[1].set.kept.length, "segment")], [many(rows[2].set.kept.length, "segment")], ["keep the middle"], [many(w.kept.length, "state")], ["from the input"]][i];
    rows.forEach(({ name, set, cost }, i) => {
      ways[i].el.setAttribute("aria-pressed", String(set.way === w.way && (!set.kept || same(set.kept, w.kept))));
      ways[i].name.replaceChildren(name.replace(" segments", ""), h("small", {}, words(i)));
      ways[i].track.replaceChildren(h("i", { style: { width: `${(100 * cost.peak) / whole.peak}%` } }), h("u", { style: { left: `${(100 * run.peak) / whole.peak}%` } }));
      ways[i].worth.replaceChildren(String(cost.peak), h("small", {}, i ? `+${percent(more(cost))} time` : "the same time"));
    });
  }

  function drawSums() {
    const { layers, tape, kept } = w;
    const k = kept.length;
    const rest = run.peak - run.tall * (1 + tape);
    const longest = Math.ceil(layers / k);
    const r = repeats(layers, k);
    const again = { segments: ["2 L − last segment", `= 2 × ${layers} − ${layers - kept.at(-1)}`], revolve: ["L + r L − C(c + r, r − 1)", `= ${layers} + ${r} × ${layers} − C(${k + r}, ${r - 1})`], recompute_all: ["L (L + 1)/2", `= ${layers} × ${layers + 1}/2`], recursive: ["counted"] }[w.way];
    const peak = clicked() && isEven() ? ["(k − 1) x + ⌈L/k⌉ (x + a)", `= ${k - 1} + ${longest} × (1 + ${tape})`] : ["inputs + tapes", `= ${rest} + ${run.tall} × (1 + ${tape})`];
    sums.replaceChildren(
      lines("peak:", ...peak, h("b", {}, `= ${run.peak} states`)),
      lines("forwards:", ...again, h("b", {}, `= ${run.forwards}`)),
      lines("time: (forwards + 2 L)/(3 L)", `= (${run.forwards} + ${2 * layers})/${3 * layers}`, h("b", {}, `= ${num(timeOf(run, layers), 2)}`)),
    );
    note.replaceChildren("In states, ", math("x"), " = 1. A tape holds its own input, so the last segment's isn't counted twice.");
  }

  const state = () => ({ settings: copyOf(w), forwards: run.forwards, peak: run.peak, time: timeOf(run, w.layers), held: w.step ? run.held[w.step - 1] : 0, actions: schedule.length });
  const measure = () => {
    const now = Math.round(svg.getBoundingClientRect().width);
    if (now && Math.abs(now - wide) > 1) draw((wide = now));
  };
  draw();
  measure();
  new ResizeObserver(measure).observe(svg);
  return { state, set: change };
}

mountAll("checkpointing", mount);
