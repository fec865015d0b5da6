// What the pages of events share: the numbers of the page, their digits, and displays of events.
const D = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const plain = html => { const e = document.createElement("template"); e.innerHTML = html; for (const m of e.content.querySelectorAll(".math")) m.replaceWith(m.getAttribute("aria-label").replace(/\\mathrm|[{}\\]/g, "")); return e.content.textContent.trim(); };
const digits = x => x === null ? "–" : typeof x === "string" ? x : Math.abs(x) >= 1e5 || (x && Math.abs(x) < 1e-3) ? x.toExponential(2) : String(+x.toPrecision(4));
const amount = x => Math.abs(+x) || 0;  // 0 of what is no number
const minus = s => s.replaceAll("-", "−");
const OBJECTS = {jets: ["#1f5fa8", "jets"], electrons: ["#2a8a3a", "e"], muons: ["#c0392b", "μ"], photons: ["#d08a00", "γ"], taus: ["#7d3fa0", "τ"]};
const turned = phi => Math.atan2(Math.sin(phi), Math.cos(phi));  // to -π to π
function sharp(canvas, width, height) {
  const scale = 2;
  canvas.width = width * scale; canvas.height = height * scale;
  const c = canvas.getContext("2d");
  c.scale(scale, scale);
  return c;
}
function colour(share) {  // of the largest change: blue, grey, red
  const s = Math.max(-1, Math.min(1, share)), weak = 1 - Math.abs(s);
  return s >= 0 ? `rgb(${190 + 5 * s | 0},${20 + 160 * weak | 0},${30 + 150 * weak | 0})` : `rgb(${30 + 150 * weak | 0},${80 + 100 * weak | 0},${185 + 5 * -s | 0})`;
}
function jet(canvas, event, why, size) {
  const c = sharp(canvas, size, size), half = size / 2, R = 1.0, big = size > 200;
  c.strokeStyle = "#cfcfcf"; c.lineWidth = 1; c.strokeRect(.5, .5, size - 1, size - 1);
  c.setLineDash([3, 3]); c.beginPath(); c.arc(half, half, .8 / R * half, 0, 2 * Math.PI); c.stroke(); c.setLineDash([]);
  const parts = event.constituents, sum = parts.reduce((s, p) => s + p[0], 0) || 1, of = why?.constituents;
  const most = of ? Math.max(...of.map(amount), 1e-12) : 1;
  c.save(); c.beginPath(); c.rect(0, 0, size, size); c.clip();
  parts.forEach((p, i) => {
    c.beginPath();
    c.arc(half + p[1] / R * half, half - p[2] / R * half, Math.max(size / 180, size / 5.5 * Math.sqrt(p[0] / sum)), 0, 2 * Math.PI);
    c.fillStyle = !of ? "#3b3b3b" : typeof of[i] === "number" ? colour(of[i] / most) : "#b0b0b0"; c.globalAlpha = .62; c.fill();
    c.globalAlpha = 1; c.strokeStyle = "rgba(0,0,0,.35)"; c.lineWidth = .5; c.stroke();
  });
  const turn = turned(event.met[1] - event.jet[2]);
  if (event.met[0] > 0 && Math.abs(turn) < R) { c.strokeStyle = "#000"; c.setLineDash([5, 3]); c.lineWidth = big ? 1.2 : .6; c.beginPath(); c.moveTo(0, half - turn / R * half); c.lineTo(size, half - turn / R * half); c.stroke(); c.setLineDash([]); if (big) { c.fillStyle = "#000"; c.font = "11px sans-serif"; c.fillText("missing momentum", 24, half - turn / R * half - 3); } }
  c.restore();
  if (big) { c.fillStyle = "#5a5a5a"; c.font = "12px sans-serif"; c.fillText("Δη −1 to 1", size - 66, size - 6); c.save(); c.translate(14, 96); c.rotate(-Math.PI / 2); c.fillText("Δφ −1 to 1 rad", 0, 0); c.restore(); }
}
function objects(canvas, event, width, height) {
  const c = sharp(canvas, width, height), ETA = 5, X = eta => width / 2 + eta / ETA * width / 2, Y = phi => height / 2 - phi / Math.PI * height / 2;
  c.strokeStyle = "#cfcfcf"; c.strokeRect(.5, .5, width - 1, height - 1);
  c.font = `${width > 200 ? 12 : 8}px sans-serif`; c.textAlign = "center"; c.textBaseline = "middle";
  const most = Math.max(1, ...Object.values(event.objects).flat().map(p => p[0]), event.met[0] || 0);
  for (const [name, [ink, sign]] of Object.entries(OBJECTS)) for (const p of event.objects[name]) {
    const r = Math.max(2, width / 12 * Math.sqrt(p[0] / most));
    c.beginPath(); c.arc(X(p[1]), Y(turned(p[2])), r, 0, 2 * Math.PI); c.strokeStyle = ink; c.lineWidth = 1.5; c.stroke();
    if (name === "jets") { c.globalAlpha = .18; c.fillStyle = ink; c.fill(); c.globalAlpha = 1; }
    else { c.fillStyle = ink; c.fillText(sign, X(p[1]), Y(turned(p[2]))); }
  }
  if (event.met[0] > 0) { c.strokeStyle = "#000"; c.setLineDash([5, 3]); c.lineWidth = .5 + 2.5 * event.met[0] / most; c.beginPath(); c.moveTo(0, Y(turned(event.met[1]))); c.lineTo(width, Y(turned(event.met[1]))); c.stroke(); c.setLineDash([]); }
  if (width > 200) { c.fillStyle = "#5a5a5a"; c.textAlign = "right"; c.fillText("η −5 to 5", width - 6, height - 10); c.textAlign = "left"; c.fillText("φ −π to π", 6, 12); }
}
function pixels(canvas, values, size) {
  const side = Math.round(Math.sqrt(values.length)), c = sharp(canvas, size, size), most = Math.max(...values.map(amount), 1e-12);
  values.forEach((x, i) => { c.fillStyle = amount(x) < .01 * most ? "#f4f4f4" : colour(x / most); c.globalAlpha = .15 + .85 * Math.sqrt(amount(x) / most);
    c.fillRect((i % side) * size / side, (side - 1 - Math.floor(i / side)) * size / side, size / side + .3, size / side + .3); });
  c.globalAlpha = 1; c.strokeStyle = "#cfcfcf"; c.strokeRect(.5, .5, size - 1, size - 1);
}
function draw(canvas, event, why, size) { event.constituents.length ? jet(canvas, event, why, size) : objects(canvas, event, size, size); }
function add(parent, tag, content = "", attributes = {}) {
  const e = document.createElement(tag); e.innerHTML = content;
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  parent.append(e); return e;
}
function describe(panel, e, d) {  // under detector d
  const why = e.why[d];
  panel.replaceChildren();
  const first = add(panel, "div"), name = D.detectors[d];
  add(first, "h2", `${D.samples[e.sample]}: ${e.where ? `run:section:event ${e.where}` : minus(`event ${e.id}`)}`);
  if (e.constituents.length) draw(add(first, "canvas", "", {role: "img", "aria-label": "constituents of the jet"}), e, why, 360);
  add(first, "p", minus(`jet: p<sub>T</sub> = ${digits(e.jet[0])} GeV, η = ${digits(e.jet[1])}, φ = ${digits(e.jet[2])}, m = ${digits(e.jet[3])} GeV; ${e.constituents.length} constituents`), {class: "note"});
  objects(add(first, "canvas", "", {role: "img", "aria-label": "objects of the event"}), e, 360, 220);
  add(first, "p", "Objects of the event: " + Object.entries(OBJECTS).filter(([n]) => e.objects[n].length).map(([n, [, s]]) => `${e.objects[n].length} ${n}${n === "jets" ? "" : ` (${s})`}`).join(", ") + (e.met[0] > 0 ? `; dashed: φ of the missing momentum, ${digits(e.met[0])} GeV` : ""), {class: "note"});
  const second = add(panel, "div");
  add(second, "h2", `What makes the score of ${name}`);
  if (!why) add(second, "p", "This event is not explained: those that stand for others are, the most anomalous ones of a gallery and the middle of a cluster.", {class: "note"});
  else {
    add(second, "p", minus(why.method === "shapley" ? `What each variable adds to the mean score of background, ${digits(why.reference)}, with like background in the place of the others (Shapley values); red raises it.` : `By how much the score changes when one entry is the mean of background, whose score is ${digits(why.reference)}; red raises it.`), {class: "note"});
    if (why.variables.length) {
      const t = add(second, "table"), most = Math.max(...why.variables.map(v => amount(v[1])), 1e-12);
      for (const [v, a] of why.variables) add(t, "tr", `<th>${D.written[v]}</th><td>${minus(digits(a))}</td><td style="text-align:left"><span style="display:inline-block;height:.7em;width:${5 * amount(a) / most}rem;background:${colour(Math.sign(a))}"></span></td>`);
    }
    if (why.pixels.length) { add(second, "p", "Pixels of the representation:", {class: "note"}); pixels(add(second, "canvas", "", {role: "img", "aria-label": "attribution of pixels"}), why.pixels, 260); }
  }
  add(second, "h2", "Observables");
  const t = add(second, "table");
  add(t, "tr", "<th></th><td>value</td><td>background below</td><td></td>");
  e.values.forEach((x, k) => add(t, "tr", `<th>${D.written[D.variables[k]]}</th><td>${minus(digits(x))}</td><td>${e.below[k] === null ? "–" : `${(100 * e.below[k]).toFixed(1)} %`}</td><td><meter min="0" max="1" value="${e.below[k] || 0}"></meter></td>`));
  const third = add(panel, "div");
  add(third, "h2", "All detectors");
  const all = add(third, "table");
  add(all, "tr", "<th></th><td>score</td><td>p</td>");
  D.detectors.forEach((n, k) => add(all, "tr", `<th>${n}</th><td>${minus(digits(e.scores[k]))}</td><td>${minus(digits(e.p[k]))}</td>`, k === d ? {class: "chosen"} : {}));
}
