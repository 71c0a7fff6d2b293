/* One panel: what it should show now, what it does show, and the way from one to the other. */

const NARROW_PAGE = 600; // pixels
const MOST_LABEL = 0.25; // of a panel's width, beside the plot; longer names stand above it
const NAMES_GAP = 8; // pixels between the names of places along an axis and what is next to them
const MOST_NAMES = 0.4; // of a panel's width, for the names of rows
const SHARED_LABEL = 0.08; // and so much a panel leaves free for the names in other rows

/** Index of the last of the ascending `steps` at or before `step`; the first if there is none. */
function indexAtOrBefore(steps, step) {
  const after = steps.findIndex((other) => other > step);
  return Math.max(0, after < 0 ? steps.length - 1 : after - 1);
}

class Panel {
  /** `group` has the `extent` of training and the `phases`; `first` says whether it is its first time plot. */
  constructor(spec, group, first) {
    this.spec = spec;
    this.group = group;
    this.first = first;
    this.figure = document.getElementById(spec.id);
    this.gd = this.figure.querySelector(".panel-plot");
    const beside = [...this.figure.parentElement.children].map(({ id }) => id);
    this.row = group.panels.filter(({ id }) => beside.includes(id));
    this.choice = 0;
    this.mark = null; // {step, value, labels} of the number whose link is followed to here
    this.onScreen = false;
    this.shown = {};
  }

  /** What the panel should show at this step; equal to `shown` when it does. */
  wanted(step) {
    return {
      theme: theme.name,
      width: this.gd.clientWidth,
      frame: this.spec.moving.length ? indexAtOrBefore(this.spec.steps, step) : 0,
      choice: this.choice,
      cursor: this.spec.time_axis ? step : null,
      mark: this.mark,
    };
  }

  get isDrawn() {
    return this.shown.theme !== undefined;
  }

  isStale(step) {
    const wanted = this.wanted(step);
    return Object.keys(wanted).some((key) => wanted[key] !== this.shown[key]);
  }

  /** Resolves when the panel shows the step. */
  async show(step) {
    const wanted = this.wanted(step);
    const redraw = ["theme", "width", "mark"].some((key) => wanted[key] !== this.shown[key]);
    this.shown = wanted;
    try {
      await (redraw ? this.draw(wanted) : this.move(wanted));
      this.drawMark();
    } catch (error) {
      console.error(`${this.spec.title} could not be drawn`, error); // the other panels still can
    }
  }

  async draw(wanted) {
    const { data, layout } = this.spec.figure;
    const traces = resolveRoles(data, wanted.theme).map((trace) => this.withHover(trace));
    for (const { trace, attribute, values } of this.frames(wanted)) setPath(traces[trace], attribute, values);
    const complete = resolveRoles(this.layout(layout, wanted), wanted.theme);
    const drawn = Plotly.react(this.gd, traces, complete, PLOT_OPTIONS);
    this.drawMark(); // at once: paper does not wait
    await drawn;
  }

  /** Ring what shows the value that a link points to; nothing where none does. */
  drawMark() {
    clearRings(this.gd);
    if (this.mark && this.isDrawn) {
      const points = markedPoints(this.gd.data, this.mark, this.spec.time_axis);
      drawRings(this.gd, points, this.spec.time_axis ? this.mark.step : null);
    }
    this.figure.classList.toggle("ringed", this.gd.querySelector(".ring") !== null);
  }

  /** Choose what the labels name, where the panel lets one choose. */
  chooseLabel(labels) {
    const options = [...(this.figure.querySelector(".panel-choice")?.options ?? [])];
    const named = options.find((option) => isOneOf(option.dataset.label, labels));
    if (!named) return;
    named.selected = true;
    this.choice = named.index;
  }

  /** Put the names of lines above the plots of the row, where they would take too much room beside them. */
  arrange() {
    this.figure.classList.toggle("names-above", this.namesAbove);
  }

  get namesAbove() {
    return isNarrowPage() || endLabelWidth(this.row) > MOST_LABEL * this.gd.clientWidth;
  }

  /** Only what follows the slider: far cheaper than to draw anew. */
  async move(wanted) {
    const frames = this.frames(wanted);
    const traces = [...new Set(frames.map(({ trace }) => trace))];
    const changes = {};
    for (const { trace, attribute, values } of frames) {
      changes[attribute] ??= traces.map(() => undefined);
      changes[attribute][traces.indexOf(trace)] = values;
    }
    const cursor = wanted.cursor === null ? {} : this.cursorChange(wanted.cursor);
    if (!traces.length) await Plotly.relayout(this.gd, cursor);
    else await Plotly.update(this.gd, changes, cursor, traces);
  }

  frames({ frame, choice, theme: name }) {
    const leading = this.figure.querySelector(".panel-choice") ? [frame, choice] : [frame];
    return this.spec.moving.map(({ trace, attribute, array }) => ({
      trace, attribute, values: resolveRoles(sliceArray(pageArray(array), ...leading), name),
    }));
  }

  /** What a heatmap's cell says, in the words of its axes. */
  withHover(trace) {
    if (trace.type !== "heatmap" || trace.hovertemplate || trace.hoverinfo) return trace;
    const [x, y] = [this.axisTitle("xaxis"), this.axisTitle("yaxis")];
    return { ...trace, hovertemplate: `${x} %{x}<br>${y} %{y}<br><b>%{z:.4~g}</b><extra></extra>` };
  }

  axisTitle(axis) {
    return titleText(this.spec.figure.layout[axis]) || axis[0];
  }

