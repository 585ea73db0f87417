// Time series, drawn as SVG.

import { el, show, svg } from "./dom.js";
import { count, now, percent, rate, timeOfDay } from "./format.js";

const HEIGHT = 116;
const MARGIN = { left: 40, right: 8, top: 8, bottom: 18 };
/** Seconds that are shown at least, and at most. */
const SHORTEST = 120;
const LONGEST = 600;
/** A gap in the samples of more milliseconds is a gap in the line. */
const GAP = 3_500;

const axisNumber = (value) => (Number.isInteger(value) ? count(value) : value.toFixed(value < 1 ? 2 : 1));

const CHARTS = [
  { title: "Hit ratio", series: [["hit_ratio", "hit ratio", percent]], most: 1, axis: (value) => `${Math.round(value * 100)} %` },
  { title: "Lookups per second", series: [["hits", "hits", rate], ["misses", "misses", rate]], axis: axisNumber },
  { title: "Computations per second", series: [["computations", "computations", rate], ["errors", "errors", rate]], axis: axisNumber },
  { title: "Invalidations per second", series: [["invalidations", "invalidations", rate]], axis: axisNumber },
];

/** Makes the charts; returns what draws them anew. */
export function makeCharts(parent, samples) {
  let pointed = null;
  const charts = CHARTS.map((about) => new Chart(about, (at) => {
    pointed = at;
    draw();
  }));
  parent.append(...charts.map((chart) => chart.card));
  const draw = () => charts.forEach((chart) => chart.draw(samples(), pointed));
  new ResizeObserver(draw).observe(parent);
  return draw;
}

class Chart {
  constructor(about, point) {
    this.about = about;
    this.point = point;
    this.values = el("dl", { class: "values" });
    this.time = el("span", { class: "time" });
    this.picture = svg("svg", {
      class: "chart",
      height: HEIGHT,
      role: "img",
      tabindex: 0,
      "aria-label": `${about.title}; arrow keys show past values`,
      onpointermove: (event) => this.pointAt(event.clientX),
      onpointerleave: () => point(null),
      onblur: () => point(null),
      onkeydown: (event) => this.step(event),
    });
    this.card = el("section", { class: "card" }, el("h2", {}, about.title), this.time, this.values, this.picture);
  }

  pointAt(x) {
    const { left } = this.picture.getBoundingClientRect();
    this.point(this.first + ((x - left - MARGIN.left) / this.inner) * (this.last - this.first));
  }

  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.point(null);
    if (!move || !this.samples.length) return;
    event.preventDefault();
    const place = this.shown ? this.samples.indexOf(this.shown) : this.samples.length - 1;
    this.point(this.samples[Math.min(this.samples.length - 1, Math.max(0, place + move))].at);
  }

  draw(samples, pointed) {
    const width = Math.max(160, this.picture.clientWidth || this.card.clientWidth - 24);
    this.last = Math.max(now(), samples.at(-1)?.at ?? 0);
    const span = Math.min(LONGEST, Math.max(SHORTEST, (this.last - (samples[0]?.at ?? this.last)) / 1000));
    this.first = this.last - span * 1000;
    this.samples = samples.filter(({ at }) => at >= this.first);
    this.inner = width - MARGIN.left - MARGIN.right;
    this.shown = pointed === null ? null : nearest(this.samples, pointed);
    const names = this.about.series.map(([name]) => name);
    const most = this.about.most ?? niceMost(Math.max(0, ...this.samples.flatMap((sample) => names.map((name) => sample[name] ?? 0))));
    const x = (at) => MARGIN.left + ((at - this.first) / (this.last - this.first)) * this.inner;
    const bottom = HEIGHT - MARGIN.bottom;
    const y = (value) => bottom - (value / most) * (bottom - MARGIN.top);
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    show(this.picture, ...this.axes(width, span, most, x, y), ...this.lines(x, y), ...this.pointer(x, y));
    this.readout();
  }

  axes(width, span, most, x, y) {
    const levels = [0, most / 2, most].flatMap((value) => [
      svg("line", { class: value ? "grid" : "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: MARGIN.left - 6, y: y(value) + 3.5, "text-anchor": "end" }, this.about.axis(value)),
    ]);
    const step = span <= 150 ? 60 : span <= 360 ? 120 : 300;
    const times = [];
    for (let back = 0; back <= span; back += step) {
      const at = x(this.last - back * 1000);
      const anchor = back === 0 ? "end" : at < MARGIN.left + 20 ? "start" : "middle";
      times.push(svg("text", { class: "tick", x: at, y: HEIGHT - 4, "text-anchor": anchor }, back ? `−${back / 60} min` : "now"));
    }
    return [...levels, ...times];
  }

  lines(x, y) {
    return this.about.series.flatMap(([name], place) => {
      const runs = unbroken(this.samples, name);
      return runs.flatMap((run) => {
        const points = run.map((sample) => `${x(sample.at).toFixed(1)},${y(sample[name]).toFixed(1)}`);
        const from = x(run[0].at).toFixed(1);
        const to = x(run.at(-1).at).toFixed(1);
        return [
          svg("path", { class: `area series-${place}`, d: `M${from},${y(0)}L${points.join("L")}L${to},${y(0)}Z` }),
          svg("path", { class: `line series-${place}`, d: `M${points.join("L")}${run.length === 1 ? "h0.1" : ""}` }),
        ];
      });
    });
  }

  pointer(x, y) {
    const sample = this.shown;
    if (!sample) return [];
    const at = x(sample.at);
    const dots = this.about.series
      .map(([name], place) => [sample[name], place])
      .filter(([value]) => value !== null)
      .map(([value, place]) => svg("circle", { class: `dot series-${place}`, cx: at, cy: y(value), r: 3.5 }));
    return [svg("line", { class: "pointer", x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }), ...dots];
  }

  readout() {
    const sample = this.shown ?? this.samples.at(-1);
    this.time.textContent = this.shown ? timeOfDay(this.shown.at) : "";
    const several = this.about.series.length > 1;
    show(this.values, ...this.about.series.map(([name, label, format], place) =>
      el("div", { class: several ? `several series-${place}` : `series-${place}` },
        el("dt", several ? {} : { class: "hidden" }, label),
        el("dd", { "data-value": name }, sample ? format(sample[name]) : "–"))));
  }
}

function nearest(samples, at) {
  let best = null;
  for (const sample of samples) if (!best || Math.abs(sample.at - at) < Math.abs(best.at - at)) best = sample;
  return best;
}

/** The parts of the samples in which a value was known without a gap. */
function unbroken(samples, name) {
  const runs = [];
  let run = [];
  for (const sample of samples) {
    if (sample[name] === null || (run.length && sample.at - run.at(-1).at > GAP)) {
      if (run.length) runs.push(run);
      run = [];
    }
    if (sample[name] !== null) run.push(sample);
  }
  return run.length ? [...runs, run] : runs;
}

/** The end of an axis: 1, 2 or 5 times a power of ten. */
function niceMost(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((end) => end >= value * 1.02) ?? 20 * power;
}
