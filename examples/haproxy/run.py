#!/usr/bin/env python3
"""Five receivers behind HAProxy, four producers with long-lived connections: who gets what?

    examples/haproxy/run.py --rebind off      the uneven case: each connection stays where it first went
    examples/haproxy/run.py --rebind on       the same, with lanes that move

After a third of the time one receiver is restarted, after two thirds a sixth one joins. Prints how much each receiver
stored in each of the three parts and draws it (balance-off.svg, balance-on.svg). At the end `logdrive verify` says
whether anything is missing. Needs HAProxy and a logdrive binary (cargo build --release --features cli).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time

PRODUCERS, RECEIVERS, PORT = 4, 6, 19100
SAMPLE_SECONDS = 0.5
LINE = b"GET /api/v1/orders?page=%d HTTP/1.1 200 5316 Mozilla/5.0 (X11; Linux x86_64) producer=%d " + b"x" * 100
COLOURS = ["#1b6ca8", "#d1495b", "#66a182", "#edae49", "#5c4b8a", "#333333"]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rebind", choices=["on", "off"], required=True)
    parser.add_argument("--seconds", type=int, default=45, help="how long (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=3000, help="records per second and producer (%(default)s)")
    parser.add_argument("--logdrive", default=f"{here}/../../target/release/logdrive", help="the binary")
    parser.add_argument("--plot", help="the picture to draw (default: balance-on.svg or balance-off.svg)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="logdrive-haproxy-") as folder:
        run = Run(options, folder)
        try:
            run.play()
        finally:
            run.stop()
        run.print_shares()
        run.draw(options.plot or f"balance-{options.rebind}.svg")
        sys.exit(run.verify())


class Run:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.receivers, self.samples = {}, []
        for number in range(RECEIVERS - 1):
            self.start_receiver(number)
        self.haproxy = self.start_haproxy()
        self.is_over = threading.Event()
        self.producers = [self.start_producer(number) for number in range(PRODUCERS)]

    def start_receiver(self, number):
        command = [self.options.logdrive, "receive", "--listen", f"127.0.0.1:{PORT + 1 + number}",
                   "--dir", f"{self.folder}/receiver-{number}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not process.stdout.readline().startswith(b"listening"):
            sys.exit(f"{' '.join(command)} did not start")
        self.receivers[number] = process

    def start_haproxy(self):
        servers = "".join(
            f"  server r{n} 127.0.0.1:{PORT + 1 + n} check inter 500ms fall 1 rise 1\n" for n in range(RECEIVERS)
        )
        with open(f"{self.folder}/haproxy.cfg", "w", encoding="ascii") as file:
            file.write(
                "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 10m\n  timeout server 10m\n"
                f"frontend in\n  bind 127.0.0.1:{PORT}\n  default_backend receivers\n"
                f"backend receivers\n  balance roundrobin\n{servers}"
            )
        return subprocess.Popen(["haproxy", "-db", "-f", file.name], stderr=subprocess.DEVNULL)

    def start_producer(self, number):
        moving = "rebind.interval=3s&lanes=12" if self.options.rebind == "on" else \
            "rebind.interval=0&rebind.bytes=0&lanes=1"
        url = (f"receivers://127.0.0.1:{PORT}/lines?name=producer-{number}&ring.dir={self.folder}/rings"
               f"&codec=none&linger=5ms&batch.bytes=8KiB&{moving}")
        process = subprocess.Popen([self.options.logdrive, "ship", "--to", url], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=self.feed, args=(process, number), daemon=True).start()
        return process

    def feed(self, process, number):
        """Lines at a steady pace."""
        fed, start = 0, time.monotonic()
        while not self.is_over.wait(0.01):
            due = int((time.monotonic() - start) * self.options.rate)
            process.stdin.write(b"".join(LINE % (n, number) + b"\n" for n in range(fed, due)))
            process.stdin.flush()
            fed = due
        process.stdin.close()

    def play(self):
        start, third = time.monotonic(), self.options.seconds / 3
        events = [(third, self.restart_one), (2 * third, lambda: self.start_receiver(RECEIVERS - 1))]
        while (passed := time.monotonic() - start) < self.options.seconds:
            if events and passed >= events[0][0]:
                events.pop(0)[1]()
            self.samples.append((passed, [stored(f"{self.folder}/receiver-{n}") for n in range(RECEIVERS)]))
            time.sleep(SAMPLE_SECONDS)

    def restart_one(self):
        self.receivers[1].kill()
        self.receivers[1].wait()
        self.start_receiver(1)

    def stop(self):
        self.is_over.set()
        for process in self.producers:
            process.wait()
        for process in [self.haproxy, *self.receivers.values()]:
            process.terminate()
            process.wait()

    def print_shares(self):
        third = self.options.seconds / 3
        names = ["at first", "one restarted", "one added"]
        print(f"MB stored by each receiver in the last half of each part, rebinding {self.options.rebind}:")
        for part, name in enumerate(names):
            begin, end = (part + 0.5) * third, (part + 1) * third
            inside = [sizes for at, sizes in self.samples if begin <= at <= end]
            running = RECEIVERS if part == 2 else RECEIVERS - 1
            grown = [(inside[-1][n] - inside[0][n]) / 1e6 for n in range(running)]
            ratio = f"{max(grown) / min(grown):.2f}" if min(grown) > 0 else "infinite"
            print(f"  {name:14}", " ".join(f"{size:6.2f}" for size in grown), f"  max/min {ratio}")

    def draw(self, path):
        """MB/s of each receiver over the time, as SVG."""
        rates = []
        for (t0, before), (t1, after) in zip(self.samples[:-3], self.samples[3:]):
            rates.append(((t0 + t1) / 2, [(b - a) / 1e6 / (t1 - t0) for a, b in zip(before, after)]))
        top = 1.1 * max(max(values) for _, values in rates) or 1
        width, height, left, bottom = 720, 300, 60, 40

        def x(at):
            return left + at / self.options.seconds * (width - left - 110)

        def y(value):
            return height - bottom - value / top * (height - bottom - 30)

        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
                 f'<text x="{left}" y="18">MB/s stored by each receiver behind HAProxy, rebinding '
                 f'{self.options.rebind}</text>']
        for tick in range(5):
            value = top * tick / 4
            parts.append(f'<line x1="{left}" x2="{x(self.options.seconds)}" y1="{y(value)}" y2="{y(value)}" '
                         f'stroke="#ddd"/><text x="{left - 8}" y="{y(value) + 4}" text-anchor="end">{value:.1f}</text>')
        for third, label in [(1, "one restarted"), (2, "one added")]:
            at = x(third * self.options.seconds / 3)
            parts.append(f'<line x1="{at}" x2="{at}" y1="24" y2="{height - bottom}" stroke="#888" '
                         f'stroke-dasharray="4"/><text x="{at + 4}" y="34" fill="#555">{label}</text>')
        for second in range(0, self.options.seconds + 1, 15):
            parts.append(f'<text x="{x(second)}" y="{height - bottom + 18}" text-anchor="middle">{second} s</text>')
        for number in range(RECEIVERS):
            points = " ".join(f"{x(at):.1f},{y(values[number]):.1f}" for at, values in rates)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number]}" stroke-width="1.8"/>')
            parts.append(f'<text x="{width - 100}" y="{50 + 18 * number}" fill="{COLOURS[number]}">'
                         f"receiver {number}</text>")
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join([*parts, "</svg>\n"]))
        print(f"drawn: {path}")

    def verify(self):
        dirs = [f"{self.folder}/receiver-{n}" for n in range(RECEIVERS) if os.path.isdir(f"{self.folder}/receiver-{n}")]
        return subprocess.run([self.options.logdrive, "verify", *dirs], check=False).returncode


def stored(folder):
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                pass
    return total


main()
