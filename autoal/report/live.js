
(() => {
  "use strict";
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const look = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const made = [];

  // A series of the page is three of uPlot's: the mean, and the two edges of its band, which the legend leaves out.
  function draw(figure, chart) {
    const data = [chart.x], series = [{ label: "labels" }], bands = [];
    for (const s of chart.series) {
      const first = series.length;
      data.push(s.mean, s.high, s.low);
      series.push(
        { label: s.name, stroke: s.color, width: s.width, points: { show: false },
          value: (u, v) => (v == null ? "-" : (chart.zero && v > 0 ? "+" : "") + v.toFixed(1)) },
        { class: "edge", stroke: "transparent", points: { show: false } },
        { class: "edge", stroke: "transparent", points: { show: false } },
      );
      if (s.band) bands.push({ series: [first + 1, first + 2], fill: s.color + "30" });
    }
    const width = () => Math.max(240, figure.clientWidth - 24);
    const axis = { stroke: () => look("--soft"), font: "12px system-ui", grid: { stroke: () => look("--line"), width: 1 },
      ticks: { stroke: () => look("--line"), width: 1 } };
    const zero = (u) => {
      if (!chart.zero) return;
      const y = Math.round(u.valToPos(0, "y", true));
      if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) return;
      u.ctx.save();
      u.ctx.strokeStyle = look("--soft");
      u.ctx.lineWidth = 1.5;
      u.ctx.beginPath();
      u.ctx.moveTo(u.bbox.left, y);
      u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
      u.ctx.stroke();
      u.ctx.restore();
    };
    const plot = new uPlot({
      width: width(), height: Math.round(Math.min(340, Math.max(220, width() * 0.6))), series, bands,
      scales: { x: { time: false } },
      axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], label: "labels paid", labelSize: 20, labelFont: "12px system-ui" },
        { ...axis, size: 48, label: chart.unit, labelSize: 20, labelFont: "12px system-ui" }],
      cursor: { drag: { x: true, y: true, uni: 25 } },
      hooks: {
        draw: [zero],
        setSeries: [(u, i, options) => {
          if (i && options.show !== undefined && series[i].label) {
            for (const edge of [i + 1, i + 2]) u.setSeries(edge, { show: options.show });
          }
        }],
      },
    }, data, figure);
    figure.classList.add("live");
    new ResizeObserver(() => {
      if (Math.abs(plot.width - width()) > 2) plot.setSize({ width: width(), height: plot.height });
    }).observe(figure);
    made.push(plot);
  }

  document.querySelectorAll("figure[data-chart]").forEach((figure) => draw(figure, charts[+figure.dataset.chart]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => made.forEach((plot) => plot.redraw(false, true)));
})();
