// Where model files come from: the folder beside this page, or files that are opened or dropped.
// A model file is { name, read: () => its bytes }.

const LIST = new URL("model/files.json", import.meta.url);
const MAKE = "keras-mixer export MODEL --output FOLDER makes one";

/**
 * The .tflite files of the folder beside this page, by its list `files.json`: their addresses in the
 * folder, with a query that changes with their content, so that no kept file is taken for another.
 *
 * @throws Error if there are none.
 */
export async function served() {
  const addresses = await fetch(LIST)
    .then((response) => response.ok && response.json())
    .catch(() => null);
  if (!addresses)
    throw new Error(
      "No folder of models is served with this page. Open a .tflite file, or drop a folder.",
    );
  if (!addresses.length) throw new Error(`The folder has no .tflite file; ${MAKE}.`);
  return addresses.map((address) => {
    const name = decodeURIComponent(address.split("?")[0]);
    return { name, read: () => downloaded(name, new URL(address, LIST)) };
  });
}

async function downloaded(name, url) {
  const response = await fetch(url).catch(() => null);
  if (!response)
    throw new Error(
      `${name} cannot be loaded: the server does not answer, and this browser has not kept the file.`,
    );
  if (!response.ok)
    throw new Error(`${name} cannot be loaded: the server answers ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Files that a user chose. */
export function opened(files) {
  const byName = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  return byName.map((file) => ({
    name: file.name,
    read: async () => {
      try {
        return new Uint8Array(await file.arrayBuffer());
      } catch {
        throw new Error(`${file.name} has changed or is gone since it was opened. Open it again.`);
      }
    },
  }));
}

/**
 * What was dropped or pasted: { models, picture }, one of them empty.
 *
 * @param transfer a DataTransfer.
 * @throws Error if it is neither.
 */
export async function received(transfer) {
  const files = [...transfer.files]; // both lists are empty after the first `await`
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  const folder = entries.find((entry) => entry?.isDirectory);
  if (folder) {
    const models = (await filesIn(folder)).filter(isModel);
    if (!models.length) throw new Error(`The folder ${folder.name} has no .tflite file; ${MAKE}.`);
    return { models: opened(models) };
  }
  const models = files.filter(isModel);
  if (models.length) return { models: opened(models) };
  if (!files.length)
    throw new Error("That was no file. Save the picture, and drop or choose the file.");
  return { models: [], picture: files[0] };
}

const isModel = ({ name }) => name.toLowerCase().endsWith(".tflite");

async function filesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) break; // it gives a hundred at a time
    found.push(...entries.filter((entry) => entry.isFile));
  }
  return Promise.all(
    found.map((entry) => new Promise((resolve, reject) => entry.file(resolve, reject))),
  );
}