  layout(layout, wanted) {
    const margin = this.margin(layout, wanted.width);
    const complete = {
      ...layout,
      ...(namesWidth(layout.xaxis) ? { xaxis: { ...layout.xaxis, tickangle: margin.turned ? -90 : 0 } } : {}),
      ...(this.namesAbove ? { annotations: layout.annotations?.filter((note) => !isEndLabel(note)) } : {}),
      template: TEMPLATE,
      width: wanted.width,
      height: this.spec.height,
      uirevision: "keep the zoom",
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      margin,
    };
    return this.spec.time_axis ? this.withTime(complete, wanted) : complete;
  }

  margin(layout, width) {
    const narrow = width < PHONE;
    const bottom = titleText(layout.xaxis) || this.spec.width !== "full" ? 40 : 24; // side by side, axes align
    const own = this.namesAbove ? 0 : endLabelWidth(this.row);
    const left = Math.min(namesWidth(layout.yaxis) + NAMES_GAP, MOST_NAMES * width);
    if (this.spec.time_axis) {
      const right = Math.max(own, this.sharedMargin(width));
      return { l: Math.max(left, narrow ? 48 : 60), r: right, t: this.first ? 24 : 12, b: bottom };
    }
    const beside = { l: Math.max(left, 48), r: Math.max(own, 10), t: 12, ...layout.margin };
    const name = namesWidth(layout.xaxis);
    const turned = name && layout.xaxis.tickvals.length * (name + NAMES_GAP) > width - beside.l - beside.r;
    return { b: turned ? bottom + Math.max(0, name - NAMES_GAP) : bottom, turned, ...beside };
  }

  /** What time plots of this width leave free on the right, for most of them to end at one place. */
  sharedMargin(width) {
    if (width < PHONE) return 12;
    const aligned = this.group.panels.filter((panel) => panel.time_axis && panel.width === this.spec.width);
    return Math.max(22, isNarrowPage() ? 0 : Math.min(endLabelWidth(aligned), SHARED_LABEL * width));
  }

  /** The layout with the group's stretch of training: its phases, the cursor, and clicks anywhere. */
  withTime(layout, wanted) {
    const plotWidth = wanted.width - layout.margin.l - layout.margin.r;
    const phases = this.group.phases.map((phase) => phaseShape(phase, wanted.theme));
    this.cursorIndex = (layout.shapes?.length ?? 0) + phases.length;
    return {
      ...layout,
      clickanywhere: true,
      xaxis: { tickformat: ",d", nticks: plotWidth < 360 ? 4 : 8, ...layout.xaxis, ...this.extent },
      yaxis: { ...layout.yaxis, automargin: false },
      shapes: [...(layout.shapes ?? []), ...phases, cursorShape(wanted.cursor)],
      annotations: [...(layout.annotations ?? []), ...(this.first ? this.phaseNames(plotWidth) : [])],
    };
  }

  /** The stretch of training that the group's panels share; where no run is shown by itself, each has its own. */
  get extent() {
    return this.group.extent ? { range: this.group.extent, autorange: false } : {};
  }

  cursorChange(step) {
    return { [`shapes[${this.cursorIndex}].x0`]: step, [`shapes[${this.cursorIndex}].x1`]: step };
  }

  phaseNames(plotWidth) {
    const [start, end] = this.group.extent;
    const pixels = (phase) => ((phase.end - phase.start) / (end - start)) * plotWidth;
    return this.group.phases.filter((phase) => textWidth(phase.name) < pixels(phase)).map(phaseName);
  }
}

function phaseShape({ name, start, end }, themeName) {
  return {
    type: "rect", layer: "below", xref: "x", yref: "paper", x0: start, x1: end, y0: 0, y1: 1,
    line: { width: 0 }, fillcolor: `role:${name}`, opacity: PHASE_OPACITY[themeName],
  };
}

function phaseName({ name, start, end }) {
  return {
    text: name, showarrow: false, xref: "x", yref: "paper", x: (start + end) / 2, y: 1, yanchor: "bottom",
    font: { size: 11.5, color: "role:muted" },
  };
}

function cursorShape(step) {
  return {
    type: "line", xref: "x", yref: "paper", x0: step, x1: step, y0: 0, y1: 1,
    line: { width: 1.2, color: "role:ink" },
  };
}

/** Pixels that the names at the ends of lines need in any of these panels. */
function endLabelWidth(panels) {
  const outside = panels.flatMap((panel) => panel.figure.layout.annotations ?? []).filter(isEndLabel);
  return Math.max(0, ...outside.map(({ text, xshift = 0, font }) => xshift + textWidth(text, font?.size) + 2));
}

function isEndLabel({ xref, x, xanchor }) {
  return xref === "paper" && x === 1 && xanchor === "left";
}

/** Whether names of lines stand above every plot; paper is wide enough. */
function isNarrowPage() {
  return !theme.printing && matchMedia(`(max-width: ${NARROW_PAGE - 0.02}px)`).matches;
}

/** The widest of the names along an axis of words, 0 where there are none. */
function namesWidth(axis) {
  const names = axis?.type === "category" ? (axis.tickvals ?? []) : [];
  return Math.max(0, ...Array.from(names, (name) => textWidth(name)));
}

function titleText(axis) {
  return axis?.title?.text ?? axis?.title ?? "";
}

function textWidth(text, size = TEMPLATE.layout.font.size) {
  textWidth.context ??= document.createElement("canvas").getContext("2d");
  textWidth.context.font = `${size}px ${FONT}`;
  return textWidth.context.measureText(text).width;
}

/** Set `object.a.b` for the path "a.b". */
function setPath(object, path, value) {
  const keys = path.split(".");
  const last = keys.pop();
  keys.reduce((inner, key) => (inner[key] ??= {}), object)[last] = value;
}
