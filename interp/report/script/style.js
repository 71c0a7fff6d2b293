/* The look of every plot, and the theme: colours are roles until the moment they are drawn. */

const PALETTE = readJSON("interp-palette");
const FONT = getComputedStyle(document.documentElement).getPropertyValue("--sans");
const PHASE_OPACITY = { light: 0.09, dark: 0.13 };
const PHONE = 480; // pixels of column width under which margins shrink

const AXIS = {
  gridcolor: "role:grid", linecolor: "role:quiet", zerolinecolor: "role:grid", tickcolor: "role:quiet",
  zeroline: false, ticks: "", title: { standoff: 8, font: { size: 12 } },
};
const TEMPLATE = {
  layout: {
    font: { family: FONT, size: 11.5, color: "role:muted" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    colorway: ["role:train", "role:test", "role:restricted", "role:excluded", "role:novel", "role:all"],
    xaxis: { ...AXIS, showgrid: false },
    yaxis: AXIS,
    showlegend: false,
    bargap: 0.15,
    hoverlabel: { bgcolor: "role:paper", bordercolor: "role:quiet", font: { family: FONT, color: "role:ink" } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "role:quiet", activecolor: "role:ink" },
    separators: ".,",
    annotationdefaults: { showarrow: false, font: { size: 12 } },
  },
  data: {
    scatter: [{ line: { width: 1.8 } }],
    heatmap: [{ showscale: false, colorscale: "role:sequential" }],
  },
};
const PLOT_OPTIONS = { displaylogo: false, showSendToCloud: false, modeBarButtons: [["toImage", "resetScale2d"]] };

/** The value with every "role:..." in it replaced by the theme's colour. */
function resolveRoles(value, theme) {
  if (typeof value === "string") return value.startsWith("role:") ? roleColour(value.slice(5), theme) : value;
  if (ArrayBuffer.isView(value) || value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => resolveRoles(item, theme));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolveRoles(item, theme)]));
}

function roleColour(role, theme) {
  const colour = PALETTE[theme][role] ?? PALETTE[theme].quiet;
  return Array.isArray(colour) ? colour.map((stop, index) => [index / (colour.length - 1), stop]) : colour;
}

/** The theme one sees: chosen by the button, else by the system; paper is light. */
const theme = {
  printing: false,
  chosen: remembered("interp-theme"),
  system: matchMedia("(prefers-color-scheme: dark)"),
  get name() {
    if (this.printing) return "light";
    return this.chosen ?? (this.system.matches ? "dark" : "light");
  },
  choose(name) {
    this.chosen = name;
    remember("interp-theme", name);
  },
};

/* A page opened from a file may be forbidden to keep anything. */
function remembered(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}
function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* the choice lasts as long as the page */ }
}

/** A whole number in full, or any to so many digits: "14,600", "−0.35". */
function formatStep(step, digits = 21) {
  return step.toLocaleString("en-GB", { maximumSignificantDigits: digits }).replace("-", "−");
}
