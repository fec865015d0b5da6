// From what is drawn to what a detector sees: the steps of hepad.JetImage, and those of MNIST.
"use strict";

// Python's copysign, which looks at the sign of a zero, too
const copysign = (size, of) => (of < 0 || Object.is(of, -0) ? -size : size);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

// Image of a jet as hepad.JetImage makes it: Float32Array (size * size), rows of rising y, of unit sum; all zero without
// a particle in the window. particles: [[pt / GeV, eta, phi], ...]; settings: size, eta_range, phi_range, sigma
function jetImage(particles, settings) {
  const { size, eta_range, phi_range, sigma } = settings;
  const there = particles.map((p) => p.map(Math.fround)).filter(([pt]) => pt > 0);
  const image = new Float64Array(size * size);
  for (const [pt, x, y] of aligned(there)) {
    const column = Math.floor((x / eta_range + 1) * (size / 2));
    const row = Math.floor((y / phi_range + 1) * (size / 2));
    if (column >= 0 && column < size && row >= 0 && row < size) image[row * size + column] += pt;
  }
  return unitSum(filtered(image, size, sigma));
}

// Shift, centre, rotate and flip: [[pt, x, y], ...]
function aligned(particles) {
  if (!particles.length) return [];
  const whole = total(particles.map(([pt]) => pt));
  const weight = particles.map(([pt]) => pt / whole);
  const hardest = particles.reduce((best, p) => (p[0] > best[0] ? p : best))[2];
  const mean = (values) => total(values.map((value, i) => weight[i] * value));
  let x = particles.map(([, eta]) => eta);
  let y = particles.map(([, , phi]) => phi - hardest).map((d) => d - 2 * Math.PI * Math.round(d / (2 * Math.PI)));
  const centre = [mean(x), mean(y)];
  x = x.map((value) => value - centre[0]);
  y = y.map((value) => value - centre[1]);
  const moment = (a, b) => mean(a.map((value, i) => value * b[i]));
  const theta = 0.5 * Math.atan2(2 * moment(x, y), moment(x, x) - moment(y, y));
  const [sin, cos] = [Math.sin(theta), Math.cos(theta)];
  [x, y] = [x.map((value, i) => value * sin - y[i] * cos), x.map((value, i) => value * cos + y[i] * sin)];
  const side = (values) => total(values.map((value, i) => copysign(weight[i], value)));
  const [flipX, flipY] = [side(x) > 0 ? -1 : 1, side(y) < 0 ? -1 : 1];
  return particles.map(([pt], i) => [pt, x[i] * flipX, y[i] * flipY]);
}

// G I G with the Gaussian G, cut at four sigma, zeros beyond the edges
function filtered(image, size, sigma) {
  if (!(sigma > 0)) return image;
  const reach = Math.floor(4 * sigma + 0.5);
  const kernel = Array.from({ length: reach + 1 }, (_, d) => Math.exp(-0.5 * (d / sigma) ** 2));
  const norm = 2 * total(kernel) - kernel[0];
  const along = (from, stride, other) => {
    const to = new Float64Array(size * size);
    for (let line = 0; line < size; line++)
      for (let i = 0; i < size; i++)
        for (let j = Math.max(0, i - reach); j <= Math.min(size - 1, i + reach); j++)
          to[line * other + i * stride] += (kernel[Math.abs(i - j)] / norm) * from[line * other + j * stride];
    return to;
  };
  return along(along(image, size, 1), 1, size);
}

function unitSum(image) {
  const sum = total(Array.from(image));
  return Float32Array.from(image, (value) => (sum > 0 ? value / sum : 0));
}

const PEN = 1.2; // half the width of a stroke, in pixels
const BOX = 20; // pixels of the longer side of a digit, as in MNIST
const DIGIT = 28;

// Image of a digit as MNIST has it: (28 * 28) in [0, 1], rows downwards. strokes: [[[x, y], ...], ...] in any unit, y
// downwards. The longer side becomes 20 pixels, and the centre of mass the centre of the image.
function digitImage(strokes) {
  const points = strokes.flat();
  if (!points.length) return new Float64Array(DIGIT * DIGIT);
  const [low, high] = [Math.min, Math.max].map((f) => [0, 1].map((k) => f(...points.map((p) => p[k]))));
  const side = Math.max(high[0] - low[0], high[1] - low[1]);
  const scale = side > 0 ? (BOX - 2 * PEN) / side : 0;
  const middle = [0, 1].map((k) => (low[k] + high[k]) / 2);
  const placed = (centre) =>
    strokes.map((line) => line.map((p) => [0, 1].map((k) => (p[k] - middle[k]) * scale + centre[k])));
  const first = inked(placed([DIGIT / 2, DIGIT / 2]));
  const ink = total(Array.from(first));
  const mass = [0, 0];
  first.forEach((value, i) => {
    mass[0] += (value * ((i % DIGIT) + 0.5)) / ink;
    mass[1] += (value * (Math.floor(i / DIGIT) + 0.5)) / ink;
  });
  return inked(placed(mass.map((m) => DIGIT - m)));
}

// What the detectors see of it: Float32Array (16 * 16), a border of two black pixels, then means of two by two
function halved(image) {
  const half = new Float64Array(16 * 16);
  image.forEach((value, i) => {
    const [row, column] = [Math.floor(i / DIGIT) + 2, (i % DIGIT) + 2];
    half[(row >> 1) * 16 + (column >> 1)] += value / 4;
  });
  return Float32Array.from(half);
}

// A pixel is as dark as the pen covers it: 1 within PEN - 1/2 of a line, 0 beyond PEN + 1/2
function inked(strokes) {
  const image = new Float64Array(DIGIT * DIGIT);
  for (let i = 0; i < image.length; i++) {
    const at = [(i % DIGIT) + 0.5, Math.floor(i / DIGIT) + 0.5];
    const distance = Math.min(...strokes.map((line) => toLine(at, line)));
    image[i] = Math.min(1, Math.max(0, PEN + 0.5 - distance));
  }
  return image;
}

function toLine(at, line) {
  if (line.length === 1) return Math.hypot(at[0] - line[0][0], at[1] - line[0][1]);
  let least = Infinity;
  for (let i = 1; i < line.length; i++) {
    const [a, b] = [line[i - 1], line[i]];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const square = dx * dx + dy * dy;
    const along = square > 0 ? ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / square : 0;
    const t = Math.min(1, Math.max(0, along));
    least = Math.min(least, Math.hypot(at[0] - a[0] - t * dx, at[1] - a[1] - t * dy));
  }
  return least;
}
