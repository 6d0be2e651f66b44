// The page that a notebook wrote: one network, its files beside it, and ONNX Runtime in WebAssembly.
import { InferenceSession, Tensor, env } from "./ort.wasm.bundle.min.mjs";

const SIDE = 8, FINE = 32, INK = 127, CALLS = 20;
const opened = performance.now();
const told = (id, text) => { document.getElementById(id).textContent = text; };

// How the pictures of the data set were made: cut out the drawing, look at 32 x 32 points of it, and count the
// dark ones in squares of 4 x 4. data holds red, green, blue and opacity of each pixel, from 0 to 255.
export function shrink(data, width, height) {
  const ink = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[4 * (y * width + x)] > INK;
  let left = width, right = -1, top = height, bottom = -1;
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (ink(x, y)) {
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  const numbers = new Float32Array(SIDE * SIDE);
  const side = Math.max(right - left, bottom - top) + 1;
  const at = (first, last, i) => Math.floor((FINE * (first + last + 1 - side) + (2 * i + 1) * side) / (2 * FINE));
  for (let y = 0; y < FINE; y++) for (let x = 0; x < FINE; x++) {
    if (right >= 0 && ink(at(left, right, x), at(top, bottom, y))) numbers[SIDE * (y >> 2) + (x >> 2)] += 1 / 16;
  }
  return numbers;
}

const models = {};

async function logits(name, numbers) {
  const { session } = models[name], count = numbers.length / (SIDE * SIDE);
  const tensor = new Tensor("float32", numbers, [count, SIDE * SIDE]);
  return (await session.run({ [session.inputNames[0]]: tensor }))[session.outputNames[0]].data;
}

// The labels of pictures in a row, 64 numbers from 0 to 1 for each.
async function classify(name, numbers) {
  const found = await logits(name, Float32Array.from(numbers)), labels = [];
  for (let n = 0; n < found.length; n += 10) {
    const row = found.slice(n, n + 10);
    labels.push(row.indexOf(Math.max(...row)));
  }
  return labels;
}

// One answer, and what it takes in milliseconds: a browser's clock is coarse, so several in a row.
async function answer(name, numbers) {
  const start = performance.now();
  let found;
  for (let call = 0; call < CALLS; call++) found = await logits(name, numbers);
  const ms = (performance.now() - start) / CALLS, top = Math.max(...found);
  const odds = Array.from(found, (logit) => Math.exp(logit - top)), all = odds.reduce((a, b) => a + b);
  const digit = found.indexOf(top);
  return { digit, share: odds[digit] / all, ms };
}

const paper = document.getElementById("paper");
const pen = paper.getContext("2d", { willReadFrequently: true });
const seen = document.getElementById("seen").getContext("2d");
Object.assign(pen, { strokeStyle: "#fff", lineWidth: 36, lineCap: "round", lineJoin: "round" });

function look() {
  const numbers = shrink(pen.getImageData(0, 0, paper.width, paper.height).data, paper.width, paper.height);
  const picture = seen.createImageData(SIDE, SIDE);
  numbers.forEach((value, n) => picture.data.set([255 * value, 255 * value, 255 * value, 255], 4 * n));
  seen.putImageData(picture, 0, 0);
  return numbers;
}

let last = Promise.resolve();  // one answer at a time, the newest drawing at the end
function show() {
  last = last.then(async () => {
    const numbers = look(), start = performance.now(), found = {};
    for (const name of Object.keys(models)) found[name] = await answer(name, numbers);
    for (const [name, { digit, share, ms }] of Object.entries(found)) {
      const [, digitCell, sure, time] = models[name].row.cells;
      digitCell.textContent = digit;
      sure.firstChild.value = share;
      time.textContent = `${ms.toPrecision(2)} ms`;
    }
    window.digits.shown = { found, ms: performance.now() - start };
  });
  return last;
}

function drawing() {
  let from = null;
  const place = (event) => [event.offsetX, event.offsetY];
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    from = place(event);
  });
  paper.addEventListener("pointermove", (event) => {
    if (!from) return;
    pen.beginPath(); pen.moveTo(...from); from = place(event); pen.lineTo(...from); pen.stroke();
  });
  for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => { from = null; show(); });
  document.getElementById("clear").addEventListener("click", () => {
    pen.clearRect(0, 0, paper.width, paper.height);
    show();
  });
}

// Beside the page may lie pictures, with the labels that Python gave: the same here?
async function compare({ pictures, labels }) {
  const lines = [];
  for (const name of Object.keys(models)) {
    const found = await classify(name, pictures.flat());
    const same = found.filter((label, n) => label === labels[name][n]).length;
    lines.push(`${name}: ${same} of ${found.length} labels as in Python`);
  }
  told("report", lines.join("; "));
}

async function start() {
  env.wasm.numThreads = 1;
  env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
  const { files, check } = await (await fetch("page.json")).json();
  for (const [name, file] of Object.entries(files)) {
    const bytes = new Uint8Array(await (await fetch(file)).arrayBuffer());
    const session = await InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    const row = document.getElementById("answers").insertRow();
    row.insertCell().textContent = name;
    row.insertCell().className = "answer";
    row.insertCell().append(document.createElement("meter"));
    row.insertCell();
    models[name] = { session, row };
  }
  drawing();
  await Promise.all(Object.keys(models).map((name) => logits(name, new Float32Array(SIDE * SIDE))));
  window.digits.start = performance.now() - opened;
  told("state", `Ready after ${(window.digits.start / 1e3).toPrecision(2)} s.`);
  const button = document.getElementById("compare");
  if (check) {
    button.hidden = false;
    button.textContent = `Compare ${check.pictures.length} answers with Python's`;
    button.addEventListener("click", () => compare(check));
  }
}

window.digits = { models, shrink, classify, answer, show };
window.digits.ready = start().catch((error) => { told("state", `This page cannot start: ${error}`); throw error; });
