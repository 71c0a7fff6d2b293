/* The page: which run one sees, and the loop that brings every panel to the step. */

const DATA = readJSON("interp-data");
const groups = new Map(); // number of the run, or "across" -> {spec, panels}
const slider = new Slider(() => { unpoint(); refresh(); writeAddress(); });
let shownRun = 0;
let pointed = null; // {hash, target} of the number's link that one followed here
let catchingUp = null;
let addressTimer = null;
let addressRead = "";

/* Groups of panels */

function loadGroup(key) {
  if (!groups.has(key)) {
    const spec = readJSON(`interp-group-${key}`);
    const firstTime = spec.panels.find((panel) => panel.time_axis);
    const panels = spec.panels.map((panel) => new Panel(panel, spec, panel === firstTime && spec.phases.length > 0));
    panels.forEach(connect);
    groups.set(key, { spec, panels });
  }
  return groups.get(key);
}

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.panel.onScreen = isIntersecting;
});
const sizes = new ResizeObserver(() => refresh());

function connect(panel) {
  const { figure, gd } = panel;
  gd.panel = panel;
  sight.observe(gd);
  sizes.observe(gd);
  figure.querySelector(".panel-choice")?.addEventListener("change", (event) => {
    panel.choice = Number(event.target.value);
    refresh();
  });
  figure.querySelector(".panel-table").addEventListener("toggle", () => updateTable(panel));
}

/** The buttons under a panel, or under a table. */
function connectTools(figure) {
  figure.querySelector(".panel-data").addEventListener("click", () => offerData(figure, measureOf(figure)));
  figure.querySelector(".panel-code")?.addEventListener("click", (event) => showCode(figure, event.currentTarget));
}

/** {label, variables} of the measure a panel belongs to. */
function measureOf(figure) {
  const { label } = figure.closest(".measure").dataset;
  const run = figure.closest(".run");
  const measures = run ? DATA.runs[runNumber(run)].measures : DATA.across;
  return { label, variables: measures[label].variables };
}

function runNumber(article) {
  return [...document.querySelectorAll(".run")].indexOf(article);
}

function currentPanels() {
  const across = document.getElementById("across") ? loadGroup("across").panels : [];
  return DATA.runs.length ? [...across, ...loadGroup(shownRun).panels] : across;
}

/* Bringing panels to the step */

function refresh() {
  catchingUp ??= catchUp().finally(() => { catchingUp = null; });
  return catchingUp;
}

/** Panels in sight within one frame, then the others one at a time; whatever changes meanwhile is seen. */
async function catchUp() {
  await nextFrame();
  arrange();
  for (let stale = stalePanels(); stale.length; stale = stalePanels()) {
    const inSight = stale.filter((panel) => panel.onScreen);
    for (const panel of inSight.length ? inSight : stale.slice(0, 1)) await bringUp(panel);
    await pause(0);
  }
}

function arrange() {
  currentPanels().forEach((panel) => panel.arrange());
}

function stalePanels() {
  return currentPanels().filter((panel) => panel.isStale(slider.step));
}

async function bringUp(panel) {
  const isNew = !panel.isDrawn;
  await panel.show(slider.step);
  if (isNew) panel.gd.on?.("plotly_relayout", () => panel.drawMark()); // after a zoom
  if (isNew && panel.spec.time_axis) panel.gd.on?.("plotly_click", moveToClick);
  updateTable(panel);
}

function moveToClick({ xvals, points }) {
  slider.setStep(xvals?.[0] ?? points[0].x);
}

async function settled() {
  while (catchingUp || stalePanels().length) await refresh();
}

/* What a panel offers */

function updateTable(panel) {
  const details = panel.figure.querySelector(".panel-table");
  if (details.open && panel.isDrawn) fillTables(details.querySelector(".table-view"), panel, slider.step);
}

/** One table is downloaded at once; of several one chooses. */
function offerData(figure, { label, variables }) {
  const tables = csvTables(variables);
  const list = figure.querySelector(".panel-files");
  const save = (table) => download(csvName(label, table, tables), csvText(table));
  if (tables.length === 1) save(tables[0]);
  list.replaceChildren(...(tables.length > 1 ? tables.map((table) => fileButton(table, () => save(table))) : []));
  for (const [name, { elsewhere }] of Object.entries(variables)) {
    if (elsewhere) list.append(paragraph(`${name}: ${elsewhere}`));
  }
  list.hidden = !list.hidden || !list.childElementCount;
}

function csvName(label, { dims }, tables) {
  return tables.length === 1 ? `${label}.csv` : `${[label, ...dims].join("-")}.csv`;
}

function fileButton({ dims, shape, columns }, onClick) {
  const button = document.createElement("button");
  const names = columns.map(({ name }) => name).join(", ");
  const rows = shape.reduce((product, length) => product * length, 1);
  button.type = "button";
  button.textContent = `${names} (${dims.join(" × ") || "single values"}, ${formatStep(rows)} rows) as CSV`;
  button.addEventListener("click", onClick);
  return button;
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

function showCode(figure, button) {
  const lines = figure.querySelector(".panel-lines");
  lines.hidden = !lines.hidden;
  button.setAttribute("aria-expanded", !lines.hidden);
  if (lines.hidden) return;
  navigator.clipboard?.writeText(lines.textContent).then(() => confirmCopy(button), () => {});
}

function confirmCopy(button) {
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "code"; }, 1500);
}

/* Runs */

function showRun(number, step) {
  shownRun = number;
  document.querySelectorAll(".run").forEach((article, index) => { article.hidden = index !== number; });
  document.querySelectorAll(".run-name").forEach((button, index) => {
    button.setAttribute("aria-current", index === number);
  });
  const chooser = document.querySelector("select#run");
  if (chooser) chooser.value = number;
  const { spec } = loadGroup(number);
  const atEnd = slider.step === undefined || slider.isAtEnd;
  slider.load(spec, step ?? (atEnd ? spec.start : slider.step));
  refresh();
}

