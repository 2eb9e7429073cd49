// FlashAttention: the scores as tiles, what moves to and from slow memory, and what fast memory must hold.
import { button, choice, copyButton, copyOf, frame, h, key, lines, math, mountAll, num, player, prompts, s, slider } from "./kit.js";

// ------------------------------------------------------------------ model: as rlcourse.systems.attention_tiles, with M = N
const [HELD, SENT] = [4, 2]; // bytes of an element: float32 in fast memory, bf16 in slow
const STEP = 16;
const MOST = 512; // of the sides of a tile

/** How many tiles of a row of tiles are seen at all, and how many by all of its queries. */
export function visible({ n, block_q, block_k, causal }, row) {
  const all = Math.ceil(n / block_k);
  if (!causal) return { seen: all, full: all };
  const first = row * block_q + 1; // keys that the row's first query sees
  const last = Math.min((row + 1) * block_q, n);
  return { seen: Math.ceil(last / block_k), full: first >= n ? all : Math.floor(first / block_k) };
}

export const rowsOf = ({ n, block_q }) => Math.ceil(n / block_q);

/** Σ of something over the rows of tiles from 0 to before `rows`. */
function total(w, of, rows = rowsOf(w)) {
  if (!w.causal) return rows && rows * of(visible(w, 0));
  let sum = 0;
  for (let row = 0; row < rows; row += 1) sum += of(visible(w, row));
  return sum;
}

export const visited = (w) => total(w, ({ seen }) => seen);
export const masked = (w) => total(w, ({ seen, full }) => seen - full);
export const keysOf = (w, rows) => total(w, ({ seen }) => Math.min(seen * w.block_k, w.n), rows);

/** The row and column of the tile that is visited as number `step`, from 1. */
export function place(w, step) {
  if (!w.causal) return [Math.floor((step - 1) / visible(w, 0).seen), (step - 1) % visible(w, 0).seen];
  let row = 0;
  let left = step - 1;
  while (left >= visible(w, row).seen) left -= visible(w, row++).seen;
  return [row, left];
}

/** Elements that standard attention moves: S and P are written and read, the inputs read once by each kernel. */
export const standard = ({ n, d }) => 4 * n * n + 4 * n * d;

/** Elements that FlashAttention moves: K and V with each row of tiles; queries, outputs and log-sum-exps once. */
export const flash = (w) => 2 * w.d * keysOf(w) + 2 * w.n * w.d + w.n;

/** The part of it that has moved after `step` tiles. */
export function soFar(w, step) {
  if (!step) return 0;
  const [row, column] = place(w, step);
  const keys = keysOf(w, row) + Math.min((column + 1) * w.block_k, w.n);
  const queries = Math.min((row + 1) * w.block_q, w.n);
  const done = column + 1 === visible(w, row).seen ? queries : row * w.block_q;
  return 2 * w.d * keys + queries * w.d + done * (w.d + 1);
}

/** Elements of each tile that one row of tiles holds at a time. */
export const held = ({ block_q, block_k, d }) => ({ q: block_q * d, k: block_k * d, v: block_k * d, s: block_q * block_k, o: block_q * d, "m, l": 2 * block_q });
export const sum = (parts) => Object.values(parts).reduce((a, b) => a + b, 0);

/** The most queries that fit beside the keys of a tile. */
export const tallest = ({ d, block_k }, kib) => Math.max(0, Math.floor(((kib * 1024) / HELD - 2 * d * block_k) / (2 * d + block_k + 2)));

/** Operations for each byte moved. */
export const intensity = ({ n, d, causal }, moved) => (4 * n * n * d * (causal ? 0.5 : 1)) / (SENT * moved);

