// The camera: a stream of frames, each awaited before the next is taken.

const REASONS = {
  NotAllowedError: "The camera is not allowed. Allow it for this page in the browser's settings.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera does not start; perhaps another program uses it.",
  OverconstrainedError: "No camera was found that gives pictures of this kind.",
};

export class Camera {
  /**
   * @param video the element that shows it.
   * @param changed called when it starts or stops.
   */
  constructor(video, changed) {
    Object.assign(this, { video, changed, run: null });
  }

  /** Whether it was started and not stopped, also while the browser asks for permission. */
  get running() {
    return this.run !== null;
  }

  /**
   * Calls `look(video)` for one frame after the other until `stop`.
   *
   * @throws Error that says why there is no camera, or of `look`.
   */
  async start(look) {
    this.stop();
    const run = (this.run = { tracks: [] }); // another one in its place: this one was stopped
    this.changed();
    try {
      const stream = await asked();
      run.tracks = stream.getTracks();
      if (this.run !== run) return;
      for (const track of run.tracks) track.addEventListener("ended", () => this.end(run));
      this.video.srcObject = stream;
      await this.video.play();
      while (this.run === run) {
        await look(this.video);
        await new Promise(requestAnimationFrame);
      }
    } catch (error) {
      if (this.run === run) throw error;
    } finally {
      this.end(run);
    }
  }

  stop() {
    if (this.run) this.end(this.run);
  }

  end(run) {
    for (const track of run.tracks) track.stop();
    if (this.run !== run) return;
    this.run = this.video.srcObject = null;
    this.changed();
  }
}

async function asked() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The browser gives the camera to pages from https and from 127.0.0.1 only.");
  }
  try {
    const video = { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } };
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera does not start: ${error.message}`);
  }
}
