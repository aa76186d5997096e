// The page: reading, preparing, running and showing, put together.

import { Camera } from "./camera.js";
import { prepare } from "./crop.js";
import { readFile } from "./file.js";
import { Runner } from "./litert.js";
import { opened, received, served } from "./models.js";
import { readFrame, readPicture } from "./picture.js";
import { viewOf } from "./show.js";

const PREFERRED = "model_dynamic_int8.tflite"; // the smallest and fastest that needs no calibration

const $ = (id) => document.getElementById(id);
const camera = new Camera($("video"), showSource);

let models = [];
let ready = null; // { file, view, runner } of the chosen file; null when it is not open
let picture = null; // the file that was classified last
let turn = Promise.resolve();

/** Does one thing after the other, so that no picture meets a model that is being exchanged. */
function inTurn(task) {
  turn = turn.then(task).catch(fail);
  return turn;
}

function fail(error) {
  camera.stop();
  $("error").textContent = error.message;
  $("error").hidden = false;
  showAnswer("");
  document.dispatchEvent(new CustomEvent("failed", { detail: error.message }));
}

function clearError() {
  $("error").hidden = true;
}

// ----------------------------------------------------------------------------------------- models
/** Adds files to the menu, and opens the one that the address names, the preferred one or the first. */
function offer(found) {
  const names = found.map(({ name }) => name);
  models = [...found, ...models.filter(({ name }) => !names.includes(name))];
  $("files").replaceChildren(...models.map(({ name }) => new Option(recipe(name), name)));
  $("files").disabled = $("picture").disabled = $("camera").disabled = false;
  const asked = location.hash.slice(1);
  $("files").value =
    names.find((name) => [name, encodeURIComponent(name)].includes(asked)) ??
    names.find((name) => name === PREFERRED) ??
    names[0];
  return choose();
}

const recipe = (name) => /^model_(\w+)\.tflite$/.exec(name)?.[1] ?? name;

async function choose() {
  const last = ready;
  ready = null;
  showAnswer("");
  last?.runner.close();
  await model();
  if (picture && !camera.running) await classify(picture);
}

/** The chosen model, which is opened if it is not open: at first, and after a failure. */
async function model() {
  if (ready) return ready;
  const chosen = models.find(({ name }) => name === $("files").value);
  if (!chosen) throw new Error("Open a model first.");
  const { name } = chosen;
  $("about").textContent = `Loading ${name} …`;
  try {
    const bytes = await chosen.read();
    const file = await readFile(name, bytes);
    const view = viewOf(file);
    view.taskOf(file);
    ready = { file, view, runner: await Runner.open(file, bytes) };
  } catch (error) {
    $("about").textContent = name;
    throw error;
  }
  clearError();
  const { file, runner } = ready;
  const [{ shape }] = file.outputs;
  const parts = [
    file.title || name,
    `${(file.size / 1e6).toFixed(2)} MB`,
    `${shape.slice(1).join(" x ")} ${shape[1] === 1 ? "score" : "scores"}`,
    `${runner.threads} CPU ${runner.threads === 1 ? "thread" : "threads"}`,
  ];
  $("about").textContent = parts.filter(Boolean).join(" · ");
  document.dispatchEvent(new CustomEvent("opened", { detail: name }));
  return ready;
}

// --------------------------------------------------------------------------------------- pictures
async function classify(file) {
  picture = file;
  const { preprocessing } = (await model()).file;
  clearError();
  try {
    const decoded = await readPicture(file, preprocessing.channels);
    if (camera.running) return; // which was started after the picture was chosen
    preview(file);
    await look(decoded);
  } catch (error) {
    preview(null);
    throw error;
  }
}

/** Classifies pixels, and shows the answer. */
async function look(decoded) {
  const { file, view, runner } = ready;
  const { image, values } = prepare(decoded, file.preprocessing);
  const { outputs, ms } = await runner.run(values).catch((error) => {
    ready = null;
    throw error;
  });
  const best = view.show($("scores"), file, outputs);
  draw(image);
  $("size").textContent = `${image.width} x ${image.height} pixels`;
  $("time").textContent = `Inference: ${ms.toFixed(1)} ms`;
  showAnswer(best);
  document.dispatchEvent(new CustomEvent("shown", { detail: { image, values, outputs, ms } }));
}

/** Shows the best class and what belongs to it; screen readers read out changes of a shown element. */
function showAnswer(best) {
  $("best").textContent = best;
  $("details").hidden = !best;
}

function draw({ data, width, height, channels }) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++)
      pixels.data[4 * i + c] = data[i * channels + (channels === 3 ? c : 0)];
    pixels.data[4 * i + 3] = 255;
  }
  Object.assign($("seen"), { width, height });
  $("seen").getContext("2d").putImageData(pixels, 0, 0);
  $("seen").setAttribute("aria-label", `The ${width} x ${height} pixels that the model sees`);
}

function preview(file) {
  URL.revokeObjectURL($("preview").src);
  $("preview").src = file ? URL.createObjectURL(file) : "";
  if (!file) picture = null;
  showSource();
}

/** Shows the camera while it is used, else the picture or a hint. */
function showSource() {
  const { running } = camera;
  const still = !running && Boolean($("preview").getAttribute("src"));
  $("video").hidden = !running;
  $("preview").hidden = !still;
  $("hint").hidden = running || still;
  $("camera").textContent = running ? "Stop camera" : "Use camera";
  $("best").setAttribute("aria-live", running ? "off" : "polite"); // not every frame is read out
}

// ----------------------------------------------------------------------------------------- camera
function watch() {
  clearError();
  preview(null);
  camera.start((video) => inTurn(() => frame(video))).catch(fail);
}

async function frame(video) {
  if (!camera.running) return;
  const { channels } = (await model()).file.preprocessing;
  const { videoWidth: width, videoHeight: height } = video;
  if (camera.running && width) await look(readFrame(video, width, height, channels));
}

// ----------------------------------------------------------------------------------------- events
function take(file) {
  camera.stop();
  return inTurn(() => classify(file));
}

/** Calls `use` with the files that a user chooses, also with the same ones again. */
function onFiles(id, use) {
  $(id).addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = ""; // which empties the list
    if (files.length) use(files);
  });
}

onFiles("open", (files) => inTurn(() => offer(opened(files))));
onFiles("picture", ([file]) => take(file));
$("files").addEventListener("change", ({ target }) => {
  history.replaceState(null, "", `#${encodeURIComponent(target.value)}`);
  inTurn(choose);
});
$("camera").addEventListener("click", () => (camera.running ? camera.stop() : watch()));

async function receive(transfer) {
  try {
    const { models: found, picture: file } = await received(transfer);
    await (file ? take(file) : inTurn(() => offer(found)));
  } catch (error) {
    fail(error);
  }
}

addEventListener("paste", ({ clipboardData }) => receive(clipboardData));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  receive(event.dataTransfer);
});

// ---------------------------------------------------------------------------------------- offline
/** Has the service worker keep what was loaded before it was there. */
async function keepOffline() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register("offline.js");
  const { active } = await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    $("offline").textContent = "The page works offline with the models that you have used.";
    document.dispatchEvent(new CustomEvent("kept"));
  };
  active.postMessage([location.href.split("#")[0], ...loaded], [channel.port2]);
}

inTurn(async () =>
  offer(
    await served().catch((error) => {
      $("about").textContent = "No model";
      throw error;
    }),
  ),
)
  .then(keepOffline, keepOffline)
  .catch(() => {}); // without a service worker the page works online