export function python({ n, d, block_q, block_k, causal, card }, { kib }) {
  return `from rlcourse.systems import attention_tiles as at

n, d, block_q, block_k = ${n}, ${d}, ${block_q}, ${block_k}
standard = sum(at.standard_traffic(n, n, d))
flash = sum(at.forward_traffic(n, n, d, block_q, block_k, causal=${causal ? "True" : "False"}))
held = sum(at.forward_tiles(block_q, block_k, d).values())
room = ${kib} * 1024 // ${HELD}  # float32 elements in the fast memory of a thread block, ${card}
print(f"traffic: {standard / flash:.1f} times less")
print(f"tiles: {held} elements, room for {room}")
`;
}

// ------------------------------------------------------------------ view
const STYLE = `
.fl, .even { display: grid; gap: .9rem; } .fl > *, .even > * { min-width: 0; } .even { align-items: start; }
.story { font-weight: 650; font-size: 1.06rem; min-height: 1.45em; } .story.bad { font-size: 1.06rem; }
.fl svg path { fill: none; } .fl svg text { font-size: 11px; fill: var(--mut); } .tiles { cursor: crosshair; touch-action: pan-y; }
.tiles path.area { fill: var(--panel); } .tiles path.read, .legend path.read { fill: rgb(var(--pos) / .38); }
.tiles path.lines { stroke: var(--edge); stroke-opacity: .35; stroke-width: .6; } .tiles path.rim { stroke: var(--edge); }
.tiles path.skip { fill: var(--card); } path.hatch, .legend path.hatch { stroke: var(--mut); stroke-width: 1; stroke-opacity: .55; }
.tiles rect.strip { fill: var(--hair); stroke: var(--line); stroke-width: .7; } .tiles rect.on, .tiles rect.tile { fill: rgb(var(--neg)); } .tiles rect.tile { stroke: var(--warm); stroke-width: 2; }
.tiles rect.out { fill: rgb(var(--pos) / .7); } .tiles path.ray { stroke: var(--warm); stroke-width: 1.4; stroke-dasharray: 3 2; } .legend path.cur { fill: rgb(var(--neg)); stroke: var(--warm); }
.fl svg text.name { font-size: 13px; font-style: italic; fill: var(--ink); font-family: Georgia, serif; }
.wall { stroke: var(--warm); stroke-width: 2; } .legend path.fits { stroke: var(--accent); stroke-width: 3; } .legend path.not { stroke: var(--warm); stroke-width: 2.4; stroke-dasharray: 5 4; } .legend circle { fill: none; stroke: var(--mut); stroke-width: 1.6; stroke-dasharray: 2 2; }
.fl svg path.beyond { fill: rgb(var(--neg) / .1); } .chart path.fits { stroke: var(--accent); stroke-width: 3; } .chart path.not { stroke: var(--warm); stroke-width: 2.4; stroke-dasharray: 5 4; }
.fl svg text.limit { fill: var(--warm); font-weight: 650; } .fl svg text.big { font-size: 14px; font-weight: 700; fill: var(--ink); } .chart .was { fill: none; stroke: var(--mut); stroke-width: 1.6; stroke-dasharray: 2 2; }
.chart path.even1 { stroke: var(--ink); stroke-dasharray: 2 3; } .chart .now.bad { stroke: var(--warm); }
.bars { display: grid; grid-template-columns: 4.1rem 1fr 4.2rem; gap: .4rem .5rem; align-items: center; } .bars b { text-align: right; white-space: nowrap; } .bars .cap { grid-column: 1 / -1; margin: 0; }
.track { position: relative; height: 26px; display: flex; } .track i { display: block; height: 100%; overflow: hidden; white-space: nowrap; font: 600 .72rem/26px system-ui, sans-serif; text-align: center; border-right: 1.5px solid var(--card); color: var(--ink); background: var(--edge); }
.track i { background: color-mix(in srgb, var(--edge) 38%, var(--card)); } .track.flash i { background: rgb(var(--pos) / .25); } .track.held i { background: rgb(var(--pos) / .25); } .track.held.bad i { background: repeating-linear-gradient(135deg, rgb(var(--neg) / .45) 0 5px, rgb(var(--neg) / .18) 5px 10px); }
.track s { position: absolute; left: 0; bottom: 0; height: 5px; background: rgb(var(--pos)); text-decoration: none; }
.track u { position: absolute; top: -5px; bottom: -5px; border-left: 3px solid var(--ink); } .track em { position: absolute; top: 3px; bottom: 3px; border: 1.5px dashed var(--mut); border-left: 0; left: 0; }
.fl .sum { margin: 0; } .fl .sum p + p { margin-top: .4rem; } .tight .choice { margin-bottom: .3rem; } .tight .slider { grid-template-columns: 5.2rem 1fr 3.6rem; }
.time .slider { grid-template-columns: 3.4rem 1fr auto; } .time output { white-space: nowrap; }
@container (min-width: 560px) { .even { grid-template-columns: 1fr 1fr; } }
`;

