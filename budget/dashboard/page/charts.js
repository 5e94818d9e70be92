// Charts by Chart.js, in the colours of the page; each can be walked through with the arrow keys.

const charts = {};
const COLORS = 8;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function hatching() {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = css("--rest");
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = css("--paper");
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(0, 6);
  pen.lineTo(6, 0);
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

// A model has one colour in the whole page; by rank, whatever is filtered.
function colorName(cube, dimension, number) {
  const names = cube.names[dimension];
  if (names[number] === UNATTRIBUTED) return "hatched";
  const before = names.slice(0, number).filter((name) => name !== UNATTRIBUTED).length;
  return number < names.length && before < COLORS ? "--c" + before : "--rest";
}

const colorOf = (name) => (name === "hatched" ? hatching() : css(name));
const dot = (name) => el("span", { class: name === "hatched" ? "dot hatched" : "dot", "aria-hidden": "true", style: name === "hatched" ? {} : { background: "var(" + name + ")" } });

function canvas(id, label, small) {
  const made = el("canvas", { id: "chart-" + id, role: "img", "aria-label": label, tabindex: "0" });
  return el("div", { class: "canvas " + (small || "") }, made);
}

// type, keys, label(key), tick(key), series: [{name, color, values}], money or format, onPick(key)
function draw(id, options) {
  if (charts[id]) charts[id].destroy();
  const { keys, series, format } = options;
  const line = options.type === "line";
  const datasets = series.map((each) => ({
    label: plain(each.name),
    data: each.values,
    backgroundColor: line ? css(each.color) : colorOf(each.color),
    borderColor: line ? css(each.color) : undefined,
    borderWidth: line ? 2 : 0,
    pointRadius: line ? (each.points || (keys.length > 40 ? 0 : 2)) : undefined,
    pointStyle: each.styles,
    spanGaps: true,
    tension: 0,
    maxBarThickness: 46,
    categoryPercentage: 0.86,
    barPercentage: 1,
  }));
  const dim = css("--dim");
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
  const chart = new Chart(byId("chart-" + id), {
    type: options.type || "bar",
    data: { labels: keys, datasets },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      onClick: (event, found) => { if (options.onPick && found.length) options.onPick(keys[found[0].index]); },
      scales: {
        x: {
          stacked: !line,
          grid: { display: false },
          border: { color: css("--line") },
          ticks: { color: dim, font, maxRotation: 0, autoSkipPadding: 14, callback: (value, index) => options.tick(keys[index]) },
        },
        y: {
          stacked: !line,
          beginAtZero: true,
          max: options.max,
          suggestedMax: options.least,
          grid: { color: css("--line") },
          border: { display: false },
          ticks: { color: dim, font, maxTicksLimit: 5, callback: (value) => options.axis(value) },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          itemSort: (one, other) => other.raw - one.raw,
          filter: (item) => item.raw > 0 || series.length === 1,
          callbacks: {
            title: (items) => (items.length ? options.label(keys[items[0].dataIndex]) : ""),
            label: (item) => " " + item.dataset.label + "  " + format(item.raw),
            footer: (items) => (series.length > 1 ? "together  " + format(items.reduce((sum, item) => sum + item.raw, 0)) : ""),
          },
        },
      },
    },
  });
  charts[id] = chart;
  walkable(chart, options);
}

function walkable(chart, options) {
  let at = options.keys.length;
  chart.canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -at, End: options.keys.length - 1 - at }[event.key];
    if (event.key === "Enter" && options.onPick && at < options.keys.length) {
      options.onPick(options.keys[at]);
      return;
    }
    if (move === undefined) return;
    event.preventDefault();
    at = Math.min(options.keys.length - 1, Math.max(0, at + move));
    const active = options.series.map((each, number) => ({ datasetIndex: number, index: at }));
    chart.setActiveElements(active);
    chart.tooltip.setActiveElements(active, { x: 0, y: 0 });
    chart.update();
    const told = options.series.filter((each) => each.values[at] > 0).map((each) => plain(each.name) + " " + options.format(each.values[at]));
    byId("spoken").textContent = options.label(options.keys[at]) + ": " + (told.join(", ") || "nothing");
  });
}

const MOST_LEGEND = 10;

function legend(entries) {
  const items = entries.slice(0, MOST_LEGEND).map(([name, color, words]) => el("li", {}, dot(color), bdi(name), el("span", { class: "dim amount" }, words)));
  if (entries.length > MOST_LEGEND) items.push(el("li", { class: "dim" }, "and " + (entries.length - MOST_LEGEND) + " more, in the tables"));
  return el("ul", { class: "legend" }, items);
}
