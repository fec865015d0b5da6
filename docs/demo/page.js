// The page: what is drawn or taken, what the detectors make of it, and the chains.
"use strict";

const at = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

const VIEW = 0.8; // half the side of the plane in which jets are drawn, the radius of the jets
const SPACING = 0.03; // between the particles of a line
const page = { world: null, models: {}, loaded: {}, particles: [], strokes: [], pixels: null, image: null, seed: 1 };

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const colourOf = (about) => (isDark() ? about.bright : about.colour);
const sampleColours = () =>
  Object.fromEntries(Object.entries(page.world.samples).map(([label, pair]) => [label, colourOf(pair)]));
const isJets = () => Boolean(page.world.jets);
const side = () => page.world.shape[1];

// ---- worlds

async function loadWorld(name) {
  const world = worlds[name];
  const load = async () => {
    const weights = await weightsOf(world.weights);
    const one = async ([key, about]) => [key, await Model.load(about, world.shape, weights)];
    return Object.fromEntries(await Promise.all(Object.entries(world.detectors).map(one)));
  };
  return (page.loaded[name] ||= load());
}

async function showWorld(name) {
  page.models = await loadWorld(name);
  page.world = worlds[name];
  for (const button of at("worlds").children) button.ariaPressed = String(button.value === name);
  at("brush").hidden = !isJets();
  at("drawing-caption").textContent = isJets()
    ? "Click or drag to add particles to the jet: circles have the area of their pT. Only shares of pT count, not its sum."
    : "Draw a digit with the pointer; the first stroke clears an example.";
  at("seen-caption").textContent = isJets()
    ? "What the detectors see: shifted, rotated, flipped, filtered and normalised, as hepad.JetImage does; colour: share of pT, logarithmic."
    : "What the detectors see: size and centre as in MNIST, then 16 × 16 pixels in [0, 1], each the mean of four.";
  showExamples();
  showCards();
  showAuc();
  showChains();
  await take(0);
}

function showExamples() {
  const groups = new Map();
  page.world.examples.forEach(({ label }, i) => groups.set(label, [...(groups.get(label) || []), i]));
  at("examples").replaceChildren();
  for (const [label, rows] of groups) {
    const kind = label === page.world.background ? "background" : "signal, never seen in training";
    const thumbnails = make("div", { className: "thumbnails" });
    for (const i of rows) {
      const canvas = make("canvas", { className: "pixels" });
      paint(canvas, imageOfExample(page.world.examples[i]), side(), brightness(isJets()), isJets());
      const button = make("button", { type: "button", title: `${label}, ${rows.indexOf(i) + 1}`, value: i }, canvas);
      button.onclick = () => take(i);
      thumbnails.append(button);
    }
    at("examples").append(make("h3", {}, `${label} `, make("small", { textContent: `(${kind})` })), thumbnails);
  }
}

function imageOfExample(example) {
  if (example.particles) return jetImage(example.particles, page.world.jets);
  return halved(Array.from(atob(example.pixels), (c) => c.charCodeAt(0) / 255));
}

async function take(i) {
  const example = page.world.examples[i];
  page.particles = (example.particles || []).map((p) => [...p]);
  page.pixels = example.pixels ? imageOfExample(example) : null;
  page.strokes = [];
  page.history = [];
  await update();
  await restart();
}

// ---- drawing

function drawingFrame() {
  const half = isJets() ? VIEW : 1;
  const ticks = isJets() ? [-0.5, 0, 0.5].map((v) => [v, signed(v)]) : [];
  const range = [-half, half];
  const margin = isJets() ? { left: 46, right: 8, top: 8, bottom: 42 } : { left: 8, right: 8, top: 8, bottom: 8 };
  const names = isJets() ? ["Δη", "Δφ [rad]"] : ["", ""];
  return axes(at("drawing"), {
    x: { range, ticks, title: names[0] },
    y: { range, ticks, title: names[1] },
    margin,
  });
}

