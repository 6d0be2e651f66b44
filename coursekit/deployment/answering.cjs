// Answers pictures with onnxruntime-node as answering.py does: node answering.cjs package model pictures
const fs = require("fs");
const readline = require("readline");
const [, , folder, path, pictures] = process.argv;
const ort = require(folder);
const { version } = require(`${folder}/package.json`);

async function main() {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1, logSeverityLevel: 4 });
  const bytes = fs.readFileSync(pictures);
  const x = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const [input] = session.inputNames, [output] = session.outputNames;
  const label = async (picture) => {
    const answer = await session.run({ [input]: new ort.Tensor("float32", picture, [1, 64]) });
    const logits = answer[output].data;
    return logits.indexOf(Math.max(...logits));
  };
  const at = (n) => x.slice(64 * n, 64 * (n + 1));
  console.log(`${await label(at(0))} onnxruntime-node ${version}`);
  const labels = [];
  for (let n = 0; n < x.length / 64; n++) labels.push(await label(at(n)));
  console.log(labels.join(" "));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const calls = Number(line), one = at(0), start = performance.now();
    for (let call = 0; call < calls; call++) await label(one);
    console.log(`${(performance.now() - start) / 1e3 / calls}`);  // text: a number would be coloured in a notebook
  }
}

main().catch((error) => { console.error(String(error)); process.exit(1); });
