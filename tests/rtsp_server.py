"""A real RTSP server for the tests, on Debian's own packages, which live in the system's Python and not in ours.

    apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly python3-gi

    /usr/bin/python3 tests/rtsp_server.py PORT       # rtsp://127.0.0.1:PORT/door, until killed

Colour bars with a patch of snow, 15 frames a second in H.264 with a whole picture every half second. /door2 is the same
in H.265 (if gstreamer1.0-plugins-bad is installed), /udp is offered over UDP only, and /small is a smaller picture of
the same. It prints "ready" when it listens.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 (versions first)

SOURCE = "videotestsrc is-live=true pattern=smpte ! video/x-raw,width={width},height={height},framerate=15/1"
H264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=8 ! rtph264pay name=pay0 pt=96"
H265 = "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=8 ! rtph265pay name=pay0 pt=96"
STREAMS = {
    "/door": (320, 240, H264),
    "/door2": (320, 240, H265),
    "/udp": (320, 240, H264),
    "/small": (160, 120, H264),
}
"""Path -> width, height and encoding."""


def main() -> None:
    Gst.init(None)
    if not all(Gst.ElementFactory.find(name) for name in ("x264enc", "rtph264pay", "videotestsrc")):
        sys.exit("a plugin of GStreamer is missing")
    server = GstRtspServer.RTSPServer()
    server.set_service(sys.argv[1])
    for path, (width, height, encoding) in STREAMS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {SOURCE.format(width=width, height=height)} ! {encoding} )")
        # A shared stream that was closed refuses the next client for a moment.
        factory.set_shared(path != "/udp")
        if path == "/udp":
            factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
        server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        sys.exit(f"port {sys.argv[1]} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
