// The exported detectors in ONNX Runtime Web, and the latent chain. Everything comes from scripts beside the page, so
// that it opens from a disk, too: worlds["qcd"] = {...} and ortWasm = "...", binaries as gzip in base85.
"use strict";

const worlds = {};
let ortWasm = "";

// Base85 as of Python's base64.b85encode: five characters are four bytes, and less at the end
const DIGITS85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

function fromBase85(text) {
  const value = new Uint8Array(128);
  [...DIGITS85].forEach((digit, i) => (value[digit.charCodeAt(0)] = i));
  const words = Math.ceil(text.length / 5);
  const view = new DataView(new ArrayBuffer(4 * words));
  for (let word = 0; word < words; word++) {
    let sum = 0;
    for (let i = 5 * word; i < 5 * word + 5; i++) sum = 85 * sum + (i < text.length ? value[text.charCodeAt(i)] : 84);
    view.setUint32(4 * word, sum);
  }
  return new Uint8Array(view.buffer, 0, 4 * words - (5 * words - text.length));
}

async function unpacked(text) {
  const bytes = fromBase85(text);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The runtime with one thread: more would need a server that isolates the page
async function startRuntime() {
  const wasm = new Blob([await unpacked(ortWasm)], { type: "application/wasm" });
  ortWasm = "";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { "ort-wasm-simd.wasm": URL.createObjectURL(wasm) };
}

const tensor = (values, shape) => new ort.Tensor("float32", Float32Array.from(values), shape);

// The weights of a world, each tensor once: a scale for each row, and 8 bits for each weight, whose products are exact
async function weightsOf({ shapes, data }) {
  const bytes = await unpacked(data);
  const scales = new Float32Array(bytes.buffer, 0, total(shapes.map(([rows]) => rows)));
  let [row, at] = [0, scales.byteLength];
  return shapes.map(([rows, columns]) => {
    const values = new Int8Array(bytes.buffer, at, rows * columns);
    const tensor = Float32Array.from(values, (value, i) => value * scales[row + Math.floor(i / columns)]);
    [row, at] = [row + rows, at + values.length];
    return tensor;
  });
}

// A file: the rest of it, and between its bytes the weights
async function assembled({ rest, at }, weights) {
  const bytes = await unpacked(rest);
  const ends = [0, ...at.map(([end]) => end)];
  const parts = at.flatMap(([end, k], i) => [bytes.subarray(ends[i], end), weights[k]]);
  const file = new Blob([...parts, bytes.subarray(ends[at.length])]);
  return new Uint8Array(await file.arrayBuffer());
}

// A detector: its score, exactly as `hepad export` has written it, and the graph of reconstruction and latent chain
class Model {
  static async load(about, shape, weights) {
    const [score, steps] = await Promise.all(
      [about.files.score, about.files.steps].map(async (file) =>
        ort.InferenceSession.create(await assembled(file, weights))
      )
    );
    return Object.assign(new Model(), { about, shape: [1, ...shape], sessions: { score, steps } });
  }

  async score(image) {
    const { score } = await this.sessions.score.run({ features: tensor(image, this.shape) });
    return score.data[0];
  }

  // {reconstruction, code} of an image, and {image, energy, gradient} of a code z (D) that is tied to a target
  async inside(image, z, target, tie) {
    const latent = this.about.latent;
    const start = tensor(z || [1, ...Array(latent - 1).fill(0)], [1, latent]);
    const goal = target ? tensor(target, [1, latent]) : start;
    const feeds = { features: tensor(image, this.shape), z: start, target: goal, tie: tensor([tie || 0], [1]) };
    const found = await this.sessions.steps.run(feeds);
    return Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, data]));
  }

  // how often background has at least this score: (1 + #) / (n + 1) at the knots, between them a line in log p
  pValue(score) {
    const { scores, p, n } = this.about.background;
    if (score <= scores[0]) return p[0];
    const i = scores.findIndex((knot) => knot >= score);
    if (i < 0) return 1 / (n + 1);
    const t = (score - scores[i - 1]) / (scores[i] - scores[i - 1]);
    return Math.exp(Math.log(p[i - 1]) + t * (Math.log(p[i]) - Math.log(p[i - 1])));
  }
}

// Normal numbers from a seed: mulberry32 and Box-Muller
function normalNumbers(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const norm = (v) => Math.max(Math.hypot(...v), 1e-12);
const unit = (v) => v.map((value) => value / norm(v));
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

// Where a chain starts: of the NAE anywhere on the sphere, of MPDR beside the code of the event
class LatentChain {
  constructor(model, image, seed) {
    Object.assign(this, { model, image, normal: normalNumbers(seed), tie: 0, frames: [] });
  }

  async start(sigma) {
    const { latent, recovery } = this.model.about;
    const noise = Array.from({ length: latent }, this.normal);
    if (recovery) {
      const { code } = await this.model.inside(this.image);
      this.z = unit(Array.from(code).map((value, i) => value + sigma * noise[i]));
      this.tie = recovery.weight / (2 * sigma * sigma);
    } else this.z = unit(noise);
    this.target = this.z;
    await this.look();
  }

  async look() {
    this.here = await this.model.inside(this.image, this.z, this.target, this.tie);
    this.frames.push({ image: this.here.image, energy: this.here.energy[0] / this.model.about.scale });
  }

  // hepad.detectors.energy_based.langevin on the unit sphere
  async step(noisy) {
    const { step_size, noise_std, unit: ofNormOne } = this.model.about.chain;
    const g = Array.from(this.here.gradient);
    const radial = dot(g, this.z);
    const along = g.map((value, i) => value - radial * this.z[i]);
    const shaped = ofNormOne ? unit(along) : along;
    this.z = unit(
      this.z.map((value, i) => value - step_size * shaped[i] + (noisy ? noise_std * this.normal() : 0))
    );
    await this.look();
  }
}
