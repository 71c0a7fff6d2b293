/* The slider: which checkpoint one looks at, by mouse, keyboard, address or playback. */

const LEAP = 0.1; // of the run, with shift
const PLAYBACK = { frames: 200, pause: 40, reducedMotionPause: 600 };
const ADDRESS_PAUSE = 400; // browsers refuse an address that changes too often

class Slider {
  constructor(onChange) {
    this.onChange = onChange;
    this.element = document.querySelector(".slider");
    this.input = document.getElementById("time");
    this.button = document.getElementById("play");
    this.steps = [];
    this.index = 0;
    this.input.addEventListener("input", () => this.setIndex(Number(this.input.value)));
    this.button.addEventListener("click", () => this.toggle());
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  get step() {
    return this.steps[this.index];
  }

  get isAtEnd() {
    return this.index === this.steps.length - 1;
  }

  /** Take the checkpoints and phases of a run. */
  load({ steps, phases }, step) {
    this.steps = steps;
    this.input.max = Math.max(0, steps.length - 1);
    this.element.hidden = steps.length < 2;
    this.element.querySelector(".phases").replaceChildren(...phases.map((phase) => this.phaseMark(phase)));
    this.index = this.nearest(step);
    this.showIndex();
  }

  nearest(step) {
    let best = 0;
    this.steps.forEach((other, index) => {
      if (Math.abs(other - step) < Math.abs(this.steps[best] - step)) best = index;
    });
    return best;
  }

  setStep(step) {
    this.setIndex(this.nearest(step));
  }

  setIndex(index) {
    const bounded = Math.max(0, Math.min(index, this.steps.length - 1));
    if (bounded === this.index) return;
    this.index = bounded;
    this.showIndex();
    this.onChange();
  }

  showIndex() {
    if (!this.steps.length) return;
    const text = formatStep(this.step);
    const fraction = this.index / Math.max(1, this.steps.length - 1);
    this.input.value = this.index;
    this.input.setAttribute("aria-valuetext", `step ${text}`);
    this.input.style.setProperty("--done", `calc(var(--thumb) / 2 + ${fraction} * (100% - var(--thumb)))`);
    document.getElementById("step").textContent = text;
    document.querySelector(".printed-step").textContent = `at step ${text}`;
  }

  /* The input counts checkpoints, not steps: the track above it must too. */
  phaseMark({ name, start, end }) {
    const mark = document.createElement("i");
    const [left, right] = [start, end].map((step) => 100 * this.fraction(step));
    mark.style.left = `${left}%`;
    mark.style.width = `${right - left}%`;
    mark.style.background = roleVariable(name);
    mark.title = name;
    return mark;
  }

  /** Where a step lies between the first checkpoint (0) and the last (1), counted in checkpoints. */
  fraction(step) {
    const { steps } = this;
    const before = indexAtOrBefore(steps, step);
    const next = Math.min(before + 1, steps.length - 1);
    const part = next > before ? (step - steps[before]) / (steps[next] - steps[before]) : 0;
    return (before + Math.min(Math.max(part, 0), 1)) / Math.max(1, steps.length - 1);
  }

  onKey(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest(".table-box, .table-view, .formula, pre")) return; // the keys scroll it
    if (target !== this.input && target.closest("select, textarea, input, [contenteditable]")) return;
    const leap = event.shiftKey ? Math.max(1, Math.round(LEAP * this.steps.length)) : 1;
    const onSlider = target === this.input;
    if (key === "ArrowRight" || (onSlider && key === "ArrowUp")) this.setIndex(this.index + leap);
    else if (key === "ArrowLeft" || (onSlider && key === "ArrowDown")) this.setIndex(this.index - leap);
    else if (key === "Home") this.setIndex(0);
    else if (key === "End") this.setIndex(this.steps.length - 1);
    else if (key === " " && !target.closest("button, summary, a")) this.toggle();
    else return;
    event.preventDefault();
  }

  get playing() {
    return this.button.getAttribute("aria-pressed") === "true";
  }

  toggle() {
    this.setPlaying(!this.playing);
    if (!this.playing) return;
    if (this.isAtEnd) this.setIndex(0);
    this.play();
  }

  setPlaying(playing) {
    this.button.setAttribute("aria-pressed", playing);
    this.button.setAttribute("aria-label", playing ? "pause" : "play");
  }

  /** Advance when the panels in sight show the last frame, until the end or a pause. */
  async play() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const stride = Math.max(1, Math.round(this.steps.length / PLAYBACK.frames));
    while (this.playing && !this.isAtEnd) {
      await pause(calm ? PLAYBACK.reducedMotionPause : PLAYBACK.pause);
      if (this.playing) this.setIndex(this.index + stride);
      await nextFrame();
    }
    this.setPlaying(false);
  }
}

function roleVariable(role) {
  return `var(--${role.replaceAll(" ", "-")}, var(--quiet))`;
}

function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}

function nextFrame() {
  return new Promise((resolve) => { requestAnimationFrame(resolve); });
}