const [X, Y, S] = [34, 40, 262]; // the scores in their picture of 320 x 312
const [CW, CH, CL, CR, CT, CB] = [320, 312, 30, 10, 22, 34];
const LOW = 0.25;
const HIGH = 64;
/** Text in which B_q and B_k are set as symbols. */
const set = (text) => text.split(/(B_[qk])/).map((part) => (part.startsWith("B_") ? math(part) : part));
const line = (kind, d) => s("path", { class: kind, d });
const px = (v) => v.toFixed(1);
const bytes = (n) => {
  const at = n < 2 ** 20 ? 1 : n < 2 ** 30 ? 2 : 3;
  const value = n / 1024 ** at;
  return `${num(value, value < 10 ? 1 : 0)}\u00a0${["", "KiB", "MiB", "GiB"][at]}`;
};

export function mount(host, data, { onState = () => {} } = {}) {
  const w = copyOf(data.settings);
  let before; // what the reader's last change replaced
  let [tiles, moved, saved, need, room, all] = [];
  solve();
  const mine = { standard: standard(w), flash: moved, saved, intensity: intensity(w, moved), held: sum(need), tallest: tallest(w, room) };
  const near = ([name, x]) => Math.abs(mine[name] - x) <= 1e-9 * Math.max(1, Math.abs(x));
  if (!Object.entries(data.golden).every(near)) throw new Error("values differ from the package's");

  function solve() {
    tiles = visited(w);
    [moved, all] = [flash(w), standard(w)];
    saved = all / moved;
    need = held(w);
    room = data.cards[w.card].kib;
    w.step = Math.max(0, Math.min(tiles, w.step));
  }
  const fits = () => HELD * sum(need) <= room * 1024;

  const ui = frame(host, {
    title: data.title ?? "Larger tiles move less. What stops them?",
    lead: ["Attention of ", math("N"), " queries to ", math("N"), " keys, one head. Standard attention writes all ", math("N"), "² scores to slow memory and reads them back, twice. FlashAttention keeps one tile of them in fast memory; ", math("K"), " and ", math("V"), " pass by once for each row of tiles."],
    css: STYLE,
  });

  // --- controls
  const side = (field, label, name) => slider({ label, name, min: STEP, max: MOST, step: STEP, value: w[field], format: String, oninput: (x, fresh) => change({ [field]: x }, fresh) });
  const pick = (field, label, name, options) => choice({ label, name, options, value: w[field], onpick: (x) => change({ [field]: x }) });
  const length = slider({ label: ["length ", math("N")], name: "N, queries and keys", min: 10, max: 17, step: 1, value: Math.log2(w.n), format: (x) => String(2 ** x), oninput: (x, fresh) => change({ n: 2 ** x }, fresh) });
  const controls = {
    block_q: side("block_q", ["queries ", math("B_q")], "B_q, queries of a tile"),
    block_k: side("block_k", ["keys ", math("B_k")], "B_k, keys of a tile"),
    n: { el: length.el, set: (n) => length.set(Math.log2(n)) },
    d: pick("d", ["width ", math("d")], "d, width of a head", [64, 128, 256].map((d) => [d, d])),
    causal: pick("causal", "sees", "which keys a query sees", [[false, "all keys"], [true, "causal"]]),
    card: pick("card", "card", "card, whose fast memory must hold the tiles", Object.keys(data.cards).map((name) => [name, name])),
  };
  const scrub = slider({ label: "tile", name: "tiles visited so far", min: 0, max: tiles, step: 1, value: w.step, format: (x) => `${x} of ${tiles}`, oninput: (x) => go(x) });
  const runner = player((first) => (seek(first && w.step === tiles ? 0 : w.step + Math.ceil(tiles / 120)), w.step < tiles), () => 60);
  const copy = copyButton("Copy as Python", () => python(w, data.cards[w.card]));
  const ask = prompts(data.prompts, reset, ui.say);
  const story = h("p", { class: "story" });
  const [bars, sums, note] = ["bars", "sum", "note"].map((kind) => h("div", { class: kind }));

  /** A picture of 320 x 312 that is drawn again and again, so that a drag on it goes on: act(x, y, whether it begins). */
  function canvas(kind, act) {
    const move = (event) => {
      if (!event.buttons) return;
      const box = el.getBoundingClientRect();
      act(((event.clientX - box.left) / box.width) * 320, ((event.clientY - box.top) / box.height) * 312, event.type === "pointerdown");
    };
    const grab = (event) => (el.setPointerCapture(event.pointerId), move(event));
    const el = s("svg", { class: kind, viewBox: "0 0 320 312", role: "img", onpointerdown: grab, onpointermove: move });
    const cap = h("p", { class: "cap" });
    const legend = h("p", { class: "legend" });
    const draw = (caption, label, drawn, keys) => {
      cap.textContent = caption;
      el.ariaLabel = label;
      el.replaceChildren(...drawn.flat(Infinity).filter(Boolean));
      legend.replaceChildren(...keys.filter(Boolean));
    };
    return { el: h("div", {}, cap, el, legend), draw };
  }
  const scores = canvas("tiles", (x, y) => {
    const row = Math.max(0, Math.min(rowsOf(w) - 1, Math.floor(((y - Y) / S) * (w.n / w.block_q))));
    const column = Math.max(0, Math.floor(((x - X) / S) * (w.n / w.block_k)));
    const { seen } = visible(w, row);
    go(total(w, (each) => each.seen, row) + Math.min(column + 1, seen));
  });
  const chart = canvas("chart", (x, _, fresh) => {
    const part = Math.max(0, Math.min(1, (x - CL) / (CW - CL - CR)));
    const b = STEP * Math.round((MOST / STEP) ** part);
    if (b !== w.block_q) change({ block_q: b }, fresh);
  });

  ui.body.append(
    h("div", { class: "fl" },
      story,
      bars,
      h("div", { class: "even" },
        h("div", {}, scores.el, h("div", { class: "noprint time" }, scrub.el, h("div", { class: "row" }, button("Back", () => go(w.step - 1)), button("Next tile", () => go(w.step + 1)), runner.el))),
        chart.el,
      ),
      h("div", { class: "even tight" },
        h("div", {}, controls.block_q.el, controls.block_k.el, controls.n.el, controls.d.el, controls.causal.el, controls.card.el),
        h("div", { class: "panel" }, sums, note),
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
    if (fresh) before = { w: copyOf(w), moved, saved };
    const part = w.step / tiles;
    Object.assign(w, fields);
    if (fields.step === undefined) w.step = Math.round(part * visited(w));
    solve();
    for (const [field, control] of Object.entries(controls)) control.set(w[field]);
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

  function go(step) {
    runner.stop();
    seek(step);
  }

  function seek(step) {
    w.step = Math.max(0, Math.min(tiles, step));
    draw();
    onState(state());
  }

  // --- drawing
  function draw() {
    scrub.set(w.step, tiles);
    tell();
    drawBars();
    drawTiles();
    drawChart();
    drawSums();
  }

  function tell() {
    const size = `${w.block_q} × ${w.block_k}`;
    const less = saved >= 1 ? `${num(saved, 1)} times less traffic` : `more traffic than standard attention, ${num(1 / saved, 1)} times`;
    const ok = fits() && saved >= 1;
    story.className = ok ? "story" : "story bad";
    const place = fits() ? `the tiles fit: ${bytes(HELD * sum(need))} of ${room} KiB` : `the tiles do not fit: ${bytes(HELD * sum(need))}, and there are ${room} KiB`;
    story.textContent = `${ok ? "✓" : "✕"} Tiles of ${size}: ${less}, ${fits() === saved >= 1 ? "and" : "but"} ${place}.`;
  }

  function drawBars() {
    const most = Math.max(all, moved);
    const percent = (x, of) => `${(100 * x) / of}%`;
    const parts = (entries, of) => entries.map(([name, x]) => h("i", { style: { width: percent(x, of) } }, x / of > 0.04 + 0.012 * name.length ? name : ""));
    const nn = w.n * w.n;
    const inputs = 4 * w.n * w.d;
    const kv = 2 * w.d * keysOf(w);
    const size = Math.max(sum(need), (room * 1024) / HELD);
    const ghost = before && before.moved !== moved && before.moved <= most && h("em", { style: { width: percent(before.moved, most) } });
    bars.replaceChildren(
      h("p", { class: "cap" }, `Traffic with slow memory; underlined: moved by now, ${bytes(SENT * soFar(w, w.step))}`),
      h("span", {}, "standard"), h("span", { class: "track" }, parts([["S out", nn], ["S in", nn], ["P out", nn], ["P in", nn], ["Q, K, V, O", inputs]], most)), h("b", {}, bytes(SENT * all)),
      h("span", {}, "flash"), h("span", { class: "track flash" }, parts([["K, V", kv], ["Q, O", moved - kv]], most), h("s", { style: { width: percent(soFar(w, w.step), most) } }), ghost), h("b", {}, bytes(SENT * moved)),
      h("p", { class: "cap" }, `Fast memory: at most ${room} KiB a thread block`),
      h("span", {}, "tiles"), h("span", { class: `track held ${fits() ? "" : "bad"}` }, parts(Object.entries(need), size), h("u", { style: { left: percent((room * 1024) / HELD, size) } })), h("b", {}, bytes(HELD * sum(need))),
    );
  }

  function drawTiles() {
    const unit = S / w.n;
    const [tall, wide] = [w.block_q * unit, w.block_k * unit];
    const rows = rowsOf(w);
    const by = Math.max(1, Math.ceil(rows / 128)); // rows drawn as one where they are thin
    const [row, column] = w.step ? place(w, w.step) : [0, -1];
    const edge = (i) => Math.min(S, visible(w, i).seen * wide);
    const down = (i) => Y + Math.min(S, i * tall);
    const stairs = (until) => {
      let d = `M${X} ${Y}`;
      for (let i = 0; i < until; i += by) d += `H${px(X + edge(Math.min(i + by, until) - 1))}V${px(down(Math.min(i + by, until)))}`;
      return d;
    };
    /** The parts of the line x = y + c that lie right of the stairs. */
    const across = (c) => {
      const thin = rows > 32; // then the line is cut by the diagonal alone
      if (thin) return c > tall + wide && c < S ? `M${px(X + c)} ${Y}L${X + S} ${px(Y + S - c)}` : "";
      return Array.from({ length: rows }, (_, i) => {
        const from = Math.max(i * tall, edge(i) - c);
        const to = Math.min((i + 1) * tall, S, S - c);
        return from < to ? `M${px(X + from + c)} ${px(Y + from)}L${px(X + to + c)} ${px(Y + to)}` : "";
      });
    };
    const grid = (size, d) => size >= 2.5 && line("lines", Array.from({ length: Math.ceil(S / size) - 1 }, (_, i) => d(px((i + 1) * size))).join(""));
    const hatch = Array.from({ length: 64 }, (_, i) => 9 * i - S).flatMap((c) => across(c)).join("");
    const strip = (x, y, width, height, kind = "strip") => s("rect", { class: kind, x, y, width, height });
    const [tx, ty] = [X + column * wide, Y + row * tall];
    const [tw, th] = [Math.max(3, Math.min(wide, X + S - tx)), Math.max(3, Math.min(tall, Y + S - ty))];
    const finished = w.step ? (column + 1 === visible(w, row).seen ? row + 1 : row) : 0;
    const name = (x, y, text) => s("text", { class: "name", x, y, "text-anchor": "middle" }, text);
    const on = w.step > 0;
    const label = `${w.n} by ${w.n} scores in ${tiles} tiles; ${on ? `tile ${w.step}: row ${row + 1}, column ${column + 1}` : "none is visited"}`;
    scores.draw(
      `The scores: ${rows} × ${Math.ceil(w.n / w.block_k)} tiles, ${w.causal ? `${tiles} of them seen` : "one at a time"}`,
      label,
      [
        line("area", `M${X} ${Y}h${S}v${S}h${-S}Z`),
        w.causal && [line("skip", `${stairs(rows)}V${Y + S}H${X + S}V${Y}Z`), line("hatch", hatch)],
        on && line("read", `${stairs(row)}H${px(X + Math.min(S, (column + 1) * wide))}V${px(down(row + 1))}H${X}Z`),
        grid(wide, (at) => `M${X + Number(at)} ${Y}v${S}`),
        grid(tall, (at) => `M${X} ${Y + Number(at)}h${S}`),
        line("rim", `M${X} ${Y}h${S}v${S}h${-S}Z`),
        strip(X, Y - 24, S, 8), strip(X, Y - 13, S, 8), strip(X - 14, Y, 9, S), strip(X + S + 5, Y, 9, S),
        strip(X + S + 5, Y, 9, down(finished) - Y, "out"),
        on && [
          line("ray", `M${X - 5} ${px(ty + th / 2)}H${px(tx)}M${px(tx + tw / 2)} ${Y - 5}V${px(ty)}`),
          strip(tx, Y - 24, tw, 8, "on"), strip(tx, Y - 13, tw, 8, "on"), strip(X - 14, ty, 9, th, "on"), strip(X + S + 5, ty, 9, th, "on"),
          strip(tx, ty, tw, th, "tile"),
        ],
        name(X - 26, Y + S / 2, "Q"), name(X + S + 20, Y + S / 2, "O"), name(X - 9, Y - 17, "K"), name(X + S + 9, Y - 6, "V"),
      ],
      [key("cur", "in fast memory", "M8 1h9v8h-9Z"), key("read", "done", "M2 1h20v8h-20Z"), w.causal && key("hatch", "skipped: nobody sees it", "M2 1l8 8M9 1l8 8M16 1l8 8")],
    );
  }

  function drawChart() {
    const x = (b) => CL + ((CW - CL - CR) * Math.log2(b / STEP)) / Math.log2(MOST / STEP);
    const y = (v) => CT + ((CH - CT - CB) * Math.log2(HIGH / Math.max(LOW, Math.min(HIGH, v)))) / Math.log2(HIGH / LOW);
    const at = (b) => all / flash({ ...w, block_q: b });
    const wall = tallest(w, room);
    const edge = x(Math.max(STEP * 0.96, Math.min(MOST, wall)));
    const sizes = Array.from({ length: MOST / STEP }, (_, i) => STEP * (i + 1));
    const path = (part) => part.length > 1 && `M${part.map((b) => `${px(x(b))} ${px(y(at(b)))}`).join("L")}`;
    const inside = sizes.filter((b) => b <= wall);
    const outside = sizes.filter((b) => b > wall - STEP);
    const text = (tx, ty, words, anchor, kind) => s("text", { x: tx, y: ty, "text-anchor": anchor, class: kind }, words);
    const [nx, ny] = [x(w.block_q), y(saved)];
    const words = `${num(saved, saved < 1 ? 2 : 1)}×`;
    chart.draw(
      `Times less traffic, by queries a tile, with ${w.block_k} keys`,
      `At ${w.block_q} queries a tile: ${words} less traffic; at most ${wall} fit`,
      [
        wall < MOST && line("beyond", `M${px(edge)} ${CT}H${CW - CR}V${CH - CB}H${px(edge)}Z`),
        [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64].map((v) => [line(v === 1 ? "even1" : "grid", `M${CL} ${px(y(v))}H${CW - CR}`), v >= 0.5 && v < 64 && text(CL - 5, y(v) + 4, v === 0.5 ? "½" : v, "end")]),
        [16, 32, 64, 128, 256, 512].map((b) => text(x(b), CH - CB + 15, b, "middle")),
        text(CW - CR, CH - 3, "queries a tile", "end"),
        line("fits", path(inside) || ""),
        line("not", path(outside) || ""),
        wall < MOST && line("wall", `M${px(edge)} ${CT}V${CH - CB}`),
        text(Math.max(CL, Math.min(edge, CW - CR - 2)), CT - 8, wall < STEP ? `${room} KiB: no room for ${STEP} queries` : wall < MOST ? `${room} KiB end at ${wall}` : `all fit in ${room} KiB`, edge < 110 ? "start" : edge > 220 ? "end" : "middle", "limit"),
        text(CW - CR - 4, y(1) - 5, "as standard", "end"),
        before && s("circle", { class: "was", cx: x(before.w.block_q), cy: y(before.saved), r: 7 }),
        s("circle", { class: fits() && saved >= 1 ? "now" : "now bad", cx: nx, cy: ny, r: 6 }),
        nx < 90 ? text(nx + 4, ny - 11, words, "start", "big") : text(nx - 10, ny - 9, words, "end", "big"),
      ],
      [key("fits", "fits"), key("not", "does not fit"), before && h("span", {}, s("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, s("circle", { cx: 13, cy: 5, r: 4.5 })), " before your change")],
    );
  }

  function drawSums() {
    const rows = rowsOf(w);
    const { ridge } = data.cards[w.card];
    const keys = keysOf(w);
    const ours = intensity(w, moved);
    const edge = masked(w);
    sums.replaceChildren(
      lines("standard: 4 N² + 4 N d", `= 4 × ${w.n}² + 4 × ${w.n} × ${w.d}`, `= ${num(all / 1e6, 1)} million elements`),
      lines("flash: 2 N d + N +", w.causal ? `2 d × ${keys} keys` : set("2 d × N × ⌈N/B_q⌉"), w.causal ? `of ${rows} rows` : `= … + 2 × ${w.d} × ${w.n} × ${rows}`, `= ${num(moved / 1e6, 1)} million`),
      lines(set("tiles: 2 d (B_q + B_k)"), set("+ B_q B_k + 2 B_q"), `= ${sum(need)} float32,`, `${bytes(HELD * sum(need))} of ${room}`),
      lines(`operations a byte: ${num(ours, 0)},`, `standard ${num(intensity(w, all), 0)};`, `the ${w.card} could do ${num(ridge, 0)}`),
    );
    note.textContent = `${w.causal ? `${tiles} tiles are visited, and ${edge} of them need the mask. ` : ""}Traffic in bf16. Not counted: the L2 cache, which serves much of what is read again.`;
  }

  const state = () => ({ settings: copyOf(w), standard: all, flash: moved, saved, fits: fits(), held: sum(need), tallest: tallest(w, room) });
  draw();
  return { state, set: change };
}

mountAll("flash_attention", mount);
