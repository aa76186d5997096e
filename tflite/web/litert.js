// Running: a model's input to its output, with LiteRT.js on the CPU.

const WASM = new URL("litert/core/wasm/", import.meta.url).href;
const THREADS = 4; // phones have about four fast cores

let runtime; // a promise; undefined before, and after a crash
let errors = []; // which LiteRT.js writes, and then gives whatever was in memory

function heard(line) {
  const [, error] = /^ERROR: (.*)/.exec(line) ?? [];
  if (error) errors.push(error);
  console.debug(line);
}

/** A model that is ready to run. */
export class Runner {
  constructor(file, model, threads) {
    Object.assign(this, { file, model, threads });
  }

  /**
   * @param file from `readFile`.
   * @throws Error that says why the file does not run here.
   */
  static async open(file) {
    for (const { name, type } of [...file.inputs, ...file.outputs]) {
      if (type !== "float32") {
        throw new Error(
          `${file.name} has the tensor ${name} in ${type}; this page gives and takes float32. ` +
            "Convert it without integer_io=True.",
        );
      }
    }
    const { litert, threads } = await load();
    try {
      const options = { accelerator: "wasm", cpuOptions: { numThreads: threads } };
      const runner = new Runner(file, await litert.loadAndCompile(file.bytes, options), threads);
      const [{ shape }] = file.inputs;
      await runner.infer(new Float32Array(shape.reduce((a, b) => a * b))); // the first is slower
      return runner;
    } catch (error) {
      unload();
      throw new Error(`${file.name} does not run in LiteRT.js: ${reason(error)}`);
    }
  }

  /**
   * @param values Float32Array, the model's input.
   * @returns { outputs: [Float32Array], ms: the inference time }
   */
  async run(values) {
    try {
      return await this.infer(values);
    } catch (error) {
      unload();
      throw new Error(`${this.file.name} broke off: ${reason(error)} Choose the model again.`);
    }
  }

  async infer(values) {
    const { litert } = await load();
    const [{ shape }] = this.file.inputs;
    const input = new litert.Tensor(values, shape);
    errors = [];
    try {
      const start = performance.now();
      const tensors = await this.model.run([input]);
      const ms = performance.now() - start;
      const outputs = tensors.map((tensor) => tensor.toTypedArray().slice());
      for (const tensor of tensors) tensor.delete();
      if (errors.length) throw new Error(errors[0]);
      return { outputs, ms };
    } finally {
      if (!input.deleted) input.delete();
    }
  }

  close() {
    if (runtime && !this.model.deleted) this.model.delete();
  }
}

function load() {
  runtime ??= start().catch((error) => {
    runtime = undefined;
    throw error;
  });
  return runtime;
}

async function start() {
  if (typeof WebAssembly === "undefined") {
    throw new Error(
      "This browser has no WebAssembly, or it is turned off (as in lockdown mode), so that no model runs here.",
    );
  }
  let litert;
  try {
    litert = await import("@litertjs/core");
  } catch {
    throw new Error(
      "LiteRT.js is missing beside this page, in litert/. Its README says how to put it there.",
    );
  }
  const wanted = globalThis.crossOriginIsolated
    ? Math.min(navigator.hardwareConcurrency ?? 1, THREADS)
    : 1;
  const loadLiteRt = (options) => {
    globalThis.Module = { printErr: heard }; // where Emscripten looks for it
    return litert.loadLiteRt(WASM, options);
  };
  try {
    await loadLiteRt({ threads: wanted > 1 });
    return { litert, threads: wanted };
  } catch (error) {
    if (wanted === 1)
      throw new Error(`LiteRT.js does not start: ${reason(error)} Reload the page.`);
  }
  await loadLiteRt(); // a browser whose WebAssembly has no threads, or no relaxed SIMD
  return { litert, threads: 1 };
}

/** After an error in WebAssembly its memory may be damaged: the next model gets a new runtime. */
async function unload() {
  const crashed = runtime;
  runtime = undefined;
  try {
    (await crashed).litert.unloadLiteRt();
  } catch {
    // There is nothing left to free.
  }
}

function reason(error) {
  const text = String(error?.message ?? error)
    .trim()
    .split("\n")[0];
  return text || "it gave no reason.";
}