function chooseRun(number) {
  unpoint();
  showRun(number);
  writeAddress();
}

/* The address: #step=14000, #run=name&step=14000, with &panel=… the panel of a number there, or a section's name */

function readAddress() {
  const { hash } = location;
  addressRead = hash;
  const wanted = new URLSearchParams(hash.slice(1));
  const target = document.getElementById(wanted.get("panel") ?? decoded(hash.slice(1)));
  const article = target?.closest(".run") ?? document.getElementById(wanted.get("run") ?? "");
  const number = hash ? [...document.querySelectorAll(".run")].indexOf(article) : 0;
  const step = /^\d+$/.test(wanted.get("step") ?? "") ? Number(wanted.get("step")) : null;
  unpoint();
  if (number >= 0 && number !== shownRun) showRun(number, step);
  else if (step !== null) slider.setStep(step);
  else if (!hash) slider.setIndex(slider.steps.length - 1);
  if (wanted.has("panel") && target) point(target, step);
  else if (target && number >= 0) target.scrollIntoView();
}

/** Bring the panel of a number in sight, and ring its mark there until the slider leaves the step. */
function point(target, step) {
  const links = [...document.querySelectorAll("a[data-mark]")].filter(isFollowed);
  const words = links[0]?.textContent;
  const mark = { value: null, labels: [], ...JSON.parse(links[0]?.dataset.mark ?? "{}"), step, words };
  pointed = { hash: location.hash, target };
  target.classList.add("pointed");
  for (const link of links) link.ariaCurrent = "location";
  const cells = markedTableCells(target, mark);
  for (const cell of cells) cell.classList.add("ring-cell");
  target.classList.toggle("ringed", cells.length > 0);
  const panel = currentPanels().find(({ figure }) => figure === target);
  panel?.chooseLabel(mark.labels);
  if (panel) panel.mark = mark;
  arrange();
  refresh();
  const isTall = target.offsetHeight > innerHeight / 2;
  target.scrollIntoView({ block: isTall ? "start" : "center" });
  cells[0]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  target.focus({ preventScroll: true });
}

function unpoint() {
  if (!pointed) return;
  for (const panel of currentPanels()) panel.mark = null;
  pointed.target.classList.remove("pointed", "ringed");
  for (const cell of document.querySelectorAll(".ring-cell")) cell.classList.remove("ring-cell");
  for (const link of document.querySelectorAll("a[aria-current]")) link.ariaCurrent = null;
  pointed = null;
  refresh();
}

/** Whether a link leads to where one is. */
function isFollowed({ hash }) {
  const [here, there] = [location.hash, hash].map((text) => new URLSearchParams(text.slice(1)));
  return ["run", "step", "panel", "mark"].every((name) => here.get(name) === there.get(name));
}

/** The browser tells of no change where the address stays what it is. */
function followAgain(event) {
  const link = event.target.closest?.("a[data-mark]");
  if (link?.hash === location.hash) readAddress();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone "%" that someone typed
  }
}

function writeAddress() {
  addressTimer ??= setTimeout(() => {
    addressTimer = null;
    if (location.hash !== addressRead) return; // the browser is about to tell of another
    const run = DATA.runs.length > 1 ? `run=${encodeURIComponent(loadGroup(shownRun).spec.id)}&` : "";
    const hash = pointed?.hash ?? `#${run}step=${slider.step}`;
    try { history.replaceState(null, "", hash); } catch { /* not in an embedded page */ }
    addressRead = location.hash;
  }, ADDRESS_PAUSE);
}

/* Theme and paper */

function applyTheme() {
  if (theme.chosen) document.documentElement.dataset.theme = theme.chosen;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.textContent = theme.name === "dark" ? "light theme" : "dark theme";
  refresh();
}

/** The browser lays the pages out as soon as this returns: nothing may be left for later. */
function redrawNow(printing) {
  theme.printing = printing;
  document.documentElement.classList.toggle("printing", printing);
  arrange();
  for (const panel of currentPanels()) panel.show(slider.step);
  for (const box of document.querySelectorAll(".table-box, .table-view")) fitOnPaper(box);
}

/** Columns that are wider than the paper are made smaller, so that none is cut. */
function fitOnPaper(box) {
  const table = box.querySelector("table");
  if (!table) return;
  table.style.zoom = 1;
  const share = box.parentElement.clientWidth / table.scrollWidth;
  if (theme.printing && share < 1) table.style.zoom = share;
}

function start() {
  document.getElementById("theme").addEventListener("click", () => {
    theme.choose(theme.name === "dark" ? "light" : "dark");
    applyTheme();
  });
  theme.system.addEventListener("change", applyTheme);
  document.querySelectorAll(".run-name").forEach((button, index) => {
    button.addEventListener("click", () => chooseRun(index));
  });
  document.querySelector("select#run")?.addEventListener("change", (event) => chooseRun(Number(event.target.value)));
  document.querySelectorAll(".panel").forEach(connectTools);
  document.addEventListener("click", followAgain);
  addEventListener("hashchange", readAddress);
  addEventListener("beforeprint", () => redrawNow(true));
  addEventListener("afterprint", () => redrawNow(false));
  applyTheme();
  if (DATA.runs.length) showRun(0);
  readAddress();
}

start();

window.interp = {
  step: () => slider.step,
  setStep: (step) => slider.setStep(step),
  settled,
  get panels() {
    return Object.fromEntries(currentPanels().map((panel) => [panel.spec.id, panel]));
  },
};
