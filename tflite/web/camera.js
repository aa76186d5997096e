// The camera: a stream of frames, each awaited before the next is taken.

const REASONS = {
  NotAllowedError: "The camera is not allowed. Allow it for this page in the browser's settings.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera does not start; perhaps another program uses it.",
  OverconstrainedError: "No camera was found that gives pictures of this kind.",
};

export class Camera {
  /** @param video the element that shows it. */
  constructor(video) {
    this.video = video;
    this.stream = null;
  }

  get running() {
    return this.stream !== null;
  }

  /**
   * Calls `look(video)` for one frame after the other until `stop`.
   *
   * @throws Error that says why there is no camera, or of `look`.
   */
  async start(look) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("The browser gives the camera to pages from https and from 127.0.0.1 only.");
    }
    let stream;
    try {
      const video = { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } };
      stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera does not start: ${error.message}`);
    }
    this.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => this.stop());
    try {
      this.video.srcObject = stream;
      await this.video.play();
      while (this.stream === stream) {
        await look(this.video);
        await new Promise(requestAnimationFrame);
      }
    } finally {
      if (this.stream === stream) this.stop();
    }
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    this.stream = null;
  }
}
