// A small line plot: one or two series over the last minutes, as SVG, with its newest values in words.

const SVG = "http://www.w3.org/2000/svg";

export class Plot {
  /** series: names of the lines; format: says a value in words. */
  constructor(parent, title, series, format) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.points = [];
    this.figure = document.createElement("figure");
    this.caption = document.createElement("figcaption");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", "0 0 100 100");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.axis = document.createElement("div");
    this.axis.className = "axis";
    this.figure.append(this.caption, this.svg, this.axis);
    parent.append(this.figure);
  }

  /** Adds the values of a moment; null leaves a gap. */
  add(time, values, span) {
    this.points.push({time, values});
    this.points = this.points.filter(point => point.time > time - span);
    const all = this.points.flatMap(point => point.values).filter(value => value !== null);
    const top = Math.max(...all, 1e-9) * 1.1;
    const x = at => 100 - (time - at) / span * 100;
    this.svg.replaceChildren(...[25, 50, 75].map(y => shape("line", {x1: 0, x2: 100, y1: y, y2: y})));
    this.series.forEach((_, i) => {
      for (const run of runs(this.points, i)) {
        const points = run.map(point => `${x(point.time).toFixed(2)},${(100 - point.values[i] / top * 100).toFixed(2)}`);
        this.svg.append(shape("polyline", {points: (run.length === 1 ? [points[0], points[0]] : points).join(" "), class: i ? "second" : "first"}));
      }
    });
    const words = this.series.map((name, i) => `${name} ${values[i] === null ? "–" : this.format(values[i])}`);
    const title = document.createElement("strong");
    title.textContent = this.title;
    this.caption.replaceChildren(title, ...words.map((word, i) => {
      const span = document.createElement("span");
      span.className = i ? "second" : "first";
      span.textContent = word;
      return span;
    }));
    this.svg.setAttribute("aria-label", `${this.title} of the last ${span / 60000} minutes; now ${words.join(", ")}; the top is ${this.format(top)}`);
    this.axis.textContent = "";
    for (const text of [`${span / 60000} minutes ago`, `top ${this.format(top)}`, "now"]) this.axis.append(Object.assign(document.createElement("span"), {textContent: text}));
  }
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}

/** The stretches of points in which series i has values. */
function runs(points, i) {
  const all = [[]];
  for (const point of points) {
    if (point.values[i] === null) all.push([]);
    else all.at(-1).push(point);
  }
  return all.filter(run => run.length);
}
