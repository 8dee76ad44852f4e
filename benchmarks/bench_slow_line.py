"""The windows by X11 over a real ssh to this machine, through a proxy that is as slow as a line.

``python benchmarks/bench_slow_line.py PROJECT [ROUND_TRIP RATE]`` with the project of ``emtomo demo``; seconds (0.003)
and bytes a second (125e6). Needs a display, and Debian's openssh-server and xauth.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench_windows import Heart, display

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
AddressFamily inet
HostKey {folder}/host
AuthorizedKeysFile {folder}/me.pub
StrictModes no
X11Forwarding yes
UsePAM no
PidFile none
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def pump(reader, writer, delay, rate):
    """Pass on what comes, `delay` later and not faster than `rate`."""
    waiting = asyncio.Queue(64)

    async def deliver():
        free = 0.0
        while (item := await waiting.get())[1]:
            came, data = item
            free = max(free, time.monotonic()) + len(data) / rate
            await asyncio.sleep(max(came + delay, free) - time.monotonic())
            writer.write(data)
            await writer.drain()
        writer.close()

    passing = asyncio.create_task(deliver())
    while data := await reader.read(16384):
        await waiting.put((time.monotonic(), data))
    await waiting.put((0.0, b""))
    await passing


def proxy(port, target, round_trip, rate):
    """Serve a slow line to `target` at `port`, in a thread."""

    async def accepted(reader, writer):
        far, away = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(*(pump(r, w, round_trip / 2, rate) for r, w in ((reader, away), (far, writer))))

    async def serve():
        server = await asyncio.start_server(accepted, "127.0.0.1", port)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()


def steps(window, settings, started):
    """Do things one after the other; yields the milliseconds until the next."""
    from emtomo.viewers import ViewTomograms

    def answer():
        begun = time.time()
        window.winfo_pointerxy()
        return 1e3 * (time.time() - begun)

    while not window.w.get("loaded") or not window.graph.places:
        yield 50
    answer()
    print(f"project window drawn after {time.time() - started:.1f} s", flush=True)
    yield 3000
    print(f"round trip {answer():.0f} ms", flush=True)
    begun, heart = time.time(), Heart(window)
    form = window.new_form("model-workflow")
    yield 20
    answer()
    yield 2000
    print(f"form: a click waits at most {1e3 * max(heart.stop()):.0f} ms", flush=True)
    form.destroy_form()
    output = next(o for r in window.runs.values() if r.label == "denoise" for o in r.outputs)
    for slow in (True, False):
        settings.put("slow line", slow)
        begun, got = time.time(), []
        window.view(output, ViewTomograms, got.append)
        while not got:
            yield 20
        yield 20
        answer()
        print(f"slices, slow line {'on' if slow else 'off'}: drawn after {time.time() - begun:.1f} s", flush=True)
        yield 4000
        times = []
        for _ in range(10):
            begun = time.time()
            got[0].state_.step(0, 1)
            yield 30  # drawn when the window is idle
            answer()
            times.append(1e3 * (time.time() - begun))
            yield 1500
        print(f"    next slice on the screen after {sorted(times)[5]:.0f} ms (median)", flush=True)
        got[0].close()
        yield 500
    window.shut()


def inside(project):
    """What runs at the far end: the window in its own loop, without the questions of ``update``."""
    started = time.time()
    from emtomo.gui.core.settings import Settings
    from emtomo.gui.tk.project import ProjectWindow

    settings = Settings(Path(tempfile.mkdtemp()) / "settings.json")
    window = ProjectWindow(Path(project), settings, 1.0)
    window.geometry("1240x800+0+0")
    todo = steps(window, settings, started)

    def go():
        pause = next(todo, None)
        if pause is not None:
            window.after(pause, go)

    window.after(10, go)
    window.mainloop()


def main():
    if sys.argv[1] == "--inside":
        inside(sys.argv[2])
        return
    server = display()
    round_trip, rate = (float(v) for v in sys.argv[2:4] or ("0.003", "125e6"))
    with tempfile.TemporaryDirectory() as folder:
        for key in ("host", "me"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{key}"], check=True)
        port, near = free_port(), free_port()
        Path(folder, "sshd.conf").write_text(CONFIG.format(port=port, folder=folder), encoding="utf8")
        Path("/run/sshd").mkdir(exist_ok=True)
        daemon = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", f"{folder}/sshd.conf"])
        proxy(near, port, round_trip, rate)
        time.sleep(1)
        print(f"round trip {1e3 * round_trip:g} ms, {rate / 1e6:g} MB/s", flush=True)
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        far = f"exec {sys.executable} {Path(__file__).absolute()} --inside {Path(sys.argv[1]).absolute()}"
        ssh = [
            "ssh",
            "-XC",
            "-p",
            str(near),
            "-i",
            f"{folder}/me",
            *options,
            f"{os.environ.get('USER', 'root')}@127.0.0.1",
        ]
        subprocess.run([*ssh, far], check=False)
        daemon.terminate()
    if server is not None:
        server.terminate()


if __name__ == "__main__":
    main()
