// Pictures: pixels in colours, and lines on axes.
"use strict";

const RAMP = ["#ffffff", "#c7e9b4", "#41b6c4", "#225ea8", "#081d58"].map(rgb);
const SIGNED = ["#2166ac", "#92c5de", "#ffffff", "#f4a582", "#b2182b"].map(rgb);
const LEAST = 1e-5; // of a jet's pT: what a logarithmic scale of pixels begins with

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function shade(ramp, t) {
  const place = Math.min(Math.max(t, 0), 1) * (ramp.length - 1);
  const i = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[i].map((from, k) => from + (ramp[i + 1][k] - from) * (place - i));
}

// Colours of pixels (size * size) into a canvas; `upwards`: the first row is the lowest
function paint(canvas, values, size, toColour, upwards) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  const data = context.createImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    const row = Math.floor(i / size);
    const from = (upwards ? size - 1 - row : row) * size + (i % size);
    data.data.set([...toColour(values[from]).map(Math.round), 255], 4 * i);
  }
  context.putImageData(data, 0, 0);
}

const brightness = (logarithmic) =>
  logarithmic
    ? (value) => shade(RAMP, Math.log10(Math.max(value, LEAST) / LEAST) / Math.log10(0.5 / LEAST))
    : (value) => shade(RAMP, value);
const difference = (largest) => (value) => shade(SIGNED, 0.5 + (0.5 * value) / largest);

const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A frame with axes: {x, y} from values to places on the canvas, in CSS pixels, and the context
function axes(canvas, { x, y, margin = { left: 58, right: 12, top: 10, bottom: 42 } }) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const [text, line] = [styleOf("--text"), styleOf("--weak")];
  const box = [margin.left, margin.top, width - margin.left - margin.right, height - margin.top - margin.bottom];
  const at = {
    x: (value) => box[0] + (box[2] * (value - x.range[0])) / (x.range[1] - x.range[0]),
    y: (value) => box[1] + box[3] - (box[3] * (value - y.range[0])) / (y.range[1] - y.range[0]),
  };
  context.strokeStyle = line;
  context.fillStyle = text;
  context.lineWidth = 1;
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  context.strokeRect(...box);
  for (const [value, label] of x.ticks) {
    context.beginPath();
    context.moveTo(at.x(value), box[1] + box[3]);
    context.lineTo(at.x(value), box[1] + box[3] + 4);
    context.stroke();
    context.textAlign = "center";
    context.fillText(label, at.x(value), box[1] + box[3] + 16);
  }
  for (const [value, label] of y.ticks) {
    context.beginPath();
    context.moveTo(box[0] - 4, at.y(value));
    context.lineTo(box[0], at.y(value));
    context.stroke();
    context.textAlign = "right";
    context.fillText(label, box[0] - 7, at.y(value) + 4);
  }
  context.textAlign = "center";
  context.fillText(x.title, box[0] + box[2] / 2, box[1] + box[3] + 34);
  if (y.title) {
    context.save();
    context.translate(13, box[1] + box[3] / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(y.title, 0, 0);
    context.restore();
  }
  return { context, at, box };
}

const signed = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

const linearTicks = ([low, high], count) => {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); k++) {
    ticks.push([k * step, signed(k * step)]);
  }
  return ticks;
};

const SUPER = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const tenTo = (power) => (power === 0 ? "1" : "10" + [...String(power)].map((c) => SUPER[c]).join(""));

// ticks of a logarithmic axis whose values are log10: powers of ten, or 2 and 5 between them if there are few
function logTicks([low, high]) {
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power++)
    for (const digit of high - low > 2 ? [1] : [1, 2, 5]) {
      const place = power + Math.log10(digit);
      const label = digit === 1 && high - low > 2 ? tenTo(power) : String(Number((10 ** place).toPrecision(1)));
      if (place >= low && place <= high) ticks.push([place, label]);
    }
  return ticks;
}

// Scores of background and signals, and where an event is
function drawHistogram(canvas, { range, counts, background }, title, colours, score) {
  const place = Math.log10(Math.max(score, 1e-12));
  const wide = [Math.min(range[0], place - 0.1), Math.max(range[1], place + 0.1)];
  const highest = 1.1 * Math.max(...Object.values(counts).flat());
  const margin = { left: 12, right: 12, top: 8, bottom: 42 };
  const { context, at, box } = axes(canvas, {
    x: { range: wide, ticks: logTicks(wide), title },
    y: { range: [0, highest], ticks: [] },
    margin,
  });
  const bins = counts[background].length;
  const edge = (i) => at.x(range[0] + ((range[1] - range[0]) * i) / bins);
  for (const [label, values] of Object.entries(counts)) {
    context.beginPath();
    context.moveTo(edge(0), at.y(0));
    values.forEach((value, i) => [i, i + 1].forEach((k) => context.lineTo(edge(k), at.y(value))));
    context.lineTo(edge(bins), at.y(0));
    context.fillStyle = styleOf("--fill");
    context.strokeStyle = colours[label];
    context.lineWidth = 1.5;
    if (label === background) context.fill();
    else context.stroke();
  }
  context.strokeStyle = styleOf("--text");
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(at.x(place), box[1]);
  context.lineTo(at.x(place), box[1] + box[3]);
  context.stroke();
}

// Energies of a chain, step by step
function drawEnergies(canvas, energies, colour) {
  const steps = Math.max(10, energies.length - 1);
  const [low, high] = [Math.min(...energies), Math.max(...energies)];
  const room = Math.max(0.1 * (high - low), 0.05 * high);
  const range = [Math.max(0, low - room), high + room];
  const { context, at } = axes(canvas, {
    x: { range: [0, steps], ticks: linearTicks([0, steps], 5), title: "step" },
    y: { range, ticks: linearTicks(range, 5), title: "E" },
  });
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  energies.forEach((energy, i) => context.lineTo(at.x(i), at.y(energy)));
  context.stroke();
  energies.forEach((energy, i) => {
    context.beginPath();
    context.arc(at.x(i), at.y(energy), 2.5, 0, 2 * Math.PI);
    context.fill();
  });
}
