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
const answer = document.querySelector(".answer");
const camera = new Camera($("video"));

let models = [];
let ready = null; // { file, view, runner } of the chosen file
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
  answer.hidden = true;
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
  $("files").disabled = false;
  const asked = decodeURIComponent(location.hash.slice(1));
  $("files").value = [asked, PREFERRED].find((name) => names.includes(name)) ?? names[0];
  return choose($("files").value);
}

const recipe = (name) => /^model_(\w+)\.tflite$/.exec(name)?.[1] ?? name;

async function choose(name) {
  await close();
  $("about").textContent = `Loading ${name} …`;
  try {
    const bytes = await models.find((model) => model.name === name).read();
    const file = await readFile(name, bytes);
    const view = viewOf(file);
    view.taskOf(file);
    ready = { file, view, runner: await Runner.open(file) };
  } catch (error) {
    $("about").textContent = name;
    throw error;
  }
  clearError();
  const { file, runner } = ready;
  const [{ shape }] = file.outputs;
  const parts = [
    file.title || name,
    `${(file.bytes.length / 1e6).toFixed(2)} MB`,
    `${shape.slice(1).join(" x ")} ${shape[1] === 1 ? "score" : "scores"}`,
    `${runner.threads} CPU ${runner.threads === 1 ? "thread" : "threads"}`,
  ];
  $("about").textContent = parts.filter(Boolean).join(" · ");
  $("picture").disabled = $("camera").disabled = false;
  document.dispatchEvent(new CustomEvent("opened", { detail: name }));
  if (picture && !camera.running) await classify(picture);
}

async function close() {
  ready?.runner.close();
  ready = null;
  answer.hidden = true;
  $("picture").disabled = $("camera").disabled = true;
}

// --------------------------------------------------------------------------------------- pictures
async function classify(file) {
  picture = file;
  if (!ready) throw new Error("Open a model first.");
  clearError();
  try {
    const decoded = await readPicture(file, ready.file.preprocessing.channels);
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
  const { outputs, ms } = await runner.run(values);
  $("best").textContent = view.show($("scores"), file, outputs);
  draw(image);
  $("size").textContent = `${image.width} x ${image.height} pixels`;
  $("time").textContent = `Inference: ${ms.toFixed(1)} ms`;
  answer.hidden = false;
  document.dispatchEvent(new CustomEvent("shown", { detail: { image, values, outputs, ms } }));
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
  $("preview").hidden = !file;
  $("hint").hidden = Boolean(file);
  if (!file) picture = null;
}

// ----------------------------------------------------------------------------------------- camera
async function watch() {
  clearError();
  preview(null);
  pressed(true);
  try {
    await camera.start((video) => inTurn(() => (ready ? frame(video) : undefined)));
  } catch (error) {
    fail(error);
  }
  pressed(false);
}

async function frame(video) {
  if (!camera.running) return;
  const { channels } = ready.file.preprocessing;
  await look(readFrame(video, video.videoWidth, video.videoHeight, channels));
}

function pressed(on) {
  $("camera").setAttribute("aria-pressed", on);
  $("camera").textContent = on ? "Stop camera" : "Use camera";
  $("video").hidden = !on;
  $("hint").hidden = on || picture !== null;
  $("best").setAttribute("aria-live", on ? "off" : "polite"); // not every frame is read out
}

// ----------------------------------------------------------------------------------------- events
function take(file) {
  camera.stop();
  return inTurn(() => classify(file));
}

$("files").addEventListener("change", ({ target }) => {
  history.replaceState(null, "", `#${encodeURIComponent(target.value)}`);
  inTurn(() => choose(target.value));
});
$("open").addEventListener("change", ({ target }) => {
  if (target.files.length) inTurn(() => offer(opened(target.files)));
});
$("picture").addEventListener("change", ({ target }) => {
  if (target.files.length) take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
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
