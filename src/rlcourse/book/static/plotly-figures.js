// Draws the figures of a page when they come near the screen, in the colours of its theme.
(() => {
  const MIME = "application/vnd.plotly.v1+json";
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const grid = style.getPropertyValue("--pst-color-border").trim();
    const axes = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
    return { text: style.getPropertyValue("--pst-color-text-base").trim(), axes };
  };
  const themed = (layout) => {
    const { text, axes } = colours();
    const clear = "rgba(0,0,0,0)";
    const own = { ...layout, paper_bgcolor: clear, plot_bgcolor: clear };
    own.font = { ...layout.font, color: text };
    for (const key of Object.keys({ xaxis: 1, yaxis: 1, ...layout }))
      if (/^[xy]axis\d*$/.test(key)) own[key] = { ...axes, ...layout[key] };
    // buttons and sliders come in the colours of a light page
    own.updatemenus = (layout.updatemenus || []).map((menu) => ({ ...menu, ...controls }));
    own.sliders = (layout.sliders || []).map((slider) => ({ ...slider, ...controls }));
    return own;
  };
  const ground = "rgba(128,140,155,0.25)";
  const controls = { bgcolor: ground, activebgcolor: "#8090a0", bordercolor: "#808890" };
  // words on tiles: Plotly would choose black or white by the tile, as if nothing shone through
  const written = (traces, color) => (traces || []).map((trace) => (
    trace.texttemplate && !(trace.textfont || {}).color
      ? { ...trace, textfont: { ...trace.textfont, color } } : trace));
  const draw = (host) => {
    const figure = JSON.parse(host.querySelector(`script[type="${MIME}"]`).textContent);
    const plot = document.createElement("div");
    host.append(plot);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const config = { responsive: true, displaylogo: false, displayModeBar: false, ...figure.config };
    delete config.plotlyServerURL;
    const layout = figure.layout || {};
    if (still) layout.transition = { duration: 0 };
    const { Plotly } = window;
    const traces = written(figure.data, colours().text);
    // a frame repaints its traces, so it must not bring back the colour of another theme
    const frames = (figure.frames || []).map((f) => ({ ...f, data: written(f.data, colours().text) }));
    const plain = (figure.data || []).map((t, i) => (t === traces[i] ? -1 : i)).filter((i) => i >= 0);
    Plotly.newPlot(plot, traces, themed(layout), config)
      .then(() => frames.length && Plotly.addFrames(plot, frames))
      .then(() => { host.dataset.ready = "1"; });
    new MutationObserver(() => {
      const { text, axes } = colours();
      const change = { "font.color": text };
      for (const key of Object.keys(plot.layout))
        if (/^[xy]axis\d*$/.test(key))
          for (const [name, value] of Object.entries(axes)) change[`${key}.${name}`] = value;
      for (const i of plain) plot.data[i].textfont.color = text;
      for (const frame of (plot._transitionData || {})._frames || [])
        for (const trace of frame.data || []) if (trace.textfont) trace.textfont.color = text;
      Plotly.relayout(plot, change).then(() => Plotly.redraw(plot));
    }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  };
  const start = () => {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((e) => e.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "600px" });
    const all = document.querySelectorAll(".rlc-plotly");
    all.forEach((host) => seen.observe(host));
    addEventListener("beforeprint", () => all.forEach((host) => {
      if (!host.dataset.ready) { seen.unobserve(host); draw(host); }
    }));
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