function showDrawing() {
  const { context, at: place, box } = drawingFrame();
  page.box = box;
  context.save();
  context.beginPath();
  context.rect(...box);
  context.clip();
  if (isJets()) {
    const whole = total(page.particles.map(([pt]) => pt));
    context.fillStyle = styleOf("--link");
    context.globalAlpha = 0.55;
    for (const [pt, eta, phi] of page.particles) {
      context.beginPath();
      context.arc(place.x(eta), place.y(phi), Math.max(1.5, 60 * Math.sqrt(pt / whole) * 0.5), 0, 2 * Math.PI);
      context.fill();
    }
  } else if (page.pixels) {
    const small = make("canvas");
    paint(small, page.pixels, side(), brightness(false), false);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, ...box);
  } else {
    context.strokeStyle = styleOf("--text");
    context.lineWidth = 0.07 * box[2];
    context.lineCap = context.lineJoin = "round";
    for (const line of page.strokes) {
      context.beginPath();
      [...line, line[line.length - 1]].forEach(([x, y]) => context.lineTo(place.x(x), place.y(-y)));
      context.stroke();
    }
  }
  context.restore();
}

// what the detectors see, on its axes
function showSeen() {
  const { jets } = page.world;
  const [x, y] = jets ? [jets.eta_range, jets.phi_range].map((half) => [-half, half]) : [[0, side()], [side(), 0]];
  const ticks = jets ? [-0.5, 0, 0.5].map((v) => [v, signed(v)]) : [0, 4, 8, 12, 16].map((v) => [v, String(v)]);
  const { context, box } = axes(at("seen"), {
    x: { range: x, ticks, title: jets ? "x [rad]" : "column [pixels]" },
    y: { range: y, ticks, title: jets ? "y [rad]" : "row [pixels]" },
    margin: { left: 46, right: 8, top: 8, bottom: 42 },
  });
  const small = make("canvas");
  paint(small, page.image, side(), brightness(isJets()), isJets());
  context.imageSmoothingEnabled = false;
  context.drawImage(small, ...box);
  context.strokeRect(...box);
}

// from the place of a pointer to (eta, phi), or to x and y with y downwards
function pointed(event) {
  const frame = at("drawing").getBoundingClientRect();
  const half = isJets() ? VIEW : 1;
  const x = (2 * (event.clientX - frame.left - page.box[0])) / page.box[2] - 1;
  const y = (2 * (event.clientY - frame.top - page.box[1])) / page.box[3] - 1;
  const inside = Math.max(Math.abs(x), Math.abs(y)) <= 1;
  return inside ? [half * x, isJets() ? -half * y : half * y] : null;
}

const brushPt = () => Number((10 ** Number(at("pt").value)).toPrecision(2));

function addPoint(point, isFirst) {
  if (isJets()) {
    const last = page.particles[page.particles.length - 1];
    const near = !isFirst && last && Math.hypot(point[0] - last[1], point[1] - last[2]) < SPACING;
    if (!near) page.particles.push([brushPt(), ...point]);
  } else {
    page.pixels = null;
    if (isFirst) page.strokes.push([]);
    page.strokes[page.strokes.length - 1].push(point);
  }
  schedule();
}

