// ---- a study: {name, axes, metrics, lines, paper}, as write_study_page() says
// The combinations of values of all axes but the `shown` ones: [{title, lines}], each with its lines of the table.
function facetsOf({axes, lines}, shown) {
  const rest = [...axes.keys()].filter(axis => !shown.includes(axis)), facets = new Map();
  for (const line of lines) {
    const title = rest.map(axis => `${axes[axis].name} ${axes[axis].values[line.places[axis]]}`).join(", ");
    facets.set(title, [...(facets.get(title) ?? []), line]);
  }
  return [...facets].map(([title, of]) => ({title, lines: of}));
}
// The value of a metric in a line of the table, and its published figure; in %, if it is a fraction.
function valueOf({metrics}, {name, percent: inPercent}) {
  const found = metrics[name], scale = inPercent ? 100 : 1;
  return found ? {y: scale * found.mean, deviation: scale * (found.deviation ?? 0), count: found.count} : null;
}
const textOf = value => `${digits(value.y)}${value.count > 1 ? ` \u00b1 ${digits(value.deviation, 2)}` : ""}`;
const unitOf = metric => metric.percent ? "%" : "";
const isNumeric = axis => axis.values.length > 1 && axis.values.every(value => value !== "" && Number.isFinite(Number(value)));
// A figure with its title, drawn at the width of the page.
function studyFigure(index, title, unit, legend, summary, paint) {
  const id = `figure-${index}`, box = make("div");
  const heading = make("h3", {id: `${id}-title`}, title, make("small", {}, unit ? `, ${unit}` : ""));
  const names = legend.length > 1 ? [make("p", {class: "legend"}, ...legend.map(({name, color, dash}) => named(name, color, dash)))] : [];
  const node = make("figure", {}, make("figcaption", {}, heading, ...names), box, make("p", {id: `${id}-summary`, class: "summary"}, summary));
  const drawNow = () => {
    const width = Math.max(240, box.clientWidth);
    const svg = make("svg", {viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-summary`});
    paint((tag, attributes, ...children) => svg.append(make(tag, attributes, ...children)), width);
    box.replaceChildren(svg);
  };
  return {node, draw: drawNow};
}
// As many characters of a text as have room in so many pixels.
const fitted = (text, pixels) => text.length * 7 <= pixels ? text : `${text.slice(0, Math.max(1, Math.floor(pixels / 7) - 1))}\u2026`;
// Lines over the values of an axis, or bars if these are no numbers. Curves: [{name, color, dash, points: [{place, y, deviation}]}].
function overAxis(index, title, unit, axis, curves) {
  const bars = !isNumeric(axis), count = axis.values.length, all = curves.flatMap(({points}) => points);
  const ys = all.flatMap(({y, deviation}) => [y - deviation, y + deviation]), yAxis = makeAxis(bars ? [0, ...ys] : ys, false, 5, true);
  const ends = curves.map(({name, points}) => `${curves.length > 1 ? `${name}: ` : ""}${points.map(p => `${axis.values[p.place]} ${digits(p.y)}`).join(", ")}`);
  return studyFigure(index, title, unit, curves, `${ends.join(". ")}.`, (add, width) => {
    const right = width - RIGHT, slot = (right - LEFT) / count;
    const X = place => LEFT + slot * (place + 0.5), Y = y => BOTTOM - (BOTTOM - TOP) * yAxis.place(y);
    for (const tick of yAxis.ticks) {
      add("line", {class: "grid", x1: LEFT, x2: right, y1: Y(tick), y2: Y(tick)});
      add("text", {x: LEFT - 6, y: Y(tick) + 4, "text-anchor": "end"}, tickText(tick));
    }
    axis.values.forEach((value, place) => add("text", {x: X(place), y: BOTTOM + 18, "text-anchor": "middle"}, fitted(value, slot)));
    add("text", {x: (LEFT + right) / 2, y: HEIGHT - 4, "text-anchor": "middle"}, fitted(axis.name, right - LEFT));
    curves.forEach(({color, dash, points}, c) => {
      const style = colorOf(color), thick = slot * 0.7 / curves.length;
      const x = place => bars ? X(place) + (c + 0.5 - curves.length / 2) * thick : X(place);
      if (!bars && points.length > 1) {
        const d = `M${points.map(p => `${x(p.place).toFixed(1)},${Y(p.y).toFixed(1)}`).join(" ")}`;
        add("path", {class: "curve", style, d, "stroke-dasharray": dash ? "6 3" : "none"});
      }
      for (const {place, y, deviation} of points) {
        const [left, end, top, base] = [x(place) - thick / 2, x(place) + thick / 2, Y(y), Y(0)].map(v => v.toFixed(1));
        if (bars) add("path", {class: dash ? "bar published" : "bar", style, d: `M${left},${base} ${left},${top} ${end},${top} ${end},${base}Z`});
        else add("circle", {style, cx: x(place), cy: Y(y), r: 3});
        if (deviation) add("line", {class: "error", x1: x(place), x2: x(place), y1: Y(y - deviation), y2: Y(y + deviation)});
      }
    });
  });
}
// A grid of values; rows are those of the first axis. `cells`: [{row, column, y, text}].
function heatMap(index, title, unit, rows, columns, cells) {
  const low = least(cells.map(({y}) => y)), high = greatest(cells.map(({y}) => y));
  const best = cells.find(({y}) => y === high), names = cell => `${rows.name} ${rows.values[cell.row]}, ${columns.name} ${columns.values[cell.column]}`;
  const summary = `${rows.name} down, ${columns.name} across. Greatest: ${digits(high)} at ${names(best)}.`;
  return studyFigure(index, title, unit, [], summary, (add, width) => {
    const left = Math.min(160, Math.max(LEFT, 14 + 7 * greatest(rows.values.map(({length}) => length))));
    const wide = (width - RIGHT - left) / columns.values.length, tall = (BOTTOM - TOP) / rows.values.length;
    rows.values.forEach((value, r) => add("text", {x: left - 6, y: TOP + tall * (r + 0.5) + 4, "text-anchor": "end"}, fitted(value, left - 8)));
    columns.values.forEach((value, c) => add("text", {x: left + wide * (c + 0.5), y: BOTTOM + 18, "text-anchor": "middle"}, fitted(value, wide)));
    add("text", {x: (left + width - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle"}, fitted(columns.name, width - RIGHT - left));
    for (const {row, column, y, text} of cells) {
      const x0 = left + wide * column, y0 = TOP + tall * row, strength = high > low ? (y - low) / (high - low) : 1;
      add("path", {class: "heat", style: `${colorOf(0)}; fill-opacity: ${(0.08 + 0.6 * strength).toFixed(2)}`, d: `M${x0},${y0} ${x0 + wide},${y0} ${x0 + wide},${y0 + tall} ${x0},${y0 + tall}Z`});
      add("text", {class: "heat", x: x0 + wide / 2, y: y0 + tall / 2 + 4, "text-anchor": "middle"}, fitted(text, wide));
    }
  });
}
// The figures of a metric: over the axis with the most values, with a curve for each combination of the others; and, with
// two axes or more, heat maps of the first two.
function studyFigures(study, metric) {
  const {axes, lines, paper} = study, figures = [], unit = unitOf(metric), published = paper && paper.metric === metric.name;
  if (!axes.length) return figures;
  const numeric = axes.filter(isNumeric), most = of => of.reduce((a, b) => b.values.length > a.values.length ? b : a);
  const x = axes.indexOf(numeric.length ? most(numeric) : most(axes));
  const pointsOfLines = (of, value) => of.flatMap(line => {
    const found = value(line);
    return found ? [{place: line.places[x], ...found}] : [];
  }).sort((a, b) => a.place - b.place);
  const ours = facetsOf(study, [x]).map(({title, lines: of}, color) => ({name: title || metric.name, color, dash: 0, points: pointsOfLines(of, line => valueOf(line, metric))}));
  const theirs = published ? facetsOf(study, [x]).map(({title, lines: of}, color) => ({name: `published${title && `: ${title}`}`, color: axes.length > 1 ? color : color + 1, dash: 1,
    points: pointsOfLines(of, line => line.paper === null ? null : {y: line.paper, deviation: 0, count: 1})})) : [];
  const curves = [...ours, ...theirs].filter(({points}) => points.length);
  if (curves.length) figures.push(overAxis(figures.length, metric.name, unit, axes[x], curves));
  if (axes.length > 1) {
    const add = (facets, kind, value) => facets.forEach(({title, lines: of}) => {
      const cells = of.flatMap(line => { const found = value(line); return found ? [{row: line.places[0], column: line.places[1], y: found.y, text: textOf(found)}] : []; });
      if (cells.length) figures.push(heatMap(figures.length, [kind, title].filter(Boolean).join(", "), unit, axes[0], axes[1], cells));
    });
    add(facetsOf({axes, lines}, [0, 1]), metric.name, line => valueOf(line, metric));
    if (published) add(facetsOf({axes, lines}, [0, 1]), "published", line => line.paper === null ? null : {y: line.paper, count: 1});
  }
  return figures;
}
function studyTable({axes, metrics: measured, lines, paper}) {
  const headings = [...axes.map(({name}) => name), ...measured.flatMap(metric => [[metric.name + (metric.percent ? ", %" : "")], ...(paper?.metric === metric.name ? [["published"]] : [])])];
  const rows = lines.map(line => [...axes.map((axis, a) => axis.values[line.places[a]]), ...measured.flatMap(metric => {
    const found = valueOf(line, metric);
    return [found ? textOf(found) : "\u2013", ...(paper?.metric === metric.name ? [line.paper === null ? "\u2013" : digits(line.paper)] : [])];
  })]);
  return card(table(headings, rows));
}
function showStudy(study) {
  document.title = study.name;
  const place = make("div", {class: "charts"}), choice = make("select", {}, ...study.metrics.map(({name}) => make("option", {}, name)));
  let figures = [];
  const redraw = () => figures.forEach(figure => figure.draw());
  const show = () => {
    figures = studyFigures(study, study.metrics[choice.selectedIndex]);
    place.replaceChildren(...figures.map(({node}) => node));
    redraw();
  };
  const problems = study.lines.flatMap(line => line.problems), repeated = greatest([0, ...study.lines.flatMap(line => Object.values(line.metrics).map(({count}) => count))]);
  document.querySelector("main").replaceChildren(
    make("header", {}, make("h1", {}, study.name)),
    ...(study.paper ? [note(`Published figures (dashed, beside ${study.paper.metric}): ${study.paper.title}`)] : []),
    section("figures", "Figures", ...(study.metrics.length ? [make("form", {"aria-label": "Metric"}, make("label", {}, make("span", {}, "Metric"), choice)), place] : [note("No cell has a result yet.")])),
    section("cells", "Cells", studyTable(study), ...(repeated > 1 ? [note(`Mean \u00b1 deviation over up to ${repeated} seeds`)] : [])),
    ...(problems.length ? [section("problems", "Without a result", card(make("ul", {}, ...problems.map(text => make("li", {}, text)))))] : []),
    make("footer", {}, note(`Written by simclr at ${data.written} UTC`)));
  if (study.metrics.length) { choice.addEventListener("input", show); show(); }
  addEventListener("resize", redraw);
}
