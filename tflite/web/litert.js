// Running: a model's input to its output, with LiteRT.js on the CPU.

const WASM = new URL("litert/core/wasm/", import.meta.url).href;
const THREADS = 4; // phones have about four fast cores

let runtime; // a promise; undefined before, and after a failure
let errors = []; // which LiteRT.js writes, and then gives whatever was in memory

function heard(line) {
  const [, error] = /^ERROR: (.*)/.exec(line) ?? [];
  if (error) errors.push(error);
  console.debug(line);
}

// LiteRT.js starts a worker for each core and has no way to end them.
const workers = [];
globalThis.Worker = class extends Worker {
  constructor(...options) {
    super(...options);
    workers.push(this);
  }
};

/** A model that is ready to run. */
export class Runner {
  constructor(file, model, { litert, threads }) {
    Object.assign(this, { file, model, litert, threads });
  }

  /**
   * @param file from `readFile`.
   * @param bytes Uint8Array, its content, which LiteRT.js copies.
   * @throws Error that says why the file does not run here.
   */
  static async open(file, bytes) {
    for (const { name, type } of [...file.inputs, ...file.outputs]) {
      if (type !== "float32") {
        throw new Error(
          `${file.name} has the tensor ${name} in ${type}; this page gives and takes float32. ` +
            "Convert it without integer_io=True.",
        );
      }
    }
    const loaded = await load();
    try {
      const options = { accelerator: "wasm", cpuOptions: { numThreads: loaded.threads } };
      const model = await loaded.instance.loadAndCompile(bytes, options);
      const runner = new Runner(file, model, loaded);
      const [{ shape }] = file.inputs;
      await runner.infer(new Float32Array(shape.reduce((a, b) => a * b))); // the first is slower
      return runner;
    } catch (error) {
      await unload();
      throw new Error(`${file.name} does not run in LiteRT.js: ${reason(error)}`);
    }
  }

  /**
   * @param values Float32Array, the model's input.
   * @returns { outputs: [Float32Array], ms: the inference time }
   * @throws Error after which the model must be opened again.
   */
  async run(values) {
    try {
      return await this.infer(values);
    } catch (error) {
      await unload();
      throw new Error(`${this.file.name} broke off: ${reason(error)} Try again.`);
    }
  }

  async infer(values) {
    const [{ shape }] = this.file.inputs;
    const input = new this.litert.Tensor(values, shape);
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
    this.model.delete();
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
  let failure;
  // The second is for a browser whose WebAssembly has no threads, or no relaxed SIMD.
  for (const threads of wanted > 1 ? [wanted, 1] : [1]) {
    globalThis.Module = { printErr: heard }; // where Emscripten looks for it
    try {
      const instance = await litert.loadLiteRt(WASM, { threads: threads > 1 });
      return { litert, instance, threads };
    } catch (error) {
      endWorkers();
      failure = error;
    }
  }
  throw new Error(`LiteRT.js does not start: ${reason(failure)} Reload the page.`);
}

/** After an error the memory of WebAssembly may be damaged: the next model gets a new runtime. */
async function unload() {
  const { litert, instance } = await runtime;
  runtime = undefined;
  instance.delete = () => {}; // frees one object after the other, which fails in damaged memory
  litert.unloadLiteRt();
  endWorkers();
}

function endWorkers() {
  for (const worker of workers.splice(0)) worker.terminate();
}

function reason(error) {
  if (error instanceof Event) return "its files in litert/core/wasm/ cannot be loaded.";
  const [text] = String(error?.message ?? error)
    .trim()
    .split("\n");
  return text ? text.replace(/[^.!?]$/, "$&.") : "it gave no reason.";
}