function prepareDrawing() {
  const canvas = at("drawing");
  let drawing = false;
  canvas.addEventListener("pointerdown", (event) => {
    const point = pointed(event);
    if (!point) return;
    canvas.setPointerCapture(event.pointerId);
    page.history.push([page.particles.length, page.strokes.length]);
    drawing = true;
    addPoint(point, true);
  });
  canvas.addEventListener("pointermove", (event) => {
    const point = drawing && pointed(event);
    if (point) addPoint(point, false);
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => {
      if (drawing) restart();
      drawing = false;
    });
  at("pt").oninput = () => (at("pt-shown").textContent = `${brushPt()} GeV`);
  at("pt").oninput();
  at("clear").onclick = () => {
    Object.assign(page, { particles: [], strokes: [], pixels: null, history: [] });
    schedule();
  };
  at("undo").onclick = () => {
    const [particles, strokes] = page.history.pop() || [0, 0];
    page.particles.length = Math.min(page.particles.length, particles);
    page.strokes.length = Math.min(page.strokes.length, strokes);
    schedule();
  };
}

// ---- reconstruction and scores

function showCards() {
  at("detectors").replaceChildren();
  for (const [name, { about }] of Object.entries(page.models)) {
    const pixels = (part) => make("canvas", { className: "pixels", id: `${name}-${part}` });
    const figure = (part, title) => make("figure", {}, pixels(part), make("figcaption", { textContent: title }));
    const card = make(
      "section",
      { className: "detector", id: name },
      make("h3", { textContent: about.title }),
      make("div", { className: "pair" }, figure("reconstruction", "reconstruction"), figure("difference", "difference")),
      make("p", { className: "score", id: `${name}-score` }),
      make("p", { className: "p-value", id: `${name}-p` }),
      make("canvas", { className: "histogram", id: `${name}-histogram` }),
    );
    card.style.setProperty("--own", colourOf(about));
    at("detectors").append(card);
  }
}

function number(value) {
  if (value >= 0.01 || value === 0) return Number(value.toPrecision(3)).toString();
  const [mantissa, power] = value.toExponential(1).split("e");
  return `${mantissa} · ${tenTo(Number(power))}`;
}

function inWords(p, n) {
  if (p <= 1.0001 / (n + 1)) return `p ≤ ${number(Number((1 / (n + 1)).toPrecision(2)))}`;
  return p > 0.1 ? `p = ${p.toFixed(2)}` : `p = ${number(Number(p.toPrecision(2)))}`;
}

const imageNow = () =>
  isJets() ? jetImage(page.particles, page.world.jets) : page.pixels || halved(digitImage(page.strokes));

let waiting = null;
// one update after another; what is drawn meanwhile comes with the next
function schedule() {
  waiting ||= new Promise(requestAnimationFrame).then(() => {
    waiting = null;
    return (page.updating = (page.updating || Promise.resolve()).then(update));
  });
  return waiting;
}

async function update() {
  const [world, models] = [page.world, page.models];
  const image = (page.image = imageNow());
  showDrawing();
  showSeen();
  const isEmpty = !image.some((value) => value > 0);
  const found = await Promise.all(
    Object.values(models).map(async (model) => [await model.score(image), await model.inside(image)])
  );
  if (world !== page.world) return;
  const differences = found.map(([, { reconstruction }]) => image.map((value, i) => value - reconstruction[i]));
  const largest = Math.max(...differences.map((d) => d.reduce((m, value) => Math.max(m, Math.abs(value)), 1e-6)));
  page.scores = {};
  Object.entries(models).forEach(([name, model], k) => {
    const [score, { reconstruction }] = found[k];
    paint(at(`${name}-reconstruction`), reconstruction, side(), brightness(isJets()), isJets());
    paint(at(`${name}-difference`), differences[k], side(), difference(largest), isJets());
    const p = inWords(model.pValue(score), model.about.background.n);
    at(`${name}-score`).textContent = isEmpty ? "Nothing is drawn." : `${model.about.axis} ${number(score)}`;
    at(`${name}-p`).textContent = isEmpty ? "" : `${p} in background`;
    const title = model.about.axis === "energy E" ? "energy E" : "reconstruction error (mean square)";
    drawHistogram(at(`${name}-histogram`), model.about.histogram, title, sampleColours(), score);
    page.scores[name] = score;
  });
}

function showAuc() {
  const models = Object.values(page.world.detectors);
  const signals = Object.keys(models[0].auc);
  const head = make("tr", {}, make("td"), ...signals.map((label) => make("th", { scope: "col" }, swatch(label), label)));
  const rows = models.map((about) => {
    const name = make("th", { scope: "row", textContent: about.title });
    name.style.setProperty("--own", colourOf(about));
    return make("tr", {}, name, ...signals.map((label) => make("td", { textContent: about.auc[label].toFixed(3) })));
  });
  at("auc").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  at("auc-caption").textContent =
    `Area under the curve (AUC) on test events, background ${page.world.background}. 0.5 is chance; below it the signal ` +
    "looks more usual than the background does.";
  const samples = Object.keys(page.world.samples).filter((label) => label !== page.world.background);
  const legend = [["background", page.world.background], ...samples.map((label) => ["signal", label])];
  at("legend").replaceChildren(...legend.flatMap(([kind, label]) => [swatch(label), `${label} (${kind})  `]));
  at("verdict").textContent = page.world.verdict;
}

function swatch(label) {
  const mark = make("span", { textContent: "▬ " });
  mark.style.color = label === page.world.background ? "var(--fill)" : colourOf(page.world.samples[label]);
  return mark;
}

// ---- chains

const walkers = () => Object.entries(page.models).filter(([, { about }]) => about.chain);

function showChains() {
  at("chains").replaceChildren();
  for (const [name, { about }] of walkers()) {
    const card = make(
      "section",
      { className: "detector" },
      make("h3", { textContent: about.title }),
      make("div", { className: "frames", id: `${name}-frames` }),
      make("canvas", { className: "energies", id: `${name}-energies` }),
    );
    card.style.setProperty("--own", colourOf(about));
    at("chains").append(card);
  }
  const [low, high] = page.world.detectors.mpdr.recovery.sigma;
  Object.assign(at("sigma"), { min: low, max: high, value: (low + high) / 2 });
  at("sigma-shown").textContent = Number(at("sigma").value).toFixed(2);
}

async function restart() {
  page.chains = {};
  for (const [name, model] of walkers()) {
    page.chains[name] = new LatentChain(model, page.image, page.seed);
    await page.chains[name].start(Number(at("sigma").value));
  }
  showFrames();
}

async function walk(count) {
  for (const button of ["step", "steps"]) at(button).disabled = true;
  for (let i = 0; i < count; i++) {
    await Promise.all(Object.values(page.chains).map((chain) => chain.step(at("noisy").checked)));
    showFrames();
    await new Promise(requestAnimationFrame);
  }
  for (const button of ["step", "steps"]) at(button).disabled = false;
}

function showFrames() {
  for (const [name, { frames, model }] of Object.entries(page.chains)) {
    const strip = at(`${name}-frames`);
    if (strip.childElementCount > frames.length) strip.replaceChildren();
    for (let i = strip.childElementCount; i < frames.length; i++) strip.append(make("figure"));
    frames.forEach((frame, i) => {
      if (strip.children[i].frame === frame) return;
      const canvas = make("canvas", { className: "pixels" });
      paint(canvas, frame.image, side(), brightness(isJets()), isJets());
      const text = i ? `step ${i}` : "start";
      strip.children[i].replaceChildren(canvas, make("figcaption", {}, text, make("br"), `E ${number(frame.energy)}`));
      strip.children[i].frame = frame;
    });
    strip.scrollLeft = strip.scrollWidth;
    drawEnergies(at(`${name}-energies`), frames.map(({ energy }) => energy), colourOf(model.about));
  }
}

// ---- comparison with Python: {score, energy, code} the largest differences to what torch found; of an energy above 1
// in units of it

async function compareWithPython() {
  const worst = { score: 0, energy: 0, code: 0 };
  const differs = (what, a, b) => (worst[what] = Math.max(worst[what], Math.abs(a - b)));
  for (const name of Object.keys(worlds)) {
    const [world, models] = [worlds[name], await loadWorld(name)];
    const images = world.examples.map((e) => (e.particles ? jetImage(e.particles, world.jets) : imageOfExample(e)));
    for (const model of Object.values(models)) {
      const { check, scale } = model.about;
      for (let i = 0; i < images.length; i++) differs("score", await model.score(images[i]), check.scores[i]);
      if (!check.walk) continue;
      const chain = new LatentChain(model, images[0], 1);
      await chain.start(check.sigma);
      if (check.code) (await model.inside(images[0])).code.forEach((value, k) => differs("code", value, check.code[k]));
      chain.z = chain.target = check.start;
      await chain.look();
      for (const { z, energy } of check.walk) {
        await chain.step(false);
        differs("energy", chain.here.energy[0] / scale / Math.max(1, energy), energy / Math.max(1, energy));
        z.forEach((value, k) => differs("code", chain.z[k], value));
        chain.z = z; // the gradient jumps where a unit of the network sets in: each step from where torch was
        await chain.look();
      }
    }
  }
  return worst;
}

async function start() {
  if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined") {
    at("loading").textContent = "This browser is too old for the page: it needs WebAssembly and DecompressionStream.";
    return;
  }
  await startRuntime();
  for (const [name, { title }] of Object.entries(worlds)) {
    const button = make("button", { type: "button", textContent: title, value: name });
    button.onclick = () => showWorld(name);
    at("worlds").append(button);
  }
  prepareDrawing();
  at("step").onclick = () => walk(1);
  at("steps").onclick = () => walk(20);
  at("restart").onclick = () => (page.seed++, restart());
  at("sigma").oninput = () => {
    at("sigma-shown").textContent = Number(at("sigma").value).toFixed(2);
    restart();
  };
  at("compare").onclick = async () => {
    at("compared").textContent = "…";
    const { score, energy, code } = await compareWithPython();
    at("compared").textContent =
      `Largest difference to torch: scores of all examples ${number(score)}, energies after each of ten steps of the chains ` +
      `without noise ${number(energy)}, their codes ${number(code)}.`;
  };
  document.querySelector("main").hidden = false;
  await showWorld(Object.keys(worlds)[0]);
  at("loading").hidden = true;
  new ResizeObserver(() => page.scores && (update(), showFrames())).observe(at("detectors"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
  page.ready = performance.now(); // ms since the page was asked for
}

start().catch((error) => {
  at("loading").hidden = false;
  at("loading").textContent = `The page does not run here: ${error.message}`;
});
